// An SMP server (Zephyr's "Simple Management Protocol", versions 1 and 2) for image updates. The same in the
// application and in the bootloader's serial recovery. Freestanding, no heap, and safe against any packet.
//
//   SmpServer server(device, response_buffer);
//   const std::span<const uint8_t> response = server.Handle(packet);
//   if (!response.empty()) WritePacket(response, ...);
//   if (server.reset_wanted()) board::Reset(ResetCause::kSoftware);
//
// | group/command | read | write |
// | 0/0 echo | d -> r | d -> r |
// | 0/5 reset | | boot_mode? (1: into serial recovery) |
// | 0/6 buffer parameters | buf_size, buf_count | |
// | 1/0 image state | images | hash?, confirm? -> images |
// | 1/1 upload | | off, data, first: len, sha?, image?, upgrade? -> off, match? |
// | 1/5 erase | | slot? |
// | 1/6 slot info | images | |
// | 100/0 boot facts | running, confirmed, trial, attempts_left, security_counter, reset_cause, boots | |
// | 100/1 seal | | security_counter: raises the device's floor, never above the running image's |
//
// Group 100 is ours; clients work without it.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_SERVER_H_
#define TANDEM_BOOTLOADER_MCU_SMP_SERVER_H_

#include <cstdint>
#include <span>

#include "bootloader/mcu/smp/cbor.h"
#include "bootloader/mcu/smp/device.h"
#include "bootloader/mcu/smp/image_group.h"
#include "bootloader/mcu/smp/request.h"

namespace tandem::mcu {

class SmpServer {
 public:
  // Both outlive the server. `buffer` takes responses: at least 512 bytes, and as much as an echo is long.
  SmpServer(const Device& device, std::span<uint8_t> buffer) : device_(device), images_(device), buffer_(buffer) {}

  // The response, valid until the next call; empty for what is no request.
  std::span<const uint8_t> Handle(std::span<const uint8_t> packet);

  // A reset was asked for and its response is out.
  bool reset_wanted() const { return reset_wanted_; }
  bool recovery_wanted() const { return recovery_wanted_; }

 private:
  Answer Dispatch(const SmpHeader& header, const SmpFields& fields, CborWriter& out);
  Answer Os(const SmpHeader& header, const SmpFields& fields, CborWriter& out);
  Answer Image(const SmpHeader& header, const SmpFields& fields, CborWriter& out);
  Answer Tandem(const SmpHeader& header, const SmpFields& fields, CborWriter& out);
  Answer Reset(const SmpFields& fields);
  Answer BootFacts(CborWriter& out);

  const Device& device_;
  ImageGroup images_;
  const std::span<uint8_t> buffer_;
  bool reset_wanted_ = false;
  bool recovery_wanted_ = false;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_SERVER_H_
