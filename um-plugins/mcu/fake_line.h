// For tests: a line to a FakeMcu on virtual time, which loses, doubles, delays, swaps and damages packets by seed.
//
//   FakeClock clock;
//   FakeMcu mcu;
//   FakeLine line(mcu, clock, {.loss = 0.01, .seed = 7});
//   SmpClient client(line, clock, {});
#ifndef TANDEM_UM_PLUGINS_MCU_FAKE_LINE_H_
#define TANDEM_UM_PLUGINS_MCU_FAKE_LINE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "um-plugins/mcu/fake_mcu.h"
#include "um-plugins/mcu/smp_transport.h"

namespace tandem::smp {

struct LineFaults {
  // Each from 0 to 1, for a packet in either direction.
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;
  // For each serial frame of a packet: any one that is lost costs the packet.
  double frame_loss = 0;
  // One byte is changed within the packet's serial frames.
  double corrupt = 0;
  uint64_t seed = 1;
};

// Not thread-safe.
class FakeLine : public SmpTransport {
 public:
  // Both must outlive it.
  FakeLine(FakeMcu& mcu, FakeClock& clock, LineFaults faults = {}, absl::Duration latency = absl::Milliseconds(2))
      : mcu_(mcu), clock_(clock), faults_(faults), latency_(latency), random_(faults.seed) {}

  // Called with each packet that is sent, before it is; an error is what Send() says.
  void SetObserver(std::function<absl::Status(std::string_view packet)> observer) { observer_ = std::move(observer); }

  absl::Status Send(std::string_view packet) override;
  absl::StatusOr<std::optional<std::string>> Receive(absl::Duration until) override;
  size_t MaxPacket() const override { return 4096; }

 private:
  struct Event {
    bool to_device = false;
    std::string packet;
  };
  void Schedule(bool to_device, std::string packet);
  bool Happens(double chance) { return std::uniform_real_distribution<double>(0, 1)(random_) < chance; }

  FakeMcu& mcu_;
  FakeClock& clock_;
  const LineFaults faults_;
  const absl::Duration latency_;
  std::mt19937_64 random_;
  std::multimap<absl::Duration, Event> events_;
  std::function<absl::Status(std::string_view)> observer_;
};

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_FAKE_LINE_H_
