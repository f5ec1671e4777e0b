// A small application for the tests and as an example: it serves SMP on the serial line and feeds the watchdog.
//
// TANDEM_APP_VARIANT, at compile time:
//   good     as said
//   crash    a fault right after the start
//   hang     interrupts off and never feeding the watchdog, whose warning it ignores, too
//   silent   feeds the watchdog, but does not speak SMP
#include "bootloader/mcu/board.h"
#include "bootloader/mcu/smp_loop.h"

// For tools that read this file alone.
#ifndef TANDEM_APP_VARIANT
#define TANDEM_APP_VARIANT good
#define TANDEM_APP_VERSION "0.0.0"
#endif

namespace {

enum class Variant { good, crash, hang, silent };
constexpr Variant kVariant = Variant::TANDEM_APP_VARIANT;

[[noreturn]] void Hang() {
  asm volatile("cpsid i" ::: "memory");
  for (;;) asm volatile("" ::: "memory");
}

}  // namespace

// The watchdog's warning, instead of the one of port/startup.cc.
extern "C" void WatchdogInterrupt() {
  if (kVariant == Variant::hang) Hang();
  tandem::mcu::board::Reset(tandem::mcu::ResetCause::kWatchdog);
}

int main() {
  namespace mcu = tandem::mcu;
  mcu::board::Init();
  mcu::board::ConsoleWrite("app: " TANDEM_APP_VERSION "\n");
  if (kVariant == Variant::crash) asm volatile("udf #0");
  if (kVariant == Variant::hang) Hang();
  if (kVariant == Variant::silent) {
    for (;;) {
      mcu::board::WatchdogFeed();
      mcu::board::WaitForEvent();
    }
  }
  tandem::boot::FlashRecordStore records(mcu::board::ImageFlash(), mcu::board::Layout().record0,
                                         mcu::board::Layout().record1);
  mcu::FlashSlotImages images(mcu::BoardImages());
  mcu::ServeSmp(records, images, static_cast<tandem::boot::Slot>(mcu::board::SharedHandover().running));
}
