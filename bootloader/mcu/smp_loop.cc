#include "bootloader/mcu/smp_loop.h"

#include "bootloader/mcu/board.h"
#include "bootloader/mcu/boot/recovery_exit.h"
#include "bootloader/mcu/public_key.h"
#include "bootloader/mcu/smp/frame.h"
#include "bootloader/mcu/smp/server.h"

namespace tandem::mcu {
namespace {

// The board's receive ring holds kBufferCount packets of this size in their frames.
constexpr uint32_t kBufferSize = 2048;
constexpr uint32_t kBufferCount = 4;

constinit uint8_t g_request[kBufferSize + 4] = {};
constinit uint8_t g_response[kBufferSize] = {};

void LeaveRecoveryWhenDue(boot::FlashRecordStore& records, RecoveryExit& exit) {
  if (!exit.IsDue(board::Milliseconds())) return;
  exit.Heard(board::Milliseconds());
  if (!HasSomethingToBoot(records.Load())) return;
  board::ConsoleWrite("boot: nobody asks for anything, the slots are tried again\n");
  ++board::SharedHandover().recovery_exits;
  board::Reset(ResetCause::kSoftware);
}

void Send(void*, std::span<const uint8_t> frame) { board::SerialWrite(frame); }

}  // namespace

SlotImagesConfig BoardImages() {
  return {.flash = &board::ImageFlash(),
          .layout = board::Layout(),
          .rules = {.key = &kImageKey, .hardware_id = board::HardwareId(), .keep_alive = board::WatchdogFeed},
          .ram = board::ImageRam,
          .flash_address = board::FlashAddress};
}

void ServeSmp(boot::FlashRecordStore& records, SlotImages& images, boot::Slot running) {
  const Handover& handover = board::SharedHandover();
  const Device device = {.flash = &board::ImageFlash(),
                         .layout = board::Layout(),
                         .records = &records,
                         .images = &images,
                         .running = running,
                         .reset_cause = handover.cause,
                         .boots = handover.boots,
                         .buffer_size = kBufferSize,
                         .buffer_count = kBufferCount,
                         .keep_alive = board::WatchdogFeed};
  PacketDecoder decoder(g_request);
  SmpServer server(device, g_response);
  RecoveryExit exit(handover.recovery_exits, board::Milliseconds());
  for (;;) {
    board::WatchdogFeed();
    uint8_t byte = 0;
    if (device.InRecovery()) LeaveRecoveryWhenDue(records, exit);
    if (!board::SerialRead(byte)) {
      board::WaitForEvent();
      continue;
    }
    const std::span<const uint8_t> packet = decoder.Feed(byte);
    if (packet.empty()) continue;
    const std::span<const uint8_t> response = server.Handle(packet);
    exit.Heard(board::Milliseconds());
    if (!response.empty()) WritePacket(response, Send, nullptr);
    if (!server.reset_wanted()) continue;
    if (server.recovery_wanted()) board::SharedHandover().recovery = kRecoveryWanted;
    board::Reset(ResetCause::kSoftware);
  }
}

}  // namespace tandem::mcu
