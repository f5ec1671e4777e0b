#include "tests/model/cm_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace tandem::model {

using cm::Decision;
using cm::Event;
using cm::Participant;
using cm::Phase;
using cm::UnitUpdate;

namespace {

constexpr char kSomeReason[] = "reason";

void AddNumber(std::string& bytes, uint64_t number) { bytes.push_back(static_cast<char>(number)); }
void AddTime(std::string& bytes, absl::Duration time) { AddNumber(bytes, time / kTick); }
void AddFlags(std::string& bytes, std::initializer_list<bool> flags) {
  unsigned bits = 0;
  for (const bool flag : flags) bits = bits << 1 | unsigned{flag};
  AddNumber(bytes, bits & 0xff);
  AddNumber(bytes, bits >> 8);
}

std::string Encode(const UnitUpdate& u) {
  std::string bytes;
  AddNumber(bytes, static_cast<uint64_t>(u.phase));
  AddNumber(bytes, static_cast<uint64_t>(u.decision));
  AddFlags(bytes, {u.trial_running, u.needs_approval, u.approved, u.verify_before_commit, u.gate_passed, u.compensating,
                   u.paused, u.ready, u.verified, u.new_assignment_waits, !u.reason.empty(), !u.abort_reason.empty()});
  AddTime(bytes, u.phase_elapsed);
  AddTime(bytes, u.trial_elapsed);
  for (const Participant& p : u.participants) {
    bytes += p.node_id;
    bytes += p.targets[0].version + p.targets[0].previous_version;
    for (const uint64_t number :
         {uint64_t{p.prepares}, uint64_t{p.starts}, uint64_t{p.forward_attempts}, static_cast<uint64_t>(p.state),
          static_cast<uint64_t>(p.runs), static_cast<uint64_t>(p.sent)}) {
      AddNumber(bytes, number);
    }
    AddFlags(bytes, {p.connected, p.reported, p.installing, p.tells_running, p.staged_other, p.awaits_artifacts,
                     p.prepare_went_out, p.sources_changed, p.answered, !p.error.empty(), p.runs_committed});
    for (const absl::Duration time : {p.step_elapsed, p.missing_for, p.since_sent, p.resend_after}) {
      AddTime(bytes, time);
    }
  }
  return bytes;
}

void Bound(absl::Duration& time, absl::Duration most) { time = std::min(time, most + kTick); }

void Unify(UnitUpdate& u, const cm::Limits& limits) {
  if (u.phase == Phase::kIdle) {
    u = UnitUpdate{};
    return;
  }
  if (!u.reason.empty()) u.reason = kSomeReason;
  if (!u.abort_reason.empty()) u.abort_reason = kSomeReason;
  u.ready_reason.clear();
  u.outcome = cm::Outcome::kNone;
  Bound(u.phase_elapsed, PhaseBudget(u, limits));
  if (PhaseBudget(u, limits) == absl::ZeroDuration()) u.phase_elapsed = absl::ZeroDuration();
  Bound(u.trial_elapsed, limits.trial_deadline);
  if (u.decision != Decision::kNone) u.trial_elapsed = absl::ZeroDuration();
  const bool works = u.phase == Phase::kStarting || u.phase == Phase::kCommitting || u.phase == Phase::kReverting;
  for (Participant& p : u.participants) {
    if (!p.error.empty()) p.error = "error";
    const absl::Duration longest = u.phase == Phase::kStarting    ? limits.start
                                   : u.phase == Phase::kReverting ? limits.revert
                                                                  : limits.prepare + limits.start;
    Bound(p.step_elapsed, longest);
    if (!works) p.step_elapsed = absl::ZeroDuration();
    Bound(p.missing_for, std::max(limits.registration, limits.start));
    p.since_sent = std::min(p.since_sent, limits.resend_max);
    if (p.sent == cm::UmCommand::kNone && p.prepares == 0) p.since_sent = absl::ZeroDuration();
  }
}

}  // namespace

cm::Limits ModelLimits() {
  cm::Limits limits;
  limits.registration = 1 * kTick;
  limits.prepare = 2 * kTick;
  limits.ready = 2 * kTick;
  limits.start = 1 * kTick;
  limits.trial_deadline = 2 * kTick;
  limits.apply = 1 * kTick;
  limits.revert = 1 * kTick;
  limits.forward_attempts = 1;
  limits.tries_per_um = 2;
  limits.resend_first = 1 * kTick;
  limits.resend_max = 1 * kTick;
  return limits;
}

CmPool::CmPool(std::vector<std::string> node_ids) : node_ids_(std::move(node_ids)), limits_(ModelLimits()) {}

unsigned CmPool::NumberOf(const std::string& node_id) const {
  return static_cast<unsigned>(std::ranges::find(node_ids_, node_id) - node_ids_.begin());
}

uint32_t CmPool::Add(UnitUpdate update) {
  Unify(update, limits_);
  const auto [entry, is_new] = ids_.try_emplace(Encode(update), static_cast<uint32_t>(updates_.size()));
  if (is_new) updates_.push_back(std::move(update));
  return entry->second;
}

const CmStep& CmPool::Advance(uint32_t id, const CmEvent& e) {
  uint32_t bits = static_cast<uint32_t>(e.kind) | e.node << 5 | static_cast<uint32_t>(e.state) << 8;
  int shift = 10;
  for (const bool flag : {e.working, e.registers, e.on_target, e.tells_running, e.staged_other, e.runs_committed,
                          e.error, e.flag, e.no_time}) {
    bits |= uint32_t{flag} << shift++;
  }
  const auto [entry, is_new] = steps_.try_emplace(uint64_t{id} << 32 | bits);
  if (!is_new) return *entry->second;

  const UnitUpdate before = at(id);
  Event event{.kind = e.kind};
  if (e.kind == Event::Kind::kTick && !e.no_time) event.elapsed = kTick;
  event.node_id = node_ids_[e.node];
  event.um_state = e.state;
  event.um_installing = e.working;
  event.um_registered = e.registers;
  event.um_runs = e.on_target ? cm::Runs::kTarget : cm::Runs::kOther;
  event.um_tells_running = e.tells_running;
  event.um_staged_other = e.staged_other;
  event.um_runs_committed = e.runs_committed;
  event.flag = e.flag;
  if (e.error || e.kind == Event::Kind::kAbort || e.kind == Event::Kind::kGateFailed ||
      e.kind == Event::Kind::kNoArtifacts) {
    event.text = "error";
  }
  const cm::Step step = cm::Advance(before, event, limits_);
  CmStep result;
  for (const cm::Action& action : step.actions) {
    switch (action.kind) {
      case cm::Action::Kind::kSend: {
        const auto p = std::ranges::find(step.update.participants, action.node_id, &Participant::node_id);
        result.sends.push_back({.node = NumberOf(action.node_id),
                                .command = action.command,
                                .version = static_cast<unsigned>(p->targets[0].version[0] - '0')});
        break;
      }
      case cm::Action::Kind::kPhaseChanged:
        result.phase_changed = true;
        break;
      case cm::Action::Kind::kFinished:
        result.finished = true;
        result.outcome = step.update.outcome;
        result.leftovers = !step.update.leftovers.empty();
        result.version = static_cast<unsigned>(step.update.participants[0].targets[0].version[0] - '0');
        break;
    }
  }
  const UnitUpdate& after = step.update;
  if (!before.reason.empty() && after.reason != before.reason && !absl::StartsWith(after.reason, before.reason)) {
    result.broken = "the first reason is lost";
  }
  const bool before_start = before.phase == Phase::kPreparing || before.phase == Phase::kReady;
  const bool tried_enough = std::ranges::any_of(
      before.participants, [&](const Participant& p) { return p.prepares >= limits_.tries_per_um; });
  if (e.kind == Event::Kind::kTick && before_start && after.phase == Phase::kReverting && !tried_enough &&
      before.abort_reason.empty() && before.phase_elapsed + kTick <= PhaseBudget(before, limits_)) {
    result.broken = "given up before Start, because a UM is away";
  }
  const bool on_the_way = after.phase == before.phase && before.decision == Decision::kNone && !before.compensating &&
                          before.phase != Phase::kIdle && before.phase != Phase::kRecovering;
  const auto p = std::ranges::find(after.participants, event.node_id, &Participant::node_id);
  if (on_the_way && e.kind == Event::Kind::kAbort) result.broken = "an abort that changes nothing";
  if (on_the_way && e.kind == Event::Kind::kGateFailed) result.broken = "a failed gate that changes nothing";
  if (on_the_way && e.kind == Event::Kind::kUmStatus && e.state == cm::UmState::kFailed &&
      p != after.participants.end() && p->prepares > 0) {
    result.broken = "a FAILED UM, and the update goes on";
  }
  result.to = Add(step.update);
  kept_steps_.push_back(std::move(result));
  // The map may have grown.
  return *(steps_[uint64_t{id} << 32 | bits] = &kept_steps_.back());
}

uint32_t CmPool::Restarted(uint32_t id) {
  const auto [entry, is_new] = restarted_.try_emplace(id);
  if (!is_new) return entry->second;
  const UnitUpdate& u = at(id);
  UnitUpdate fresh;
  fresh.phase = u.phase;
  fresh.decision = u.decision;
  fresh.reason = u.reason;
  fresh.phase_elapsed = u.phase_elapsed;
  fresh.trial_running = u.trial_running;
  fresh.trial_elapsed = u.trial_elapsed;
  fresh.needs_approval = u.needs_approval;
  fresh.approved = u.approved;
  fresh.verify_before_commit = u.verify_before_commit;
  fresh.compensating = u.compensating;
  for (const Participant& p : u.participants) {
    Participant kept;
    kept.node_id = p.node_id;
    kept.priority = p.priority;
    kept.switches_boot = p.switches_boot;
    kept.highest_first = p.highest_first;
    kept.targets = p.targets;
    kept.prepares = p.prepares;
    kept.starts = p.starts;
    kept.forward_attempts = p.forward_attempts;
    kept.step_elapsed = p.step_elapsed;
    fresh.participants.push_back(std::move(kept));
  }
  const uint32_t to = Add(std::move(fresh));
  return restarted_[id] = to;
}

uint32_t CmPool::RecordLost(uint32_t id) {
  UnitUpdate update = at(Restarted(id));
  if (update.phase == Phase::kIdle) return id;
  update.phase = Phase::kRecovering;
  update.decision = Decision::kNone;
  update.phase_elapsed = absl::ZeroDuration();
  for (Participant& p : update.participants) p.prepares = std::max(p.prepares, 1U);
  return Add(std::move(update));
}

}  // namespace tandem::model
