#include "tools/bench/message_bench.h"

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/net/message_envelope.h"
#include "fleet/messaging/unit_message_reader.h"

namespace tandem::bench {
namespace {

constexpr int kRounds = 15;
constexpr int kMessages = 1000;

std::string ReportText() {
  unit::v1::Reported reported;
  reported.set_boot_id("5d1f8c52-6f0e-4b0f-9a53-6f1f3a5e1f0d");
  reported.set_sequence(412);
  reported.set_phase("Idle");
  reported.set_cm_version("0.1.0");
  reported.set_hardware("rev-b");
  for (const char* name : {"bootloader", "rootfs", "models", "config", "mcu"}) {
    unit::v1::ComponentReport& component = *reported.add_components();
    component.set_node_id("main");
    component.set_component_id(name);
    component.set_component_type("rootfs-ab");
    component.set_version("2026.11.3");
    component.set_state("installed");
    component.set_slot_running("a");
    component.set_slot_confirmed("a");
  }
  for (const char* name : {"firmware", "model", "config"}) {
    unit::v1::PlaneReport& plane = *reported.add_planes();
    plane.set_plane(name);
    plane.set_release_digest(std::string(64, 'c'));
    plane.set_release_id("gateway-2026.11.3");
  }
  (*reported.mutable_attributes())["region"] = "eu-central";
  (*reported.mutable_attributes())["customer"] = "acme";
  return *EncodeMessage({.msg_id = NewMessageId(),
                         .type = kReportedMessage,
                         .ts = absl::Now(),
                         .boot_id = reported.boot_id(),
                         .epoch = 17,
                         .seq = 3012,
                         .payload = *MessageToJson(reported)});
}

absl::Duration CpuTime() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

template <typename F>
absl::Duration TimeOfOne(F read) {
  const absl::Duration start = CpuTime();
  for (int i = 0; i < kMessages; ++i) read();
  return (CpuTime() - start) / kMessages;
}

absl::Duration Median(std::vector<absl::Duration>& times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// A reader that fails would look fast.
void Check(bool good) {
  if (!good) std::abort();
}

}  // namespace

MessageBenchResult RunMessageBench() {
  const std::string topic = "acme/gw-000017/reported";
  const std::string json = ReportText();
  std::vector<absl::Duration> ours;
  std::vector<absl::Duration> general;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(TimeOfOne([&] {
      const absl::StatusOr<fleet::UnitTopic> unit = fleet::ParseUnitTopic("acme", topic);
      fleet::UnitMessage message;
      Check(unit.ok() && fleet::ReadUnitMessage(*unit, json, 1 << 20, message).ok());
    }));
    general.push_back(TimeOfOne([&] {
      const absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(json);
      unit::v1::Reported reported;
      Check(envelope.ok() && MessageFromJson(envelope->payload, reported).ok());
    }));
  }
  return {.bytes = json.size(), .ours = Median(ours), .general = Median(general)};
}

}  // namespace tandem::bench
