#include "tests/sim/sim_unit.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"
#include "cm/update/records/update_record.h"

namespace tandem {

using cm::Event;
using cm::Phase;
using cm::UmCommand;

namespace {

constexpr char kOld[] = "old";
constexpr char kNew[] = "new";
constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kDurabilityRetry = absl::Seconds(2);
// Nothing goes wrong by chance after it, so that the unit must come to rest.
constexpr absl::Duration kCalm = absl::Seconds(200);
constexpr absl::Duration kPatience = absl::Seconds(2000);
constexpr absl::Duration kAftermath = absl::Seconds(90);

cm::Limits SimLimits() {
  cm::Limits limits;
  limits.registration = absl::Seconds(20);
  limits.prepare = absl::Seconds(90);
  limits.ready = absl::Seconds(60);
  limits.start = absl::Seconds(40);
  limits.trial_deadline = absl::Seconds(120);
  limits.apply = absl::Seconds(30);
  limits.revert = absl::Seconds(60);
  return limits;
}

// As the coordinator does: elapsed time alone is written now and then.
std::string DurableBytes(cm::UnitUpdate update) {
  constexpr absl::Duration kStep = absl::Seconds(10);
  update.phase_elapsed = absl::Floor(update.phase_elapsed, kStep);
  update.trial_elapsed = absl::Floor(update.trial_elapsed, kStep);
  for (cm::Participant& p : update.participants) p.step_elapsed = absl::Floor(p.step_elapsed, kStep);
  return ToRecord(update).SerializeAsString();
}

}  // namespace

SimUnit::SimUnit(uint64_t seed) : world_(seed), limits_(SimLimits()) {
  // Half of the worlds are kind, so that the whole way forward is walked, too.
  const bool kind = world_.Chance(0.3);
  const auto some = [&](double probability) { return kind || world_.Chance(0.5) ? 0 : probability; };
  const auto unlucky = [&](SimUmOptions options) {
    options.fails = some(0.1);
    options.crashes = some(0.2);
    if (options.switches_boot) options.boot_fails = some(0.4);
    options.calm_after = kCalm;
    AddUm(options);
  };
  unlucky({.node_id = "config", .priority = 10});
  unlucky({.node_id = "model", .priority = static_cast<uint32_t>(10 + world_.Pick(2) * 10)});
  unlucky({.node_id = "mcu", .priority = 20, .switches_boot = true});
  unlucky({.node_id = "rootfs", .priority = 20, .switches_boot = true, .with_cm = true});
  gate_passes_ = world_.Chance(0.85);
  trouble_at_commit_ = world_.Chance(0.2);
  if (!kind) PlanTrouble();
}

void SimUnit::AddUm(SimUmOptions options) {
  const std::string node_id = options.node_id;
  options.version = kOld;
  links_[node_id].um =
      std::make_unique<SimUm>(world_, options,
                              SimUm::Callbacks{.changed = [this, node_id] { SendStatus(node_id, false); },
                                               .rebooted =
                                                   [this, node_id] {
                                                     UmGoesDown(node_id, /*power=*/false);
                                                     if (!links_.at(node_id).um->options().with_cm) return;
                                                     // Only this UM's slots are in CM's computer; the others there are
                                                     // programs.
                                                     UmGoesDown("config", false);
                                                     UmGoesDown("model", false);
                                                     CmGoesDown();
                                                   },
                                               .crashed = [this, node_id] { UmGoesDown(node_id, false); }});
}

void SimUnit::Run() {
  Begin();
  for (auto& [node_id, link] : links_) Connect(node_id);
  absl::Duration rest_began = absl::InfiniteDuration();
  while (world_.RunNext() && world_.now() < kPatience) {
    const bool rests = cm_up_ && (finished_ || (update_.phase == Phase::kNeedsService && world_.now() > kCalm));
    if (!rests) rest_began = absl::InfiniteDuration();
    if (rests && rest_began == absl::InfiniteDuration()) rest_began = world_.now();
    if (rests && world_.now() - rest_began > kAftermath * (finished_ ? 1 : 2)) break;
  }
  CheckEnd();
}

void SimUnit::Begin() {
  std::vector<cm::Participant> participants;
  for (const auto& [node_id, link] : links_) {
    cm::Participant participant;
    participant.node_id = node_id;
    participant.priority = link.um->options().priority;
    participant.switches_boot = link.um->options().switches_boot;
    participant.resend_after = limits_.resend_first;
    participant.targets.push_back({.component_id = node_id,
                                   .component_type = node_id,
                                   .version = kNew,
                                   .previous_version = kOld,
                                   .sha256 = "digest",
                                   .size = 1,
                                   .path = "artifact",
                                   .annotations = {},
                                   .release_digest = {},
                                   .plane = {}});
    participants.push_back(participant);
  }
  cm::UnitUpdate update;
  update.update_id = "1.1";
  update.verify_before_commit = world_.Chance(0.2);
  update_ = cm::Begin(update, std::move(participants));
  durable_ = ToRecord(update_);
  EnterPhase();
  Tick();
}

// --- streams ---

absl::Duration SimUnit::Arrival(Link& link) {
  const absl::Duration at =
      std::max(link.last_arrival, world_.now() + world_.Between(absl::Milliseconds(1), absl::Milliseconds(300)));
  link.last_arrival = at;
  return at - world_.now();
}

void SimUnit::Connect(const std::string& node_id) {
  Link& link = links_.at(node_id);
  if (link.connected || !link.um->up()) return;
  if (!cm_up_) {
    world_.After(absl::Milliseconds(700), [this, node_id] { Connect(node_id); });
    return;
  }
  ++link.stream;
  link.connected = true;
  SendStatus(node_id, true);
}

void SimUnit::Disconnect(const std::string& node_id) {
  Link& link = links_.at(node_id);
  if (!link.connected) return;
  ++link.stream;
  link.connected = false;
  world_.After(absl::ZeroDuration(), [this, node_id] {
    if (links_.at(node_id).connected) return;
    Handle({.kind = Event::Kind::kUmLost, .elapsed = {}, .node_id = node_id, .text = {}});
  });
}

void SimUnit::SendStatus(const std::string& node_id, bool registers) {
  Link& link = links_.at(node_id);
  if (!link.connected) return;
  world_.After(Arrival(link), [this, node_id, registers, stream = link.stream, status = link.um->Status()] {
    if (links_.at(node_id).stream != stream || !cm_up_) return;
    Event event{.kind = Event::Kind::kUmStatus, .elapsed = {}, .node_id = node_id, .text = status.error};
    event.um_state = status.state;
    event.um_installing = status.working;
    event.um_registered = registers;
    event.um_tells_running = true;
    const cm::Participant* participant = cm::FindParticipant(update_, node_id);
    event.um_on_target = participant != nullptr && participant->targets[0].version == status.version;
    if (update_.phase == Phase::kIdle) return HandleStray(node_id, status);
    Handle(event);
  });
}

void SimUnit::SendCommand(const std::string& node_id, UmCommand command) {
  CheckSend(node_id, command);
  Link& link = links_.at(node_id);
  Tell(absl::StrCat("CM -> ", node_id, " ", std::string(cm::Name(command))));
  if (!link.connected) return;
  if (command == UmCommand::kPrepare) {
    world_.After(absl::ZeroDuration(), [this, node_id, life = life_] {
      if (life == life_) Handle({.kind = Event::Kind::kPrepareWentOut, .elapsed = {}, .node_id = node_id, .text = {}});
    });
  }
  std::string version;
  bool has_source = false;
  if (const cm::Participant* participant = cm::FindParticipant(update_, node_id); participant != nullptr) {
    version = participant->targets[0].version;
    has_source = !participant->targets[0].path.empty();
  }
  world_.After(Arrival(link), [this, node_id, command, version, has_source, stream = link.stream] {
    if (links_.at(node_id).stream == stream) links_.at(node_id).um->Handle(command, version, has_source);
  });
}

// --- processes ---

void SimUnit::UmGoesDown(const std::string& node_id, bool power) {
  Tell(absl::StrCat(node_id, " goes down"));
  links_.at(node_id).um->Crash(power);
  Disconnect(node_id);
  world_.After(world_.Between(absl::Milliseconds(500), absl::Seconds(8)), [this, node_id] {
    links_.at(node_id).um->Restart();
    world_.After(world_.Between(absl::Milliseconds(10), absl::Seconds(1)), [this, node_id] { Connect(node_id); });
  });
}

void SimUnit::CmGoesDown() {
  if (!std::exchange(cm_up_, false)) return;
  Tell("CM goes down");
  ++life_;
  asks_conditions_ = false;
  for (auto& [node_id, link] : links_) {
    const bool was_connected = link.connected;
    ++link.stream;
    link.connected = false;
    if (was_connected) world_.After(absl::Milliseconds(700), [this, node = node_id] { Connect(node); });
  }
  world_.After(world_.Between(absl::Milliseconds(500), absl::Seconds(6)), [this] { CmComesUp(); });
}

void SimUnit::CmComesUp() {
  cm_up_ = true;
  Tell("CM comes up");
  if (finished_) return;
  last_saved_.clear();
  const bool lost = world_.now() < kCalm && world_.Chance(0.05) && !previous_durable_.phase().empty();
  update_ = cm::FromRecord(lost ? previous_durable_ : durable_).value();
  if (lost) {
    Tell("the update record is lost");
    record_was_lost_ = true;
    update_.phase = Phase::kRecovering;
    update_.decision = cm::Decision::kNone;
    for (cm::Participant& participant : update_.participants) participant.prepares = std::max(participant.prepares, 1U);
    durable_ = ToRecord(update_);
  }
  update_.gate_passed = false;
  if (update_.phase == Phase::kIdle) update_.outcome = done_;
  EnterPhase();
  Tick();
}

// The worst moment: decided, but no slot confirmed yet.
void SimUnit::TroubleAtCommit() {
  if (!trouble_at_commit_) return;
  if (world_.Chance(0.5)) links_.at("rootfs").um->StopBooting(kNew);
  if (world_.Chance(0.5)) links_.at("mcu").um->StopBooting(kNew);
  world_.After(world_.Between(absl::ZeroDuration(), absl::Seconds(3)), [this] { PowerCut(); });
}

void SimUnit::PowerCut() {
  Tell("power cut");
  for (auto& [node_id, link] : links_) UmGoesDown(node_id, /*power=*/true);
  CmGoesDown();
}

void SimUnit::PlanTrouble() {
  for (int i = world_.Pick(8); i > 0; --i) {
    const std::string node_id = std::next(links_.begin(), world_.Pick(static_cast<int>(links_.size())))->first;
    const absl::Duration at = world_.Between(absl::ZeroDuration(), absl::Seconds(90));
    switch (world_.Pick(8)) {
      case 0:
      case 1:
        world_.After(at, [this, node_id] {
          Disconnect(node_id);
          world_.After(world_.Between(absl::ZeroDuration(), absl::Seconds(30)), [this, node_id] { Connect(node_id); });
        });
        break;
      case 2:
        world_.After(at, [this, node_id] { UmGoesDown(node_id, world_.Chance(0.5)); });
        break;
      case 3:
      case 4:
        world_.After(at, [this] { CmGoesDown(); });
        break;
      case 5:
        world_.After(at, [this] { PowerCut(); });
        break;
      case 6:
        world_.After(at, [this] {
          if (cm_up_) Handle({.kind = Event::Kind::kAbort, .elapsed = {}, .node_id = {}, .text = "an operator"});
        });
        break;
      case 7:
        world_.After(at, [this] { disk_full_ = true; });
        world_.After(at + world_.Between(absl::Seconds(1), absl::Seconds(20)), [this] { disk_full_ = false; });
        break;
    }
  }
}

// --- CM ---

void SimUnit::Tick() {
  world_.After(kTick, [this, life = life_] {
    if (life != life_ || finished_) return;
    Handle({.kind = Event::Kind::kTick, .elapsed = kTick, .node_id = {}, .text = {}});
    if (life == life_) Tick();
  });
}

void SimUnit::Handle(Event event) {
  if (update_.phase == Phase::kIdle || !cm_up_) return;
  const cm::Step step = Advance(update_, event, limits_);
  const std::string bytes = DurableBytes(step.update);
  if (bytes != last_saved_) {
    if (disk_full_) {
      if (event.kind == Event::Kind::kTick) return;
      world_.After(kDurabilityRetry, [this, event, life = life_] {
        if (life != life_) return;
        // What a UM said then is not what it says now.
        if (event.kind == Event::Kind::kUmStatus) return SendStatus(event.node_id, event.um_registered);
        if (event.kind == Event::Kind::kUmLost && links_.at(event.node_id).connected) return;
        Handle(event);
      });
      return;
    }
    previous_durable_ = std::exchange(durable_, ToRecord(step.update));
    last_saved_ = bytes;
    if (step.update.phase == Phase::kIdle) done_ = step.update.outcome;
    if (step.update.decision == cm::Decision::kCommit && !std::exchange(was_committed_, true)) TroubleAtCommit();
  }
  update_ = step.update;
  // Durable, but nothing of it done.
  if (world_.now() < kCalm && world_.Chance(0.003)) return CmGoesDown();
  const uint64_t life = life_;
  for (const cm::Action& action : step.actions) {
    if (action.kind == cm::Action::Kind::kPhaseChanged) {
      EnterPhase();
      break;
    }
  }
  for (const cm::Action& action : step.actions) {
    if (life == life_ && action.kind == cm::Action::Kind::kSend) SendCommand(action.node_id, action.command);
  }
  if (life == life_) AskConditions();
}

// They hold whenever they are asked.
void SimUnit::AskConditions() {
  if (asks_conditions_ || !WaitsForConditions(update_, limits_)) return;
  asks_conditions_ = true;
  world_.After(world_.Between(absl::Milliseconds(1), absl::Seconds(3)), [this, life = life_] {
    if (life != life_) return;
    asks_conditions_ = false;
    Handle({.kind = Event::Kind::kReadiness, .elapsed = {}, .node_id = {}, .text = {}, .flag = true});
  });
}

void SimUnit::EnterPhase() {
  const uint64_t phase_life = ++phase_life_;
  Tell(absl::StrCat("phase ", std::string(cm::Name(update_.phase)), update_.compensating ? " (compensating)" : "", " ",
                    update_.reason));
  const auto later = [&](absl::Duration longest, Event event) {
    world_.After(world_.Between(absl::Milliseconds(1), longest), [this, phase_life, life = life_, event] {
      if (phase_life == phase_life_ && life == life_) Handle(event);
    });
  };
  if (update_.phase == Phase::kTrial) {
    const bool passes = gate_passes_ || update_.compensating;
    later(absl::Seconds(15), {.kind = passes ? Event::Kind::kGatePassed : Event::Kind::kGateFailed,
                              .elapsed = {},
                              .node_id = {},
                              .text = "too slow"});
    later(absl::Seconds(30), {.kind = Event::Kind::kVerified, .elapsed = {}, .node_id = {}, .text = {}});
  } else if (update_.phase == Phase::kIdle) {
    finished_ = true;
    for (auto& [node_id, link] : links_) HandleStray(node_id, link.um->Status());
  }
}

void SimUnit::HandleStray(const std::string& node_id, const SimUmStatus& status) {
  if (status.state == cm::UmState::kIdle || status.working) return;
  const bool apply = status.state == cm::UmState::kUpdated && update_.outcome == cm::Outcome::kApplied;
  Tell(absl::StrCat("stray ", node_id));
  SendCommand(node_id, apply ? UmCommand::kApply : UmCommand::kRevert);
}

}  // namespace tandem
