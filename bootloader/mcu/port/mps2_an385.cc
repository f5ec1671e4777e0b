// The board: ARM MPS2 with AN385 (Cortex-M3), as QEMU emulates it. Registers: "Arm Cortex-M System Design Kit Technical
// Reference Manual" (UART, watchdog) and "Armv7-M Architecture Reference Manual" (system control, SysTick, NVIC).
#include "bootloader/mcu/board.h"
#include "bootloader/mcu/port/bounded_write.h"
#include "bootloader/mcu/port/mps2_an385_layout.h"

namespace tandem::mcu::board {
namespace {

using Register = volatile uint32_t;
Register& At(uint32_t address) {
  return *reinterpret_cast<Register*>(address);  // NOLINT(performance-no-int-to-ptr): hardware has addresses
}

constexpr uint32_t kClockHz = 25000000;

// ---- UART ----
struct Uart {
  uint32_t base;
  Register& data() const { return At(base); }
  Register& state() const { return At(base + 0x4); }
  Register& control() const { return At(base + 0x8); }
  Register& interrupt_clear() const { return At(base + 0xc); }
  Register& divider() const { return At(base + 0x10); }
};
constexpr Uart kSerial = {0x40004000};
constexpr Uart kConsole = {0x40005000};
constexpr uint32_t kTransmitFull = 1;
constexpr uint32_t kReceiveFull = 2;
constexpr uint32_t kTransmitOn = 1;
constexpr uint32_t kReceiveOn = 2;
constexpr uint32_t kReceiveInterruptOn = 8;
constexpr uint32_t kReceiveInterrupt = 2;
constexpr uint32_t kBaud = 115200;
// A byte takes 2170 cycles; a look at least 5. Ten times what one needs, about 4 ms, for each text that is dropped.
constexpr uint32_t kConsoleLooks = 20000;
constexpr uint32_t kSerialReceiveIrq = 0;

// Filled by the interrupt, emptied by SerialRead(). Holds all that a client may have under way: smp/server.h, buffers.
constexpr uint32_t kRingSize = 16384;
uint8_t g_ring[kRingSize];
volatile uint32_t g_ring_in = 0;
volatile uint32_t g_ring_out = 0;
volatile uint32_t g_milliseconds = 0;

constexpr uint32_t kTickMs = 10;

void WriteByte(const Uart& uart, uint8_t byte) {
  while ((uart.state() & kTransmitFull) != 0) {
  }
  uart.data() = byte;
}

// ---- Watchdog: the first time-out is an NMI, the second one resets the chip ----
Register& WatchdogLoad() { return At(0x40008000); }
Register& WatchdogControl() { return At(0x40008008); }
Register& WatchdogInterruptClear() { return At(0x4000800c); }
Register& WatchdogLock() { return At(0x40008c00); }
constexpr uint32_t kWatchdogUnlock = 0x1acce551;
constexpr uint32_t kWatchdogOn = 3;

// ---- System ----
Register& SysTickControl() { return At(0xe000e010); }
Register& SysTickReload() { return At(0xe000e014); }
Register& SysTickValue() { return At(0xe000e018); }
Register& InterruptEnable() { return At(0xe000e100); }
Register& InterruptDisable() { return At(0xe000e180); }
Register& InterruptForget() { return At(0xe000e280); }
Register& VectorTable() { return At(0xe000ed08); }
Register& ResetControl() { return At(0xe000ed0c); }
constexpr uint32_t kResetNow = 0x05fa0004;

// NOR flash in the PSRAM.
class NorFlash final : public boot::Flash {
 public:
  const boot::FlashGeometry& geometry() const override { return mps2_an385::kFlash; }

  boot::FlashResult Read(uint32_t at, std::span<uint8_t> into) override {
    if (!Fits(at, into.size())) return boot::FlashResult::kOutOfRange;
    const volatile uint8_t* from = Byte(at);
    for (uint8_t& byte : into) byte = *from++;
    return boot::FlashResult::kOk;
  }

  boot::FlashResult Erase(uint32_t at) override {
    const uint32_t size = geometry().sector_size;
    if (!Fits(at, size)) return boot::FlashResult::kOutOfRange;
    if (at % size != 0) return boot::FlashResult::kMisaligned;
    volatile uint32_t* words = reinterpret_cast<volatile uint32_t*>(Byte(at));
    for (uint32_t i = 0; i < size / 4; ++i) words[i] = 0xffffffff;
    return boot::FlashResult::kOk;
  }

  boot::FlashResult Program(uint32_t at, std::span<const uint8_t> bytes) override {
    const uint32_t unit = geometry().program_size;
    if (!Fits(at, bytes.size())) return boot::FlashResult::kOutOfRange;
    if (at % unit != 0 || bytes.size() % unit != 0) return boot::FlashResult::kMisaligned;
    volatile uint8_t* to = Byte(at);
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (to[i] != geometry().erased) return boot::FlashResult::kNotErased;
    }
    for (size_t i = 0; i < bytes.size(); ++i) to[i] = bytes[i];
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (to[i] != bytes[i]) return boot::FlashResult::kFailed;
    }
    return boot::FlashResult::kOk;
  }

 private:
  bool Fits(uint32_t at, size_t size) const { return at <= geometry().size && size <= geometry().size - at; }
  static volatile uint8_t* Byte(uint32_t at) {
    return reinterpret_cast<volatile uint8_t*>(mps2_an385::kFlashAddress + at);  // NOLINT(performance-no-int-to-ptr)
  }
};

constinit NorFlash g_flash;

}  // namespace

void Init() {
  kSerial.divider() = kClockHz / kBaud;
  kSerial.control() = kTransmitOn | kReceiveOn | kReceiveInterruptOn;
  kConsole.divider() = kClockHz / kBaud;
  kConsole.control() = kTransmitOn;
  InterruptEnable() = 1U << kSerialReceiveIrq;
  SysTickReload() = kClockHz / 1000 * kTickMs - 1;
  SysTickValue() = 0;
  // Core clock, interrupt, on.
  SysTickControl() = 7;
}

std::span<const uint8_t> HardwareId() {
  return std::span(reinterpret_cast<const uint8_t*>(mps2_an385::kHardwareId), sizeof(mps2_an385::kHardwareId) - 1);
}
boot::Flash& ImageFlash() { return g_flash; }
const FlashLayout& Layout() { return mps2_an385::kLayout; }
uint32_t FlashAddress(uint32_t at) { return mps2_an385::kFlashAddress + at; }

std::span<uint8_t> ImageRam(uint32_t address, uint32_t size) {
  if (address < mps2_an385::kLoadBegin || address > mps2_an385::kLoadEnd) return {};
  if (size > mps2_an385::kLoadEnd - address) return {};
  return {reinterpret_cast<uint8_t*>(address), size};  // NOLINT(performance-no-int-to-ptr)
}

bool SerialRead(uint8_t& byte) {
  const uint32_t out = g_ring_out;
  if (out == g_ring_in) return false;
  byte = g_ring[out % kRingSize];
  g_ring_out = out + 1;
  // The interrupt is off while the ring is full.
  kSerial.control() = kTransmitOn | kReceiveOn | kReceiveInterruptOn;
  return true;
}

void SerialWrite(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) WriteByte(kSerial, byte);
}

void ConsoleWrite(const char* text) {
  BoundedWrite(
      text, kConsoleLooks, [] { return (kConsole.state() & kTransmitFull) != 0; },
      [](uint8_t byte) { kConsole.data() = byte; });
}

void WaitForEvent() {
  // With interrupts off WFI still wakes, so that a byte between the look and the sleep is not slept over.
  asm volatile("cpsid i" ::: "memory");
  if (g_ring_in == g_ring_out) asm volatile("dsb\n wfi" ::: "memory");
  asm volatile("cpsie i\n isb" ::: "memory");
}

uint32_t Milliseconds() { return g_milliseconds; }

void WatchdogStart() {
  static_assert(uint64_t{kClockHz} / 1000 * (kWatchdogMs / 2) <= UINT32_MAX);
  WatchdogLock() = kWatchdogUnlock;
  // Two time-outs make kWatchdogMs.
  WatchdogLoad() = kClockHz / 1000 * (kWatchdogMs / 2);
  WatchdogControl() = kWatchdogOn;
  WatchdogLock() = 0;
}

void WatchdogFeed() {
  WatchdogLock() = kWatchdogUnlock;
  WatchdogInterruptClear() = 1;
  WatchdogLock() = 0;
}

Handover& SharedHandover() {
  return *reinterpret_cast<Handover*>(mps2_an385::kHandoverAddress);  // NOLINT(performance-no-int-to-ptr)
}

void Reset(ResetCause cause) {
  SharedHandover().next_cause = cause;
  asm volatile("dsb" ::: "memory");
  ResetControl() = kResetNow;
  for (;;) asm volatile("dsb" ::: "memory");
}

void Jump(uint32_t vector_table) {
  asm volatile("cpsid i" ::: "memory");
  SysTickControl() = 0;
  kSerial.control() = 0;
  InterruptDisable() = 0xffffffff;
  InterruptForget() = 0xffffffff;
  VectorTable() = vector_table;
  const uint32_t stack = At(vector_table);
  const uint32_t entry = At(vector_table + 4);
  asm volatile(
      "dsb\n isb\n"
      "msr msp, %0\n"
      "cpsie i\n"
      "bx %1\n"
      :
      : "r"(stack), "r"(entry)
      : "memory");
  __builtin_unreachable();
}

}  // namespace tandem::mcu::board

// ---- Interrupts, named by port/startup.cc ----

extern "C" void SerialReceiveInterrupt() {
  using namespace tandem::mcu::board;  // NOLINT(google-build-using-namespace)
  kSerial.interrupt_clear() = kReceiveInterrupt;
  while ((kSerial.state() & kReceiveFull) != 0) {
    if (g_ring_in - g_ring_out == kRingSize) {
      kSerial.control() = kTransmitOn | kReceiveOn;
      return;
    }
    g_ring[g_ring_in % kRingSize] = static_cast<uint8_t>(kSerial.data());
    g_ring_in = g_ring_in + 1;
  }
}

extern "C" void TickInterrupt() {
  using namespace tandem::mcu::board;  // NOLINT(google-build-using-namespace)
  g_milliseconds = g_milliseconds + kTickMs;
}
