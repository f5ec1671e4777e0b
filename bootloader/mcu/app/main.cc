// A small application for the tests and as an example: it serves SMP on the serial line and feeds the watchdog.
//
// TANDEM_APP_VARIANT, at compile time:
//   good     as said
//   crash    a fault right after the start
//   hang     interrupts off and never feeding the watchdog, whose warning it ignores, too
//   silent   feeds the watchdog, but does not speak SMP
#include "bootloader/mcu/board.h"
#include "bootloader/mcu/smp_loop.h"

namespace {

#define VARIANT_good 1
#define VARIANT_crash 2
#define VARIANT_hang 3
#define VARIANT_silent 4
#define VARIANT_OF(name) VARIANT_##name
#define VARIANT_VALUE(name) VARIANT_OF(name)
constexpr int kVariant = VARIANT_VALUE(TANDEM_APP_VARIANT);
constexpr int kCrash = VARIANT_crash;
constexpr int kHang = VARIANT_hang;
constexpr int kSilent = VARIANT_silent;

[[noreturn]] void Hang() {
  asm volatile("cpsid i" ::: "memory");
  for (;;) asm volatile("" ::: "memory");
}

}  // namespace

#if VARIANT_VALUE(TANDEM_APP_VARIANT) == 3
extern "C" void WatchdogInterrupt() { Hang(); }
#endif

int main() {
  namespace mcu = tandem::mcu;
  mcu::board::Init();
  mcu::board::ConsoleWrite("app: " TANDEM_APP_VERSION "\n");
  if constexpr (kVariant == kCrash) asm volatile("udf #0");
  if constexpr (kVariant == kHang) Hang();
  if constexpr (kVariant == kSilent) {
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
