#include "um-plugins/mcu/fake_line.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "um-plugins/mcu/serial_framing.h"

namespace tandem::smp {

void FakeLine::Schedule(bool to_device, std::string packet) {
  if (Happens(faults_.loss)) return;
  if (faults_.frame_loss > 0) {
    const std::string frames = EncodeSerialFrames(packet);
    if (Happens(1 - std::pow(1 - faults_.frame_loss, std::count(frames.begin(), frames.end(), '\n')))) return;
  }
  if (Happens(faults_.corrupt)) {
    std::string frames = EncodeSerialFrames(packet);
    frames[random_() % frames.size()] = static_cast<char>(random_());
    // Either the damage shows, or it changed nothing that counts.
    const std::vector<std::string> packets = SerialDecoder().Feed(frames);
    if (packets.empty()) return;
    packet = packets[0];
  }
  const absl::Duration late = Happens(faults_.reorder) ? 3 * latency_ : absl::ZeroDuration();
  const absl::Duration at = clock_.Monotonic() + latency_ + late;
  if (Happens(faults_.duplicate)) events_.emplace(at + latency_ / 2, Event{to_device, packet});
  events_.emplace(at, Event{to_device, std::move(packet)});
}

absl::Status FakeLine::Send(std::string_view packet) {
  if (observer_) RETURN_IF_ERROR(observer_(packet));
  Schedule(/*to_device=*/true, std::string(packet));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> FakeLine::Receive(absl::Duration until) {
  while (!events_.empty() && events_.begin()->first <= until) {
    const absl::Duration at = events_.begin()->first;
    const Event event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    if (at > clock_.Monotonic()) clock_.Advance(at - clock_.Monotonic());
    if (!event.to_device) return event.packet;
    std::optional<std::string> answer = mcu_.Handle(event.packet, at);
    if (answer.has_value()) Schedule(/*to_device=*/false, *std::move(answer));
  }
  if (until > clock_.Monotonic() && until != absl::InfiniteDuration()) clock_.Advance(until - clock_.Monotonic());
  return std::nullopt;
}

}  // namespace tandem::smp
