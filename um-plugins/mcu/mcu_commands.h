// The SMP commands that an update needs, as functions. All errors of SmpClient::Ask().
#ifndef TANDEM_UM_PLUGINS_MCU_MCU_COMMANDS_H_
#define TANDEM_UM_PLUGINS_MCU_MCU_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "um-plugins/mcu/smp_client.h"

namespace tandem::smp {

// One slot of one image, as `image state` tells. A device without swap, or after a swap, has its images under other
// numbers than before: only `hash` names an image.
struct ImageSlot {
  uint32_t image = 0;
  uint32_t slot = 0;
  std::string version;
  // The value of the image's hash tag, of whatever length.
  std::string hash;
  // The device would boot it. nullopt: it does not say.
  std::optional<bool> bootable;
  // Booted next.
  bool pending = false;
  // Booted for good.
  bool confirmed = false;
  // Runs.
  bool active = false;
  // With pending: not only tested.
  bool permanent = false;
};

absl::StatusOr<std::vector<ImageSlot>> ReadImageState(SmpClient& client,
                                                      std::optional<absl::Duration> timeout = std::nullopt);

// The image of this hash is booted next, once.
absl::Status TestImage(SmpClient& client, const std::string& hash);

// The image of this hash is booted for good, whether or not it runs now.
absl::Status ConfirmImage(SmpClient& client, const std::string& hash);

// The image that runs is booted for good. Without a hash, so that a device that has just fallen back confirms what it
// runs already, and not an image beside it.
absl::Status ConfirmRunningImage(SmpClient& client);

// Asked for once only: a reset that comes twice would end the one boot that a tested image has. UNAVAILABLE-like
// silence is no error: the answer may be lost with the reset, or the request; the image state tells.
absl::Status ResetDevice(SmpClient& client);

struct BufferParameters {
  // The largest request, with its header.
  uint32_t size = 0;
  uint32_t count = 0;
};

// Careful values when the device does not know the command.
absl::StatusOr<BufferParameters> ReadBufferParameters(SmpClient& client);
inline constexpr BufferParameters kUnknownBuffers = {.size = 256, .count = 1};

// The size of the image's largest slot; nullopt when the device does not tell. An image that is larger than it cannot
// be installed.
absl::StatusOr<std::optional<uint64_t>> ReadSlotSize(SmpClient& client, uint32_t image);

// Group 100 of our own bootloader's applications: id 0 reads, id 1 raises {security_counter}.
struct BootInfo {
  std::optional<std::string> running;
  std::optional<std::string> confirmed;
  std::optional<std::string> trial;
  std::optional<uint32_t> attempts_left;
  std::optional<uint64_t> security_counter;
};

// nullopt: another device, which says that it does not know the group. Silence is an error: a seal rests on the answer.
absl::StatusOr<std::optional<BootInfo>> ReadBootInfo(SmpClient& client,
                                                     std::optional<absl::Duration> timeout = std::nullopt);

// UNIMPLEMENTED: another device, which says so.
absl::Status RaiseSecurityCounter(SmpClient& client, uint64_t counter);

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_MCU_COMMANDS_H_
