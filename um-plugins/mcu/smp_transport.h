// How SMP packets get to a device and back; transports.h opens the real ones, fake_line.h injects faults.
//
// No transport promises anything: a packet may be lost, doubled, damaged or late. What is lost is the client's care
// (smp_client.h).
#ifndef TANDEM_UM_PLUGINS_MCU_SMP_TRANSPORT_H_
#define TANDEM_UM_PLUGINS_MCU_SMP_TRANSPORT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem::smp {

// Not thread-safe.
class SmpTransport {
 public:
  virtual ~SmpTransport() = default;

  // Queues one packet; what is queued goes out during Receive(). Does not block. UNAVAILABLE: the line is gone, and the
  // transport is of no more use.
  virtual absl::Status Send(std::string_view packet) = 0;

  // The next packet that comes in before `until` (as of Clock::Monotonic()), nullopt when none does. It may be any
  // bytes. UNAVAILABLE as above.
  virtual absl::StatusOr<std::optional<std::string>> Receive(absl::Duration until) = 0;

  // No larger packet can be sent.
  virtual size_t MaxPacket() const = 0;

  // Bytes on the line for a packet of so many bytes; for choosing how much to put into one.
  virtual size_t LineBytes(size_t packet_size) const { return packet_size; }

  // Why the device may be silent, for people; empty when nothing is known.
  virtual std::string Trouble() const { return {}; }
};

// Opens the line. Called again after the line was lost: a USB device comes back after its reset.
using Connect = std::function<absl::StatusOr<std::unique_ptr<SmpTransport>>()>;

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_SMP_TRANSPORT_H_
