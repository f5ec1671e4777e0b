// Text to a transmitter that may never get free, such as a console whose flow control stands still: what a port's
// ConsoleWrite() uses, because no text is worth a boot. Freestanding.
#ifndef TANDEM_BOOTLOADER_MCU_PORT_BOUNDED_WRITE_H_
#define TANDEM_BOOTLOADER_MCU_PORT_BOUNDED_WRITE_H_

#include <cstdint>

namespace tandem::mcu::board {

// Gives `put` the bytes of `text`; looks at `is_full` at most `max_looks` times before each, then drops the rest. False
// when it did.
template <typename IsFull, typename Put>
bool BoundedWrite(const char* text, uint32_t max_looks, IsFull is_full, Put put) {
  for (; *text != '\0'; ++text) {
    for (uint32_t looks = 0; is_full(); ++looks) {
      if (looks == max_looks) return false;
    }
    put(static_cast<uint8_t>(*text));
  }
  return true;
}

}  // namespace tandem::mcu::board

#endif  // TANDEM_BOOTLOADER_MCU_PORT_BOUNDED_WRITE_H_
