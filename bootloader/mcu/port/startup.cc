// A Cortex-M from its reset to main(), and what happens at a fault. The same for bootloader and application; the
// symbols of the linker script say where data lies.
#include <cstddef>
#include <cstdint>

#include "bootloader/mcu/board.h"

int main();

extern "C" {
// Of the linker script.
extern uint32_t link_stack_top;
extern uint32_t link_data_from;
extern uint32_t link_data_begin;
extern uint32_t link_data_end;
extern uint32_t link_bss_begin;
extern uint32_t link_bss_end;

void SerialReceiveInterrupt();
void TickInterrupt();

[[noreturn]] void FaultReset() { tandem::mcu::board::Reset(tandem::mcu::ResetCause::kFault); }

// The stack may be what is broken: a new one first.
[[gnu::naked, noreturn]] void FaultInterrupt() {
  asm volatile(
      "ldr r0, =link_stack_top\n"
      "msr msp, r0\n"
      "b FaultReset\n");
}

// The watchdog's first warning. An application may give its own.
[[gnu::weak]] void WatchdogInterrupt() { tandem::mcu::board::Reset(tandem::mcu::ResetCause::kWatchdog); }

[[noreturn]] void ResetInterrupt() {
  const uint32_t* from = &link_data_from;
  for (uint32_t* to = &link_data_begin; to != &link_data_end; ++to) *to = *from++;
  for (uint32_t* to = &link_bss_begin; to != &link_bss_end; ++to) *to = 0;
  // There are no constructors to run: globals are constinit.
  main();
  FaultReset();
}

using Vector = void (*)();

[[gnu::section(".vectors"), gnu::used]] const Vector kVectors[48] = {
    reinterpret_cast<Vector>(&link_stack_top),
    ResetInterrupt,
    WatchdogInterrupt,
    FaultInterrupt,
    FaultInterrupt,
    FaultInterrupt,
    FaultInterrupt,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    FaultInterrupt,
    FaultInterrupt,
    nullptr,
    FaultInterrupt,
    TickInterrupt,
    // Interrupt 0, and those nobody enables.
    SerialReceiveInterrupt,
};
}
