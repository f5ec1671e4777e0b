#include "tests/model/unit_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem::model {

using cm::Decision;
using cm::Event;
using cm::Participant;
using cm::Phase;
using cm::UmCommand;
using cm::UmState;
using cm::UnitUpdate;
using um::UmJob;
using um::UmStep;

namespace {

constexpr unsigned kToldNothing = 0;
constexpr unsigned kToldYes = 1;
constexpr unsigned kToldNo = 2;
constexpr unsigned kFirstRelease = 1;
constexpr unsigned kSecondRelease = 2;

std::vector<std::string> NodeIds(const ModelConfig& config) {
  std::vector<std::string> ids;
  for (const ModelUm& um : config.ums) ids.push_back(um.node_id);
  return ids;
}

unsigned VersionOf(const Participant& p) { return static_cast<unsigned>(p.targets[0].version[0] - '0'); }

const Participant* Find(const UnitUpdate& update, const std::string& node_id) {
  const auto found = std::ranges::find(update.participants, node_id, &Participant::node_id);
  return found == update.participants.end() ? nullptr : &*found;
}

bool IsGone(const UmNode& node) { return node.TheHabit() == Habit::kGone; }

// A state of the wire that is none of IDLE; what CM sees.
um::WireState Wire(const UmNode& node) { return um::WireStateOf(node.Step()); }

bool IsCommandWaiting(const UmNode& node) { return node.down_first != 0; }

}  // namespace

UnitModel::UnitModel(const ModelConfig& config)
    : config_(config), count_(static_cast<unsigned>(config.ums.size())), pool_(NodeIds(config)), planner_(config.ums) {
  for (const ModelUm& um : config.ums) behaviours_.emplace_back(um);
}

std::string UnitModel::Word(unsigned i, std::string_view what) const {
  return tell_ ? absl::StrCat(config_.ums[i].node_id, " ", std::string(what)) : std::string();
}

UnitState UnitModel::Initial() {
  UnitState state;
  state.env.faults = static_cast<unsigned>(config_.faults);
  state.env.people = static_cast<unsigned>(config_.people);
  state.env.unsafe_left = static_cast<unsigned>(config_.unsafe);
  state.env.claims_left = config_.claims ? 1 : 0;
  state.env.desired = kFirstRelease;
  for (unsigned i = count_; i < kMostUms; ++i) state.um[i].up = 0;
  state.cm = pool_.Add(UnitUpdate{});
  const char* broken = nullptr;
  Begin(state, &broken, nullptr);
  return state;
}

// --- what is asked of a state ---

bool UnitModel::LooksIdle(unsigned i, const UmNode& node) const {
  return Wire(node) == um::WireState::kIdle && (config_.ums[i].aos || !um::IsWorking(node.Step()));
}

bool UnitModel::IsWired(const UmNode& node) const {
  return node.Link() == LinkState::kUp && node.up_count == 0 && !IsCommandWaiting(node);
}

bool UnitModel::IsQuiet(const UnitState& state) const {
  if (state.env.cm_up == 0) return false;
  for (unsigned i = 0; i < count_; ++i) {
    const UmNode& node = state.um[i];
    if (IsGone(node)) continue;
    if (node.up == 0 || !IsWired(node) || node.job != 0 || node.fetching != 0) return false;
  }
  return true;
}

bool UnitModel::IsRest(const UnitState& state) const {
  const Phase phase = Update(state).phase;
  if ((state.env.desired != 0 && !IsRefused(state)) || !IsQuiet(state)) return false;
  if (phase == Phase::kNeedsService) return true;
  if (phase != Phase::kIdle) return false;
  for (unsigned i = 0; i < count_; ++i) {
    const UmNode& node = state.um[i];
    if (!IsGone(node) && node.TheHabit() == Habit::kNone && !LooksIdle(i, node)) return false;
  }
  return true;
}

const char* UnitModel::BrokenIn(const UnitState& state) const {
  if (Update(state).phase != Phase::kIdle || state.env.desired != 0 || !IsQuiet(state)) return nullptr;
  bool mixed = false;
  unsigned version = kNoVersion;
  for (unsigned i = 0; i < count_; ++i) {
    const UmNode& node = state.um[i];
    if (IsGone(node) || node.TheHabit() != Habit::kNone || !IsIdle(node)) continue;
    mixed = mixed || (version != kNoVersion && version != node.Runs());
    version = node.Runs();
  }
  return mixed && state.env.mixed_known == 0 ? "at rest on mixed versions" : nullptr;
}

std::string UnitModel::Describe(const UnitState& state) const {
  const UnitUpdate& u = Update(state);
  std::string text = absl::StrCat(std::string(cm::Name(u.phase)), u.compensating ? " (compensating)" : "",
                                  state.env.cm_up == 0 ? ", CM is down" : "");
  if (state.env.desired != 0)
    absl::StrAppend(&text, ", assignment of ", static_cast<unsigned>(state.env.desired), " waits");
  for (unsigned i = 0; i < count_; ++i) {
    absl::StrAppend(&text, "; ", config_.ums[i].node_id, " ", model::Describe(state.um[i]));
  }
  return text;
}

// --- what may happen ---

void UnitModel::AddEdge(Out& out, const UnitState& to, unsigned flags, const char* broken, std::string words) {
  if (broken == nullptr) broken = BrokenIn(to);
  if (tell_) absl::StrAppend(&words, "   [", Describe(to), "]");
  out.push_back({.to = to, .flags = static_cast<uint8_t>(flags), .broken = broken, .words = std::move(words)});
}

void UnitModel::Successors(const UnitState& state, Out& out, bool tell) {
  tell_ = tell;
  for (unsigned i = 0; i < count_; ++i) UmSteps(state, i, out);
  CmSteps(state, out);
  PeopleSteps(state, out);
  FaultSteps(state, out);
}

bool UnitModel::Spend(UnitState& state) const {
  if (state.env.faults == 0) return false;
  --state.env.faults;
  return true;
}

void UnitModel::UmSteps(const UnitState& state, unsigned i, Out& out) {
  const UmNode& node = state.um[i];
  const bool cm_up = state.env.cm_up != 0;
  UnitState next = state;
  UmNode& n = next.um[i];
  if (cm_up && node.up_count > 0) {
    const UmMessage status = FirstStatus(node);
    DropFirstStatus(n);
    const std::string words =
        tell_ ? Word(i, absl::StrCat("says ", std::string(cm::Name(status.state)), status.working ? ", working" : "",
                                     status.error ? ", with an error" : "", " on ", status.version,
                                     status.registers ? ", and registers" : ""))
              : "";
    const Participant* p = Find(Update(state), config_.ums[i].node_id);
    if (p == nullptr) {
      AddEdge(out, next, 0, nullptr, words);
    } else {
      CmEvent event{.kind = Event::Kind::kUmStatus, .node = i, .state = status.state, .working = status.working};
      event.registers = status.registers;
      event.on_target = status.version == VersionOf(*p);
      event.tells_running = !config_.ums[i].aos;
      event.staged_other = status.installs != kNoVersion && status.installs != VersionOf(*p);
      event.runs_committed = status.state == UmState::kUpdated && status.version == state.env.committed;
      event.error = status.error;
      TakeEvent(next, event, status.registers ? kReturns : 0, words, out);
    }
    next = state;
  }
  if (cm_up && node.Link() == LinkState::kBroken) {
    n.link = static_cast<unsigned>(LinkState::kNone);
    TakeEvent(next, {.kind = Event::Kind::kUmLost, .node = i}, 0, Word(i, "is lost to CM"), out);
    next = state;
  }
  if (cm_up && node.Link() == LinkState::kNone && node.up != 0) {
    behaviours_[i].Connect(n);
    AddEdge(out, next, kReturns, nullptr, Word(i, "opens a stream"));
    next = state;
  }
  if (node.up == 0 && !IsGone(node)) {
    behaviours_[i].Restart(n);
    AddEdge(out, next, kReturns, nullptr, Word(i, "starts"));
    next = state;
  }
  if (node.up != 0 && IsCommandWaiting(node)) {
    const CmMessage command = FirstCommand(node);
    DropFirstCommand(n);
    const std::string what = tell_ ? std::string(cm::Name(command.command)) : "";
    UnitState full = next;
    UnitState repeated = state;
    behaviours_[i].Receive(n, command);
    AddEdge(out, next, 0, nullptr, Word(i, absl::StrCat("takes ", what)));
    if (!config_.ums[i].aos && Spend(full)) {
      behaviours_[i].ReceiveOnFullDisk(full.um[i]);
      AddEdge(out, full, kFault, nullptr, Word(i, absl::StrCat("cannot record ", what, ": its disk is full")));
    }
    if (Spend(repeated)) {
      behaviours_[i].Receive(repeated.um[i], command);
      AddEdge(out, repeated, kFault, nullptr, Word(i, absl::StrCat("takes ", what, ", which comes once more")));
    }
    next = state;
  }
  if (cm_up && node.fetching != 0) {
    n.fetching = 0;
    const Participant* p = Find(Update(state), config_.ums[i].node_id);
    const bool goes_out = cm::StillWantsPrepare(Update(state), config_.ums[i].node_id) && node.Link() == LinkState::kUp;
    if (goes_out && PushCommand(n, {.command = UmCommand::kPrepare, .version = VersionOf(*p)})) {
      const char* broken =
          Update(state).decision == Decision::kAbort ? "PrepareUpdate goes out after ABORT was decided" : nullptr;
      next.cm = pool_.Advance(next.cm, {.kind = Event::Kind::kPrepareWentOut, .node = i}).to;
      AddEdge(out, next, kForwardSent, broken, Word(i, "is sent PrepareUpdate: CM has fetched its artifacts"));
    } else {
      AddEdge(out, next, 0, nullptr, Word(i, "has its artifacts at CM, and is not sent PrepareUpdate"));
    }
    next = state;
    n.fetching = 0;
    if (Spend(next)) {
      TakeEvent(next, {.kind = Event::Kind::kNoArtifacts, .node = i}, kFault,
                Word(i, "has no artifacts: CM cannot fetch"), out);
    }
  }
  if (node.up != 0 && node.job != 0) JobSteps(state, i, out);
}

void UnitModel::AfterJob(UnitState state, unsigned i, JobEnd end, unsigned flags, std::string words, Out& out) {
  if (end.rebooted && config_.ums[i].with_cm) {
    CrashCm(state);
    flags |= kReturns;
  }
  AddEdge(out, state, flags, end.broken, std::move(words));
}

void UnitModel::JobSteps(const UnitState& state, unsigned i, Out& out) {
  const UmNode& node = state.um[i];
  const UmBehaviour& um = behaviours_[i];
  const UmJob job = node.Job();
  const std::string name = tell_ ? std::string(um::Name(job)) : "";
  UnitState next = state;
  if (node.TheHabit() == Habit::kDiesInPrepare && job == UmJob::kPrepare) {
    um.Crash(next.um[i]);
    return AddEdge(out, next, 0, nullptr, Word(i, "dies in Prepare, as it always does"));
  }
  const bool must_fail = um.MustFail(node);
  JobEnd end = um.FinishJob(next.um[i], must_fail, false);
  AfterJob(next, i, end, 0, Word(i, absl::StrCat(must_fail ? "fails, as it always does, in " : "ends ", name)), out);
  if (must_fail) return;
  next = state;
  if (!Spend(next)) return;
  const UnitState spent = next;
  if (um.CanBootFail(node)) {
    end = um.FinishJob(next.um[i], false, /*boot_fails=*/true);
    AfterJob(next, i, end, kFault, Word(i, "reboots, and the new slot does not boot"), out);
    next = spent;
  }
  if (job == UmJob::kReboot) return;
  um.FinishJob(next.um[i], /*fails=*/true, false);
  AddEdge(out, next, kFault, nullptr, Word(i, absl::StrCat("fails in ", name)));
  next = spent;
  end = um.FinishJobUnheard(next.um[i]);
  AddEdge(out, next, kFault, end.broken, Word(i, absl::StrCat("dies when ", name, " is done")));
  if (!config_.habits || node.TheHabit() != Habit::kNone) return;
  Habit habit = Habit::kNone;
  if (job == UmJob::kPrepare) habit = Habit::kDiesInPrepare;
  if (job == UmJob::kStart) habit = Habit::kStartFails;
  if (job == UmJob::kApply) habit = Habit::kApplyFails;
  if (job == UmJob::kRevert) habit = Habit::kRevertFails;
  if (habit == Habit::kNone) return;
  next = spent;
  next.um[i].habit = static_cast<unsigned>(habit);
  AddEdge(out, next, kFault, nullptr, Word(i, absl::StrCat("will always fail in ", name)));
}

void UnitModel::CmSteps(const UnitState& state, Out& out) {
  UnitState next = state;
  if (state.env.cm_up == 0) {
    next.env.cm_up = 1;
    if (Update(state).phase != Phase::kIdle && state.env.desired != 0) {
      // It finds the newer assignment in its store.
      const CmStep& waits = pool_.Advance(next.cm, {.kind = Event::Kind::kNewAssignmentWaits});
      const char* broken = nullptr;
      Perform(next, waits, &broken, nullptr);
      if (!waits.finished) {
        return TakeEvent(next, {.kind = Event::Kind::kAbort}, kReturns, "CM starts, and a newer assignment waits", out);
      }
    }
    return AddEdge(out, next, kReturns, nullptr, "CM starts");
  }
  const UnitUpdate& u = Update(state);
  if (u.phase == Phase::kIdle) return IdleSteps(state, out);
  // Messages take less than a tick; one that takes longer is a fault.
  bool late = false;
  for (unsigned i = 0; i < count_; ++i) {
    const UmNode& node = state.um[i];
    late = late || node.up_count > 0 || (node.up != 0 && IsCommandWaiting(node)) || node.Link() == LinkState::kBroken;
  }
  if (!late) {
    TakeEvent(state, {}, kTime, "time goes by", out);
  } else if (Spend(next)) {
    TakeEvent(next, {}, kTime | kFault, "time goes by, and messages are late", out);
  }
  next = state;
  const unsigned truth = state.env.safe != 0 ? kToldYes : kToldNo;
  const bool asks = u.phase == Phase::kReady || u.phase == Phase::kStarting || u.phase == Phase::kCommitting;
  if (asks && state.env.told != truth) {
    next.env.told = truth;
    TakeEvent(next, {.kind = Event::Kind::kReadiness, .flag = state.env.safe != 0}, 0,
              state.env.safe != 0 ? "the conditions hold" : "the conditions do not hold", out);
    next = state;
  }
  if (u.phase == Phase::kTrial && !u.gate_passed) {
    TakeEvent(state, {.kind = Event::Kind::kGatePassed}, 0, "the gate passes", out);
    if (Spend(next)) TakeEvent(next, {.kind = Event::Kind::kGateFailed}, kFault, "the gate fails", out);
    next = state;
  }
  if (u.phase == Phase::kTrial && u.verify_before_commit && !u.verified) {
    TakeEvent(state, {.kind = Event::Kind::kVerified}, 0, "the fleet's verdict is good", out);
  }
}

void UnitModel::IdleSteps(const UnitState& state, Out& out) {
  bool all_known = true;
  for (unsigned i = 0; i < count_; ++i) {
    const UmNode& node = state.um[i];
    if (IsGone(node) && node.Link() != LinkState::kUp) continue;
    const bool stray = Wire(node) != um::WireState::kIdle;
    // After a few tries CM takes it as it is.
    const bool given_up = stray && ((node.TheHabit() == Habit::kRevertFails && node.Step() == UmStep::kFailed) ||
                                    (node.TheHabit() == Habit::kApplyFails && node.Step() == UmStep::kUpdated));
    all_known = all_known && IsWired(node) && (given_up || LooksIdle(i, node));
    if (!stray || !IsWired(node) || (!config_.ums[i].aos && um::IsWorking(node.Step())) || node.job != 0) continue;
    const bool apply = node.Step() == UmStep::kUpdated && node.Runs() == state.env.committed;
    const UmCommand command = apply ? UmCommand::kApply : UmCommand::kRevert;
    UnitState next = state;
    PushCommand(next.um[i], {.command = command, .version = 0});
    AddEdge(out, next, 0, nullptr,
            Word(i, tell_ ? absl::StrCat("is in an update that is over: CM sends ", std::string(cm::Name(command)))
                          : std::string()));
  }
  if (state.env.desired == 0 || !all_known || !PlanOf(state).begins) return;
  UnitState next = state;
  const char* broken = nullptr;
  std::string words = tell_ ? absl::StrCat("CM begins the update to ", static_cast<unsigned>(state.env.desired)) : "";
  Begin(next, &broken, tell_ ? &words : nullptr);
  AddEdge(out, next, 0, broken, words);
}

void UnitModel::PeopleSteps(const UnitState& state, Out& out) {
  UnitState next = state;
  if (state.env.safe == 0) {
    next.env.safe = 1;
    AddEdge(out, next, 0, nullptr, "the conditions hold again");
    next = state;
  } else if (state.env.unsafe_left > 0) {
    next.env.safe = 0;
    --next.env.unsafe_left;
    AddEdge(out, next, kPerson, nullptr, "the conditions end");
    next = state;
  }
  if (state.env.claimed != 0) {
    next.env.claimed = 0;
    AddEdge(out, next, kPerson, nullptr, Word(count_ - 1, "lets go of what it claimed"));
    next = state;
  } else if (state.env.claims_left != 0) {
    next.env.claimed = 1;
    next.env.claims_left = 0;
    AddEdge(out, next, kPerson, nullptr, Word(count_ - 1, "claims what the first UM has"));
    next = state;
  }
  if (state.env.people == 0 || state.env.cm_up == 0) return;
  const UnitUpdate& u = Update(state);
  --next.env.people;
  if (u.phase != Phase::kIdle) {
    TakeEvent(next, {.kind = Event::Kind::kAbort}, kPerson, "an operator aborts", out);
  }
  const bool already = state.env.desired == kSecondRelease || state.env.committed == kSecondRelease ||
                       (u.phase != Phase::kIdle && VersionOf(u.participants[0]) == kSecondRelease);
  if (already) return;
  next.env.desired = kSecondRelease;
  if (u.phase == Phase::kIdle) return AddEdge(out, next, kPerson, nullptr, "a newer assignment comes");
  const CmStep& waits = pool_.Advance(next.cm, {.kind = Event::Kind::kNewAssignmentWaits});
  const char* broken = nullptr;
  const unsigned flags = Perform(next, waits, &broken, nullptr);
  if (waits.finished) return AddEdge(out, next, kPerson | flags, broken, "a newer assignment comes");
  TakeEvent(next, {.kind = Event::Kind::kAbort}, kPerson | flags, "a newer assignment comes", out);
}

void UnitModel::FaultSteps(const UnitState& state, Out& out) {
  UnitState spent = state;
  if (!Spend(spent)) return;
  if (state.env.cm_up != 0) {
    UnitState next = spent;
    CrashCm(next);
    AddEdge(out, next, kFault, nullptr, "CM ends");
    if (config_.loses_record && Update(state).phase != Phase::kIdle) {
      next.cm = pool_.RecordLost(state.cm);
      AddEdge(out, next, kFault, nullptr, "CM ends, and the newest copy of its record is damaged");
    }
  }
  for (unsigned i = 0; i < count_; ++i) {
    const UmNode& node = state.um[i];
    if (node.up != 0) {
      UnitState next = spent;
      behaviours_[i].Crash(next.um[i]);
      AddEdge(out, next, kFault, nullptr, Word(i, "ends"));
      if (config_.habits && node.TheHabit() == Habit::kNone) {
        next.um[i].habit = static_cast<unsigned>(Habit::kGone);
        AddEdge(out, next, kFault, nullptr, Word(i, "is gone for good"));
      }
    }
    if (node.Link() == LinkState::kUp) {
      UnitState next = spent;
      ClearStream(next.um[i]);
      next.um[i].link = static_cast<unsigned>(LinkState::kBroken);
      AddEdge(out, next, kFault, nullptr, Word(i, "loses its stream, with what is on it"));
    }
  }
  UnitState next = spent;
  const char* broken = nullptr;
  for (unsigned i = 0; i < count_; ++i) {
    if (IsGone(next.um[i])) continue;
    if (const char* const why = behaviours_[i].PowerCut(next.um[i]); why != nullptr) broken = why;
  }
  CrashCm(next);
  AddEdge(out, next, kFault, broken, "the power is cut");
}

// --- how ---

void UnitModel::CrashCm(UnitState& state) {
  state.cm = pool_.Restarted(state.cm);
  state.env.cm_up = 0;
  state.env.told = kToldNothing;
  for (unsigned i = 0; i < count_; ++i) {
    ClearStream(state.um[i]);
    state.um[i].link = static_cast<unsigned>(LinkState::kNone);
    state.um[i].fetching = 0;
  }
}

const char* UnitModel::CheckSend(const UnitState& state, const CmSend& send) const {
  const UnitUpdate& u = Update(state);
  const UmNode& node = state.um[send.node];
  switch (send.command) {
    case UmCommand::kStart:
      if (state.env.told != kToldYes) return "StartUpdate, and CM was not told that the conditions hold";
      if (node.target != kNoVersion && node.target != send.version) {
        return "StartUpdate for a UM that has prepared another version";
      }
      for (const Participant& p : u.participants) {
        const unsigned other = pool_.NumberOf(p.node_id);
        const UmNode& its = state.um[other];
        const bool prepared = its.Step() != UmStep::kIdle && its.Step() != UmStep::kPreparing;
        if (u.decision != Decision::kCommit && !prepared) return "StartUpdate before all are PREPARED";
        const bool starting = its.Step() == UmStep::kStarting || its.Step() == UmStep::kRebooting;
        if (other != send.node && starting) return "StartUpdate while another UM starts";
      }
      return nullptr;
    case UmCommand::kApply:
      // One that is left over was told to apply by the update before; by now it may have moved on.
      if (u.decision == Decision::kCommit || Find(u, config_.ums[send.node].node_id)->runs_committed) return nullptr;
      return "ApplyUpdate without COMMIT";
    case UmCommand::kRevert:
      // What fell back may be prepared anew.
      if (u.phase == Phase::kCommitting && std::ranges::any_of(u.participants, [&](const Participant& p) {
            return pool_.NumberOf(p.node_id) == send.node && p.state == UmState::kFailed;
          })) {
        return nullptr;
      }
      return u.decision != Decision::kCommit || u.phase == Phase::kPreparing ? nullptr : "RevertUpdate after COMMIT";
    case UmCommand::kPrepare:
      return u.decision != Decision::kAbort || u.compensating ? nullptr : "PrepareUpdate after ABORT";
    case UmCommand::kNone:
      return nullptr;
  }
  return nullptr;
}

const char* UnitModel::CheckPhase(const UnitState& before, const UnitState& after) const {
  if (Update(after).phase != Phase::kNeedsService || Update(before).phase == Phase::kNeedsService) return nullptr;
  for (unsigned i = 0; i < count_; ++i) {
    const UmNode& node = before.um[i];
    const bool well = node.TheHabit() == Habit::kNone && node.up != 0 && IsWired(node) && IsIdle(node) &&
                      node.Runs() == before.env.committed;
    if (!well) return nullptr;
  }
  return "NeedsService, and every UM is IDLE on what it ran before";
}

void UnitModel::Finish(UnitState& state, const CmStep& step) const {
  for (unsigned i = 0; i < count_; ++i) state.um[i].fetching = 0;
  state.env.told = kToldNothing;
  if (step.outcome == cm::Outcome::kApplied) {
    state.env.committed = step.version;
    state.env.mixed_known = 0;
  }
  if (step.outcome == cm::Outcome::kNeedsService || step.leftovers) state.env.mixed_known = 1;
}

unsigned UnitModel::Perform(UnitState& state, const CmStep& step, const char** broken, std::string* words) {
  unsigned flags = 0;
  const UnitState before = state;
  state.cm = step.to;
  if (step.broken != nullptr) *broken = step.broken;
  if (const char* const why = CheckPhase(before, state); why != nullptr) *broken = why;
  if (words != nullptr && step.phase_changed) {
    absl::StrAppend(words, " -> ",
                    step.finished ? std::string(cm::Name(step.outcome)) : std::string(cm::Name(Update(state).phase)));
  }
  for (const CmSend& send : step.sends) {
    if (const char* const why = CheckSend(state, send); why != nullptr) *broken = why;
    UmNode& node = state.um[send.node];
    if (words != nullptr) {
      absl::StrAppend(words, " -> ", std::string(cm::Name(send.command)), " to ", config_.ums[send.node].node_id);
    }
    const bool forward = send.command == UmCommand::kPrepare || send.command == UmCommand::kStart;
    flags |= forward ? kForwardSent : kOtherSent;
    if (send.command == UmCommand::kStart) state.env.told = kToldNothing;
    if (send.command == UmCommand::kPrepare && config_.ums[send.node].cm_fetches) {
      node.fetching = 1;
      continue;
    }
    if (node.Link() != LinkState::kUp) continue;
    const unsigned version = send.command == UmCommand::kPrepare ? send.version : 0;
    if (!PushCommand(node, {.command = send.command, .version = version})) {
      // A stream that takes nothing more is as good as broken.
      ClearStream(node);
      node.link = static_cast<unsigned>(LinkState::kBroken);
    } else if (send.command == UmCommand::kPrepare) {
      state.cm = pool_.Advance(state.cm, {.kind = Event::Kind::kPrepareWentOut, .node = send.node}).to;
    }
  }
  if (step.finished) Finish(state, step);
  return flags;
}

void UnitModel::TakeEvent(const UnitState& state, const CmEvent& event, unsigned flags, std::string words, Out& out) {
  const CmStep step = pool_.Advance(state.cm, event);
  const char* broken = nullptr;
  UnitState next = state;
  std::string more = words;
  const unsigned sent = Perform(next, step, &broken, tell_ ? &more : nullptr);
  const bool nothing = event.kind == Event::Kind::kTick && step.to == state.cm && step.sends.empty();
  if (!nothing) AddEdge(out, next, flags | sent, broken, std::move(more));
  // Durable, but nothing of it done.
  UnitState unheard = state;
  if ((step.sends.empty() && !step.phase_changed) || !Spend(unheard)) return;
  unheard.cm = step.to;
  if (step.finished) Finish(unheard, step);
  CrashCm(unheard);
  AddEdge(out, unheard, kFault | (flags & kPerson), nullptr,
          tell_ ? absl::StrCat(words, "; CM ends when that is durable") : std::string());
}

const Planned& UnitModel::PlanOf(const UnitState& state) {
  std::vector<unsigned> runs;
  std::vector<bool> gone;
  for (unsigned i = 0; i < count_; ++i) {
    runs.push_back(state.um[i].Runs());
    gone.push_back(IsGone(state.um[i]));
  }
  return planner_.PlanOf({.desired = state.env.desired, .claimed = state.env.claimed != 0, .runs = runs, .gone = gone});
}

void UnitModel::Begin(UnitState& state, const char** broken, std::string* words) {
  const cm::Limits limits = ModelLimits();
  std::vector<Participant> participants = PlanOf(state).participants;
  for (Participant& p : participants) {
    const UmNode& node = state.um[pool_.NumberOf(p.node_id)];
    p.connected = p.reported = node.Link() == LinkState::kUp;
    p.runs = cm::Runs::kOther;
    if (Wire(node) == um::WireState::kFailed) p.state = UmState::kFailed;
    if (Wire(node) == um::WireState::kUpdated) p.state = UmState::kUpdated;
    p.runs_committed = p.state == UmState::kUpdated && node.Runs() == state.env.committed;
    p.resend_after = limits.resend_first;
  }
  const unsigned desired = state.env.desired;
  state.env.desired = 0;
  state.env.told = kToldNothing;
  if (participants.empty()) {
    state.env.committed = desired;
    return;
  }
  UnitUpdate first;
  first.verify_before_commit = false;
  state.cm = pool_.Add(cm::Begin(first, std::move(participants)));
  const CmStep step = pool_.Advance(state.cm, {.no_time = true});
  Perform(state, step, broken, words);
}

}  // namespace tandem::model
