// Everything that bootloader and application need of a board. A port is one file that implements this (and its linker
// scripts and layout): port/mps2_an385.cc.
//
// One core, no threads; only what is said here runs in interrupts.
#ifndef TANDEM_BOOTLOADER_MCU_BOARD_H_
#define TANDEM_BOOTLOADER_MCU_BOARD_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "bootloader/core/flash.h"
#include "bootloader/mcu/flash_layout.h"
#include "bootloader/mcu/handover.h"

namespace tandem::mcu::board {

// First of all: clocks, serial lines, interrupts.
void Init();

// What an image must name to be taken.
std::span<const uint8_t> HardwareId();
// Refuses what the medium cannot do: programs only erased places, erases whole sectors, reads back.
boot::Flash& ImageFlash();
const FlashLayout& Layout();
// Where the processor sees a place of ImageFlash(); 0 when it is not memory-mapped.
uint32_t FlashAddress(uint32_t at);
// The RAM at `address`; empty when any byte of it is not meant for images.
std::span<uint8_t> ImageRam(uint32_t address, uint32_t size);

// The line that speaks SMP. Reading takes what interrupts have collected: false when there is none.
bool SerialRead(uint8_t& byte);
void SerialWrite(std::span<const uint8_t> bytes);
// Text for a person, on a line of its own. Returns within a few milliseconds, also when the line is stuck: the rest of
// the text is dropped then.
void ConsoleWrite(const char* text);

// Sleeps until an interrupt, at most about 100 ms.
void WaitForEvent();
// Since Init(); wraps.
uint32_t Milliseconds();

// Resets the chip when nobody feeds it for kWatchdogMs, whatever the software does: it cannot be stopped again, also
// not by the image that runs.
inline constexpr uint32_t kWatchdogMs = 4000;
void WatchdogStart();
void WatchdogFeed();

Handover& SharedHandover();
[[noreturn]] void Reset(ResetCause cause);
// Gives the processor to an image as after a reset: stack and entry from its vector table. The watchdog goes on.
[[noreturn]] void Jump(uint32_t vector_table);

}  // namespace tandem::mcu::board

#endif  // TANDEM_BOOTLOADER_MCU_BOARD_H_
