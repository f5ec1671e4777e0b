// One image of a device: what runs, what lies beside it, and how to get from one to the other by resets.
//
// Whatever numbers its slots have: images are told apart by their hash and their flags, because a swap moves them.
#ifndef TANDEM_UM_PLUGINS_MCU_MCU_DEVICE_H_
#define TANDEM_UM_PLUGINS_MCU_MCU_DEVICE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "um-plugins/mcu/mcu_commands.h"
#include "um-plugins/mcu/smp_client.h"
#include "um-plugins/mcu/transports.h"

namespace tandem::plugins {

struct McuState {
  smp::ImageSlot active;
  // The slot that does not run, when an image is in it.
  std::optional<smp::ImageSlot> other;
  // Of all images of the device.
  std::vector<smp::ImageSlot> slots;

  // What runs will run after the next reset, too.
  bool Settled() const { return active.confirmed && !(other.has_value() && other->pending); }
  bool OtherIs(const std::string& hash) const { return other.has_value() && other->hash == hash; }
};

struct McuDeviceOptions {
  uint32_t image = 0;
  absl::Duration answer_timeout = absl::Seconds(10);
  absl::Duration boot_timeout = absl::Minutes(2);
  std::function<bool()> cancelled;
  // Resets the device without its help; optional.
  std::function<absl::Status()> reset;
};

// Not thread-safe. The line is opened when it is first needed.
class McuDevice {
 public:
  // `clock` must outlive it.
  McuDevice(smp::Connect connect, Clock& clock, McuDeviceOptions options);

  // FAILED_PRECONDITION when the device has no such image; the errors of SmpClient::Ask().
  absl::StatusOr<McuState> ReadState(absl::Duration timeout);
  // As ReadState(), and waits for a device that may be booting.
  absl::StatusOr<McuState> WaitForState() { return ReadState(options_.boot_timeout); }

  // Resets the device and waits until it has booted. When an image was pending before, it is not any more: it runs, or
  // the bootloader did not want it. Otherwise the device has had the time to reset; whether it did shows in what runs.
  // DEADLINE_EXCEEDED: it did not come back.
  absl::StatusOr<McuState> Reset();

  smp::SmpClient& client() { return client_; }

 private:
  absl::Status AskForReset();

  Clock& clock_;
  const McuDeviceOptions options_;
  smp::ReconnectingTransport line_;
  smp::SmpClient client_;
};

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_MCU_MCU_DEVICE_H_
