#include "tools/fleet-sim/sim_unit.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cm/cloud/unit_session.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "tools/fleet-sim/counting_outbox.h"

namespace tandem::fleetsim {
namespace {

constexpr absl::Duration kVerdictTimeout = absl::Minutes(2);

void AddComponent(const std::string& id, const std::string& type, const std::string& version, bool installing,
                  google::protobuf::RepeatedPtrField<unit::v1::ComponentReport>& reports) {
  unit::v1::ComponentReport& report = *reports.Add();
  report.set_node_id("main");
  report.set_component_id(id);
  report.set_component_type(type);
  report.set_version(version);
  report.set_state(installing ? "installing" : "installed");
}

bool IsFor(const release::v1::ReleaseComponent& component, const std::string& hardware) {
  return component.hardware().empty() ||
         std::ranges::find(component.hardware(), hardware) != component.hardware().end();
}

}  // namespace

// --- Awake ---

// What a unit has only while it is awake.
class SimUnit::Awake : public MqttPublisher {
 public:
  explicit Awake(SimUnit& unit)
      : unit_(unit),
        world_(unit.world_),
        outbox_({.backoff = {.first = world_.options.resend}}, world_.figures),
        session_({.unit_id = world_.UnitId(unit.number_),
                  .name_space = world_.options.name_space,
                  .boot_id = BootId(),
                  .epoch = ++unit.epoch_,
                  .heartbeat = world_.options.heartbeat},
                 world_.clock, outbox_, *this) {
    session_.SetCallbacks({.desired = [this](DesiredEnvelopes documents) { TakeDesired(documents); },
                           .verdict = [this](const std::string& envelope) { TakeVerdict(envelope); },
                           .diagnostic = [this](const std::string& envelope) { TakeDiagnostic(envelope); },
                           .key_sets =
                               [this](const std::vector<std::string>& key_sets) {
                                 ++world_.figures.key_sets;
                                 world_.catalog.TakeKeySets(key_sets);
                               },
                           .unreadable = [this](const absl::Status&) { ++world_.figures.unreadable; }});
    session_.PublishReported(MakeReported()).IgnoreError();
    ++world_.figures.awake;
  }
  ~Awake() override {
    if (update_.has_value()) --world_.figures.running;
    --world_.figures.awake;
  }

  cm::UnitSession& session() { return session_; }
  const cm::UnitSession& session() const { return session_; }
  // What it says meanwhile was said before.
  void Mute(bool muted) { muted_ = muted; }
  void MutePresence(bool muted) { presence_muted_ = muted; }

  bool busy() const { return update_.has_value() || outbox_.size() > 0 || !delayed_.empty() || !diagnostics_.empty(); }

  absl::Duration NextDue() const {
    absl::Duration due = session_.NextDue();
    if (update_.has_value()) due = std::min(due, update_->due);
    for (const Delayed& delayed : delayed_) due = std::min(due, delayed.due);
    for (const Diagnostic& diagnostic : diagnostics_) due = std::min(due, diagnostic.due);
    return due;
  }

  void Tick() {
    const absl::Duration now = world_.clock.Monotonic();
    std::vector<Delayed> late = std::exchange(delayed_, {});
    for (Delayed& delayed : late) {
      if (delayed.due > now) {
        delayed_.push_back(std::move(delayed));
      } else {
        SendNow(delayed.message).IgnoreError();
      }
    }
    while (update_.has_value() && update_->due <= now) TakeStep();
    AnswerDiagnostics(now);
    session_.Tick();
  }

  // From the session.
  absl::Status Publish(const MqttMessage& message) override {
    if (muted_ || (presence_muted_ && message.topic.ends_with("/presence"))) return absl::OkStatus();
    const uint64_t count = ++said_;
    const absl::Duration delay = world_.behaviour.Delay(unit_.number_, count);
    if (delay > absl::ZeroDuration()) {
      delayed_.push_back({.due = world_.clock.Monotonic() + delay, .message = message});
      return absl::OkStatus();
    }
    if (world_.behaviour.Duplicates(unit_.number_, count)) SendNow(message).IgnoreError();
    return SendNow(message);
  }

 private:
  struct Update {
    Order order;
    PlaneIndexes target{};
    std::vector<Step> steps;
    size_t next = 0;
    absl::Duration due;
    bool waits_for_verdict = false;
  };
  struct Diagnostic {
    absl::Duration due;
    std::string run_id;
    std::string triggered_by;
    unit::v1::DiagnosticResult result;
  };
  struct Delayed {
    absl::Duration due;
    MqttMessage message;
  };

  std::string BootId() const { return absl::StrCat("boot-", unit_.number_, "-", unit_.boots_); }

  absl::Status SendNow(const MqttMessage& message) {
    const absl::Status sent = world_.Send(unit_.number_, message);
    ++(sent.ok() ? world_.figures.sent : world_.figures.not_sent);
    return sent;
  }

  void AddComponents(const PlaneIndexes& runs, bool installing,
                     google::protobuf::RepeatedPtrField<unit::v1::ComponentReport>& reports) const {
    const std::string& hardware = world_.behaviour.Choose(world_.options.hardware, "hardware", unit_.number_);
    for (const auto& component : world_.options.components) {
      const auto& type = component.first;
      const auto& version = component.second;
      const auto brings = [&](ReleaseIndex index) {
        return index != 0 && std::ranges::any_of(world_.catalog.at(index).document.components(),
                                                 [&](const auto& it) { return it.component_type() == type; });
      };
      if (std::ranges::none_of(runs, brings)) AddComponent(type, type, version, installing, reports);
    }
    for (size_t plane = 0; plane < runs.size(); ++plane) {
      if (runs[plane] == 0) continue;
      for (const release::v1::ReleaseComponent& component : world_.catalog.at(runs[plane]).document.components()) {
        if (component.plane() != static_cast<int>(plane) + 1 || !IsFor(component, hardware)) continue;
        const std::string& id = component.component_id();
        AddComponent(id.empty() ? component.component_type() : id, component.component_type(), component.version(),
                     installing, reports);
      }
    }
  }

  void AddPlanes(const PlaneIndexes& runs, google::protobuf::RepeatedPtrField<unit::v1::PlaneReport>& reports) const {
    for (size_t plane = 0; plane < runs.size(); ++plane) {
      if (runs[plane] == 0) continue;
      const KnownRelease& release = world_.catalog.at(runs[plane]);
      unit::v1::PlaneReport& report = *reports.Add();
      report.set_plane(release::v1::Plane_Name(static_cast<release::v1::Plane>(plane + 1)));
      report.set_release_digest(release.digest_hex);
      report.set_release_id(release.document.release_id());
    }
  }

  unit::v1::Reported MakeReported(const std::string& phase = "Idle") const {
    const UnitMemory& memory = unit_.memory_;
    unit::v1::Reported reported;
    reported.set_boot_id(BootId());
    reported.set_sequence(memory.sequence);
    reported.set_attempt(memory.attempt);
    reported.set_phase(phase);
    reported.set_cm_version(TANDEM_VERSION);
    reported.set_hardware(world_.behaviour.Choose(world_.options.hardware, "hardware", unit_.number_));
    for (const auto& [name, values] : world_.options.attributes) {
      (*reported.mutable_attributes())[name] = world_.behaviour.Choose(values, name, unit_.number_);
    }
    AddComponents(memory.runs, phase != "Idle", *reported.mutable_components());
    AddPlanes(memory.runs, *reported.mutable_planes());
    return reported;
  }

  void PublishReported(const std::string& phase = "Idle") {
    session_.PublishReported(MakeReported(phase)).IgnoreError();
  }

  void Say(const Order& order, const std::string& state, const std::string& reason = "") {
    unit::v1::Feedback feedback;
    feedback.set_update_id(absl::StrCat(order.sequence, "-", order.attempt));
    feedback.set_sequence(order.sequence);
    feedback.set_attempt(order.attempt);
    feedback.set_state(state);
    feedback.set_reason(reason);
    feedback.set_correlation_id(order.correlation_id);
    AddComponents(unit_.memory_.runs, state != "applied", *feedback.mutable_components());
    session_.QueueFeedback(feedback).IgnoreError();
  }

  unit::v1::Applied MakeApplied(const Order& order, const PlaneIndexes& runs) const {
    unit::v1::Applied applied;
    applied.set_update_id(absl::StrCat(order.sequence, "-", order.attempt));
    applied.set_sequence(order.sequence);
    applied.set_attempt(order.attempt);
    applied.set_boot_id(BootId());
    applied.set_correlation_id(order.correlation_id);
    AddComponents(runs, /*installing=*/false, *applied.mutable_components());
    AddPlanes(runs, *applied.mutable_planes());
    return applied;
  }

  void TakeDesired(const DesiredEnvelopes& documents) {
    UnitMemory& memory = unit_.memory_;
    const bool verify = world_.behaviour.Share("verify", unit_.number_, memory.sequence) < world_.options.verify_share;
    if (verify) ++world_.figures.verified;
    const absl::StatusOr<Order> order =
        ReadOrder(documents, world_.IdentityOf(unit_.number_), world_.clock.Now(), verify, world_.catalog, memory);
    if (!order.ok()) {
      ++world_.figures.refused;
      if (world_.figures.refused <= 3) {
        LogWarning("a unit refuses its order",
                   {{"unit", world_.UnitId(unit_.number_)}, {"reason", ToPersonText(order.status())}});
      }
      // What it refuses has no numbers that it could name.
      Say({.sequence = memory.sequence, .attempt = memory.attempt}, "refused", ToPersonText(order.status()));
      return;
    }
    switch (order->kind) {
      case Order::Kind::kRepeated:
        ++world_.figures.repeated;
        return;
      case Order::Kind::kRefresh:
        ++world_.figures.refreshed;
        if (update_.has_value()) update_->order.sequence = order->sequence;
        PublishReported(update_.has_value() ? "Preparing" : "Idle");
        return;
      case Order::Kind::kNew:
        ++world_.figures.orders;
        world_.figures.last_order = world_.clock.Now();
        Begin(*order);
        return;
    }
  }

  void Begin(const Order& order) {
    if (update_.has_value()) {
      ++world_.figures.superseded;
      Say(update_->order, "reverting", "superseded");
      Say(update_->order, "reverted", "superseded");
      End();
    }
    Update update{.order = order, .target = Merged(unit_.memory_.runs, order.planes)};
    UpdateOf about{.unit = unit_.number_, .sequence = order.sequence, .commit_on_verified = order.commit_on_verified};
    for (size_t plane = 0; plane < update.target.size(); ++plane) {
      if (update.target[plane] == unit_.memory_.runs[plane]) continue;
      about.release_ids.push_back(world_.catalog.at(update.target[plane]).document.release_id());
    }
    if (about.release_ids.empty()) {
      // It runs all of it already.
      update.steps = {{.what = Step::What::kApplied, .state = "applied", .after = absl::ZeroDuration()}};
    } else {
      update.steps = world_.behaviour.Update(about);
    }
    if (update.steps.empty()) {
      ++world_.figures.silent;
      return;
    }
    update.due = world_.clock.Monotonic() + update.steps[0].after;
    update_ = std::move(update);
    ++world_.figures.running;
    while (update_.has_value() && update_->due <= world_.clock.Monotonic()) TakeStep();
  }

  void TakeStep() {
    Update& update = *update_;
    if (update.waits_for_verdict) {
      Continue(Behaviour::AfterVerdict(/*verified=*/false));
      return;
    }
    const Step step = update.steps[update.next++];
    const Order order = update.order;
    std::string phase = step.state;
    phase[0] = absl::ascii_toupper(static_cast<unsigned char>(phase[0]));
    if (phase == "Trial") ++unit_.boots_;
    switch (step.what) {
      case Step::What::kFeedback:
        Say(order, step.state, step.state == std::string_view("reverting") ? "the health gate failed" : "");
        PublishReported(phase);
        break;
      case Step::What::kProvisional: {
        ++world_.figures.provisional;
        session_.QueueProvisional(MakeApplied(order, update.target)).IgnoreError();
        Say(order, step.state);
        PublishReported(phase);
        update.waits_for_verdict = true;
        const absl::Duration timeout =
            order.verdict_timeout > absl::ZeroDuration() ? order.verdict_timeout : kVerdictTimeout;
        update.due = world_.clock.Monotonic() + timeout;
        return;
      }
      case Step::What::kApplied:
        ++world_.figures.applied;
        Commit(update.target, unit_.memory_);
        End();
        session_.QueueApplied(MakeApplied(order, unit_.memory_.runs)).IgnoreError();
        Say(order, step.state);
        PublishReported();
        return;
      case Step::What::kReverted:
        ++world_.figures.reverted;
        ++unit_.boots_;
        End();
        Say(order, step.state, "the health gate failed");
        PublishReported();
        return;
    }
    update.due += update.steps[update.next].after;
  }

  void Continue(std::vector<Step> steps) {
    update_->steps = std::move(steps);
    update_->next = 0;
    update_->waits_for_verdict = false;
    update_->due = world_.clock.Monotonic();
  }

  void TakeVerdict(const std::string& envelope) {
    if (!update_.has_value() || !update_->waits_for_verdict) return;
    const uint64_t sequence = unit_.memory_.sequence;
    const bool verify = world_.behaviour.Share("verify verdict", unit_.number_, sequence) < world_.options.verify_share;
    if (verify) ++world_.figures.verified;
    const absl::StatusOr<release::v1::Verdict> verdict =
        ReadVerdict(envelope, world_.IdentityOf(unit_.number_), verify, world_.catalog);
    if (!verdict.ok()) {
      ++world_.figures.refused;
      LogWarning("a unit refuses its verdict",
                 {{"unit", world_.UnitId(unit_.number_)}, {"reason", ToPersonText(verdict.status())}});
      return;
    }
    if (verdict->attempt() != update_->order.attempt) return;
    Continue(Behaviour::AfterVerdict(verdict->verified()));
    while (update_.has_value() && update_->due <= world_.clock.Monotonic()) TakeStep();
  }

  // What it runs, or has on trial.
  const KnownRelease* RunningRelease(const std::string& digest) const {
    const ReleaseIndex index = world_.catalog.Find(digest);
    const bool runs = std::ranges::find(unit_.memory_.runs, index) != unit_.memory_.runs.end();
    const bool on_trial = update_.has_value() && update_->waits_for_verdict &&
                          std::ranges::find(update_->target, index) != update_->target.end();
    return index != 0 && (runs || on_trial) ? &world_.catalog.at(index) : nullptr;
  }

  void TakeDiagnostic(const std::string& envelope) {
    const uint64_t count = ++unit_.diagnostics_;
    const bool verify = world_.behaviour.Share("verify diagnostic", unit_.number_, count) < world_.options.verify_share;
    if (verify) ++world_.figures.verified;
    const absl::StatusOr<release::v1::DiagnosticCommand> command =
        ReadDiagnosticCommand(envelope, world_.IdentityOf(unit_.number_), verify, world_.catalog);
    if (!command.ok()) {
      ++world_.figures.refused;
      LogWarning("a unit refuses an order for a diagnostic",
                 {{"unit", world_.UnitId(unit_.number_)}, {"reason", ToPersonText(command.status())}});
      return;
    }
    const bool runs_already = std::ranges::any_of(diagnostics_, [&](const Diagnostic& it) {
      return it.run_id == command->run_id() && it.result.diagnostic() == command->diagnostic();
    });
    if (runs_already) return;
    ++world_.figures.diagnostics;
    Diagnostic diagnostic{
        .due = world_.clock.Monotonic(), .run_id = command->run_id(), .triggered_by = command->triggered_by()};
    diagnostic.result.set_diagnostic(command->diagnostic());
    diagnostic.result.set_release_digest(HexEncode(command->release_digest()));
    diagnostic.result.set_boot_id(BootId());
    const KnownRelease* const release = RunningRelease(command->release_digest());
    const bool known = release != nullptr && std::ranges::any_of(release->document.diagnostics(), [&](const auto& it) {
                         return it.name() == command->diagnostic();
                       });
    if (!known) {
      diagnostic.result.set_outcome("error");
      diagnostic.result.set_reason("the unit does not run such a release with such a diagnostic");
      ++world_.figures.diagnostics_failed;
      diagnostics_.push_back(std::move(diagnostic));
      return AnswerDiagnostics(world_.clock.Monotonic());
    }
    const DiagnosticOf run{.unit = unit_.number_,
                           .run_id = command->run_id(),
                           .release_id = release->document.release_id(),
                           .diagnostic = command->diagnostic()};
    const absl::Duration took = world_.behaviour.TimeOf(run);
    diagnostic.due += took;
    if (!SetOutcome(world_.behaviour.OutcomeOf(run), took, diagnostic.result)) return;
    diagnostics_.push_back(std::move(diagnostic));
  }

  // False: no answer will come.
  bool SetOutcome(DiagnosticOutcome outcome, absl::Duration took, unit::v1::DiagnosticResult& result) {
    unit::v1::Measurement& measurement = *result.add_measurements();
    measurement.set_name("latency");
    measurement.set_unit("ms");
    measurement.set_max(1000);
    measurement.set_value(absl::ToDoubleMilliseconds(took));
    result.set_duration_ms(absl::ToDoubleMilliseconds(took));
    ++(outcome == DiagnosticOutcome::kPassed  ? world_.figures.diagnostics_passed
       : outcome == DiagnosticOutcome::kHangs ? world_.figures.diagnostics_hanging
                                              : world_.figures.diagnostics_failed);
    switch (outcome) {
      case DiagnosticOutcome::kPassed:
        result.set_outcome("passed");
        result.set_reason(absl::StrCat("latency ", measurement.value(), " ms"));
        return true;
      case DiagnosticOutcome::kFailed:
        measurement.set_value(measurement.value() + 1000);
        result.set_outcome("failed");
        result.set_reason(absl::StrCat("latency: ", measurement.value(), " ms is above the limit of 1000 ms"));
        result.set_log_excerpt("loaded the model\nran the sample\ntoo slow");
        return true;
      case DiagnosticOutcome::kTimeout:
        result.set_outcome("timeout");
        result.set_reason("it did not end in time");
        return true;
      case DiagnosticOutcome::kError:
        result.set_outcome("error");
        result.set_reason("exit code 2: no such model");
        return true;
      case DiagnosticOutcome::kHangs:
        break;
    }
    return false;
  }

  void AnswerDiagnostics(absl::Duration now) {
    std::vector<Diagnostic> later;
    for (Diagnostic& diagnostic : std::exchange(diagnostics_, {})) {
      if (diagnostic.due > now) {
        later.push_back(std::move(diagnostic));
        continue;
      }
      session_.QueueDiagnosticResult(diagnostic.result, diagnostic.run_id, diagnostic.triggered_by).IgnoreError();
    }
    std::ranges::move(later, std::back_inserter(diagnostics_));
  }

  void End() {
    update_.reset();
    --world_.figures.running;
  }

  SimUnit& unit_;
  World& world_;
  CountingOutbox outbox_;
  cm::UnitSession session_;
  bool muted_ = false;
  bool presence_muted_ = false;
  uint64_t said_ = 0;
  std::optional<Update> update_;
  std::vector<Delayed> delayed_;
  // Under way.
  std::vector<Diagnostic> diagnostics_;
};

// --- SimUnit ---

SimUnit::SimUnit(World& world, uint32_t number) : world_(world), number_(number) {}
SimUnit::~SimUnit() = default;

// The connection was there all the time: nobody is told of it anew.
SimUnit::Awake& SimUnit::WakeUp() {
  if (awake_ != nullptr) return *awake_;
  awake_ = std::make_unique<Awake>(*this);
  if (!world_.options.sleepy || epoch_ == 1) return *awake_;
  awake_->Mute(true);
  awake_->session().NextWill();
  awake_->session().Connected();
  awake_->Mute(false);
  return *awake_;
}

void SimUnit::SleepIfIdle() {
  if (!world_.options.sleepy || awake_ == nullptr || awake_->busy()) return;
  awake_.reset();
  const double part = 0.9 + 0.2 * world_.behaviour.Share("heartbeat", number_, epoch_);
  next_heartbeat_ = world_.clock.Monotonic() + world_.options.heartbeat * part;
}

std::optional<MqttMessage> SimUnit::NextWill() { return WakeUp().session().NextWill(); }

void SimUnit::Connected() {
  WakeUp();
  if (world_.options.sleepy) awake_->session().NextWill();
  awake_->session().Connected();
  SleepIfIdle();
}

void SimUnit::Disconnected(const std::string& reason) {
  if (awake_ != nullptr) awake_->session().Disconnected(reason);
}

std::optional<MqttMessage> SimUnit::Goodbye() { return awake_ == nullptr ? std::nullopt : awake_->session().Goodbye(); }

void SimUnit::HandleMessage(const MqttMessage& message) {
  ++world_.figures.received;
  if (message.topic.ends_with("/desired")) {
    const uint64_t hash = std::hash<std::string_view>{}(message.payload);
    if (std::exchange(desired_hash_, hash) == hash) return;
  }
  // Nothing is known of what one who sleeps has said.
  if (world_.options.sleepy && awake_ == nullptr && message.topic.ends_with("/ack")) return;
  WakeUp().session().HandleMessage(message);
  SleepIfIdle();
}

absl::Duration SimUnit::NextDue() const { return awake_ == nullptr ? next_heartbeat_ : awake_->NextDue(); }

void SimUnit::Tick() {
  if (awake_ != nullptr) {
    awake_->Tick();
  } else if (next_heartbeat_ <= world_.clock.Monotonic()) {
    awake_ = std::make_unique<Awake>(*this);
    awake_->session().NextWill();
    awake_->MutePresence(true);
    awake_->session().Connected();
    awake_->MutePresence(false);
  }
  SleepIfIdle();
}

bool SimUnit::connected() const { return awake_ != nullptr && awake_->session().connected(); }

bool SimUnit::busy() const { return awake_ != nullptr && awake_->busy(); }

}  // namespace tandem::fleetsim
