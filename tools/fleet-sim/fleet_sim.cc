#include "tools/fleet-sim/fleet_sim.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::fleetsim {
namespace {

constexpr uint64_t kOtherFiles = 64;
constexpr absl::Duration kAskDone = absl::Milliseconds(100);
// For the last words.
constexpr absl::Duration kGoodbye = absl::Seconds(10);

}  // namespace

// Where units' messages go.
class FleetSim::Air : public World {
 public:
  Air(const FleetSimOptions& sim_options, FleetSim& sim)
      : World(sim_options.world, sim_options.behaviour, Clock::Real()), sim_(sim) {}

  absl::Status Send(uint32_t unit, const MqttMessage& message) override {
    return sim_.lines_->Publish(sim_.sleepy() ? unit % sim_.options_.connections : unit, message);
  }

 private:
  FleetSim& sim_;
};

FleetSim::FleetSim(FleetSimOptions options) : options_(std::move(options)) {}

FleetSim::~FleetSim() = default;

absl::StatusOr<std::unique_ptr<FleetSim>> FleetSim::Create(FleetSimOptions options) {
  RETURN_IF_ERROR(CheckTopicLevel(options.world.name_space, "namespace"));
  RETURN_IF_ERROR(CheckTopicLevel(options.world.prefix, "prefix"));
  if (options.world.units == 0) return absl::InvalidArgumentError("a fleet has at least one unit");
  options.world.sleepy = options.connections > 0;
  auto sim = std::unique_ptr<FleetSim>(new FleetSim(std::move(options)));
  RETURN_IF_ERROR(sim->Prepare());
  return sim;
}

absl::Status FleetSim::Prepare() {
  const uint32_t units = options_.world.units;
  const uint32_t lines = sleepy() ? std::min(options_.connections, units) : units;
  RETURN_IF_ERROR(AllowOpenFiles(lines + 2 * std::min<uint64_t>(lines, kLinesWithSocketPair) + kOtherFiles));
  ASSIGN_OR_RETURN(lines_, MqttLines::Create(options_.line, *this));
  world_ = std::make_unique<Air>(options_, *this);
  for (uint32_t i = 0; i < units; ++i) units_.emplace_back(*world_, i);
  armed_.assign(units, absl::InfiniteDuration());
  busy_.assign(units, false);
  lives_.assign(lines, 0);
  const std::string& ns = options_.world.name_space;
  for (uint32_t i = 0; i < lines; ++i) {
    if (!sleepy()) {
      const UnitTopics topics(ns, world_->UnitId(i));
      RETURN_IF_ERROR(lines_->Add(
          absl::StrCat("tandem-", ns, "-", world_->UnitId(i)), world_->UnitId(i),
          {topics.desired, topics.wake, topics.verdict, topics.diagnostics_command, topics.ack, topics.key_sets}));
      continue;
    }
    std::vector<std::string> subscriptions;
    if (i == 0) {
      const UnitTopics all(ns, "+");
      subscriptions = {all.desired, all.wake, all.verdict, all.diagnostics_command, all.ack, all.key_sets};
    }
    const std::string name = absl::StrCat(options_.world.prefix, "line-", i);
    RETURN_IF_ERROR(lines_->Add(absl::StrCat("tandem-", ns, "-", name), name, std::move(subscriptions)));
  }
  return absl::OkStatus();
}

absl::Status FleetSim::TrustKeySet(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string envelope, FileSystem::Real().ReadFile(file, kMaxEnvelopeBytes));
  RETURN_IF_ERROR(Annotate(TrustedKeys::FromFirst(envelope, options_.world.name_space).status(), file));
  world_->catalog.first_key_set = envelope;
  return absl::OkStatus();
}

// --- timers ---

void FleetSim::Arm(uint32_t unit) {
  CountBusy(unit);
  const absl::Duration due = units_[unit].NextDue();
  if (due >= armed_[unit]) return;
  armed_[unit] = due;
  timers_.push({.due = due, .unit = unit, .what = Timer::What::kTick});
}

void FleetSim::CountBusy(uint32_t unit) {
  const bool busy = units_[unit].busy();
  if (busy == busy_[unit]) return;
  busy_[unit] = busy;
  busy_units_ += busy ? 1 : -1;
}

void FleetSim::RunTimers() {
  const absl::Duration now = Now();
  while (!timers_.empty() && timers_.top().due <= now) {
    const Timer timer = timers_.top();
    timers_.pop();
    switch (timer.what) {
      case Timer::What::kConnect:
        Connect(timer.unit);
        break;
      case Timer::What::kCut:
        if (lines_->connected(timer.unit)) lines_->Cut(timer.unit);
        break;
      case Timer::What::kTick:
        if (armed_[timer.unit] != timer.due) break;
        armed_[timer.unit] = absl::InfiniteDuration();
        units_[timer.unit].Tick();
        Arm(timer.unit);
        break;
    }
  }
}

// --- connections ---

void FleetSim::Connect(uint32_t unit) {
  if (!sleepy()) {
    lines_->Connect(unit);
    return;
  }
  if (!lines_->connected(0) || !lines_->connected(unit % options_.connections)) {
    timers_.push({.due = Now() + options_.reconnect, .unit = unit, .what = Timer::What::kConnect});
    return;
  }
  ++connected_;
  ++appeared_;
  units_[unit].Connected();
  Arm(unit);
}

std::optional<MqttMessage> FleetSim::LineWill(uint32_t line) {
  return sleepy() ? std::nullopt : units_[line].NextWill();
}

void FleetSim::LineConnected(uint32_t line) {
  ++world_->figures.connects;
  last_news_ = Now();
  const uint32_t life = lives_[line]++;
  if (sleepy()) return;
  ++connected_;
  if (life == 0) ++appeared_;
  units_[line].Connected();
  Arm(line);
  if (!world_->behaviour.Flaps(line)) return;
  timers_.push({.due = Now() + world_->behaviour.FlapAfter(line, life), .unit = line, .what = Timer::What::kCut});
}

void FleetSim::LineLost(uint32_t line, const std::string& reason) {
  if (reason == "cut") {
    ++world_->figures.connections_lost;
  } else {
    ++world_->figures.connection_errors;
    last_error_ = reason;
  }
  const double part = 1 + 0.5 * world_->behaviour.Share("reconnect", line, lives_[line]);
  if (sleepy()) {
    lines_to_connect_.push_back({Now() + options_.reconnect * part, line});
    return;
  }
  SimUnit& unit = units_[line];
  if (unit.connected()) --connected_;
  unit.Disconnected(reason);
  timers_.push({.due = Now() + options_.reconnect * part, .unit = line, .what = Timer::What::kConnect});
}

void FleetSim::LineMessage(uint32_t line, MqttMessage message) {
  std::optional<uint32_t> unit = line;
  if (sleepy()) {
    const std::string_view topic = message.topic;
    const size_t start = options_.world.name_space.size() + 1;
    // {ns}/keysets is nobody's: the first unit tells the others.
    unit = topic == absl::StrCat(options_.world.name_space, "/keysets")
               ? 0
               : world_->UnitOf(topic.substr(start, topic.find('/', start) - start));
    if (!unit.has_value()) return;
  }
  last_news_ = Now();
  units_[*unit].HandleMessage(message);
  Arm(*unit);
}

// --- life ---

absl::Duration FleetSim::idle_for() const {
  if (appeared_ < units() || busy_units_ > 0 || lines_->in_flight() > 0) return absl::ZeroDuration();
  return Now() - last_news_;
}

void FleetSim::Run(const std::function<bool()>& done) {
  const absl::Duration start = Now();
  last_news_ = start;
  if (sleepy()) {
    for (uint32_t line = 0; line < lives_.size(); ++line) lines_->Connect(line);
  }
  for (uint32_t unit = 0; unit < units(); ++unit) {
    const absl::Duration turn = absl::Seconds(unit / options_.connect_rate);
    timers_.push({.due = start + std::max(turn, world_->behaviour.AppearsAfter(unit)),
                  .unit = unit,
                  .what = Timer::What::kConnect});
  }
  absl::Duration ask = start;
  while (!stopping_) {
    const absl::Duration now = Now();
    if (now >= ask) {
      ask = now + kAskDone;
      if (done()) break;
    }
    const absl::Duration next = timers_.empty() ? ask : std::min(ask, timers_.top().due);
    lines_->Run(std::max(next - now, absl::ZeroDuration()));
    RunTimers();
    for (size_t left = lines_to_connect_.size(); left > 0; --left) {
      const auto [due, line] = lines_to_connect_.front();
      lines_to_connect_.pop_front();
      if (due <= Now()) {
        lines_->Connect(line);
      } else {
        lines_to_connect_.emplace_back(due, line);
      }
    }
  }
  SayGoodbye();
}

void FleetSim::SayGoodbye() {
  if (!sleepy()) {
    for (uint32_t unit = 0; unit < units(); ++unit) {
      if (!lines_->connected(unit)) continue;
      if (const std::optional<MqttMessage> goodbye = units_[unit].Goodbye(); goodbye.has_value()) {
        lines_->Publish(unit, *goodbye).IgnoreError();
      }
    }
  }
  const absl::Duration deadline = Now() + kGoodbye;
  while (lines_->in_flight() > 0 && Now() < deadline) lines_->Run(absl::Milliseconds(10));
  for (uint32_t line = 0; line < lives_.size(); ++line) lines_->Disconnect(line);
}

uint64_t FleetSim::ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace tandem::fleetsim
