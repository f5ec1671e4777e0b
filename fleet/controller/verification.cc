#include "fleet/controller/verification.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/signed_metadata.h"
#include "common/log/log.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/audit.h"
#include "fleet/rollout/targeting.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"
#include "fleet/verification/rollback_ladder.h"
#include "fleet/verification/run_outcome.h"

namespace tandem::fleet {
namespace {

constexpr size_t kMaxLogBytes = 8 << 10;
constexpr int kMaxMeasurements = 64;

// Results of one run_id are told apart by the diagnostic's name; two releases on one unit may use the same one.
std::string PartOfRun(const std::string& run_id, size_t part) {
  return part == 0 ? run_id : absl::StrCat(run_id, ".", part);
}
std::string WholeRun(const std::string& part) { return part.substr(0, part.find('.')); }

std::string Serialize(unit::v1::DiagnosticResult result) {
  if (result.log_excerpt().size() > kMaxLogBytes) {
    result.set_log_excerpt(End(result.log_excerpt(), kMaxLogBytes));
  }
  if (result.measurements_size() > kMaxMeasurements) {
    result.mutable_measurements()->DeleteSubrange(kMaxMeasurements, result.measurements_size() - kMaxMeasurements);
  }
  return result.SerializeAsString();
}

// "inference: failed: 412 ms, at most 200 allowed"
std::string WhyFailed(const std::vector<DiagnosticRunRow>& runs) {
  std::vector<std::string> why;
  for (const DiagnosticRunRow& run : runs) {
    if (run.state == RunState::kPassed || run.state == RunState::kSuperseded) continue;
    why.push_back(absl::StrCat("diagnostic ", run.diagnostic, ": ", std::string(Name(run.state)),
                               run.reason.empty() ? "" : ": ", run.reason));
  }
  return Beginning(absl::StrJoin(why, "; "), kMaxReasonBytes);
}

}  // namespace

VerdictTo MakeVerdict(const UnitRow& unit, const AttemptRow& attempt, bool verified, const std::string& reason) {
  VerdictTo to{.unit_id = unit.unit_id};
  to.verdict.set_unit_id(unit.unit_id);
  to.verdict.set_sequence(static_cast<uint64_t>(attempt.sequence));
  to.verdict.set_attempt(static_cast<uint32_t>(unit.desired_attempt));
  to.verdict.set_verified(verified);
  to.verdict.set_reason(reason);
  return to;
}

std::vector<uint32_t> LadderOf(const release::v1::Release& release, PlaneSet planes) {
  std::vector<int> order;
  for (const int plane : release.rollback().order()) order.push_back(plane - 1);
  return LadderOf(order, static_cast<uint32_t>(planes));
}

size_t RungOf(AttemptKind kind) { return static_cast<size_t>(kind) - static_cast<size_t>(AttemptKind::kRollback); }

AttemptKind KindOfRung(size_t rung) {
  return static_cast<AttemptKind>(static_cast<size_t>(AttemptKind::kRollback) + rung);
}

absl::StatusOr<std::vector<Verification::Wanted>> Verification::DiagnosticsFor(StoreTransaction& tx, int64_t unit,
                                                                               const PlaneReleases& releases,
                                                                               PlaneSet planes) {
  std::map<int64_t, PlaneSet> on_unit;
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (releases[plane] != 0 && Has(planes, plane)) on_unit[releases[plane]] |= PlaneSet{1} << plane;
  }
  std::vector<Wanted> wanted;
  std::optional<UnitAttributes> attributes;
  for (const auto& [number, planes_of] : on_unit) {
    const PlaneSet has = planes_of;
    ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> opened, documents_.Release(tx, number));
    for (const release::v1::Diagnostic& diagnostic : opened->document.diagnostics()) {
      const auto& of = diagnostic.planes();
      if (!of.empty() && std::ranges::none_of(of, [&](int plane) { return Has(has, plane - 1); })) continue;
      if (!diagnostic.target().empty()) {
        if (!attributes.has_value()) {
          ASSIGN_OR_RETURN(UnitRecord record, UnitTable(tx).GetRecord(unit));
          attributes = std::move(record.attributes);
        }
        // It was read when the release was imported.
        const absl::StatusOr<TargetExpression> target = TargetExpression::Parse(diagnostic.target());
        if (target.ok() && !target->Matches(*attributes)) continue;
      }
      wanted.push_back({.release = number, .diagnostic = &diagnostic, .opened = opened});
    }
  }
  return wanted;
}

absl::Status Verification::Order(StoreTransaction& tx, const std::vector<Wanted>& wanted,
                                 const DiagnosticRunRow& common, int64_t now) {
  int64_t longest = 0;
  for (const Wanted& one : wanted) longest = std::max(longest, absl::ToInt64Seconds(TimeoutOf(*one.diagnostic)));
  std::map<int64_t, size_t> parts;
  for (const Wanted& one : wanted) {
    const size_t part = parts.try_emplace(one.release, parts.size()).first->second;
    DiagnosticRunRow run = common;
    run.run_id = PartOfRun(common.run_id, part);
    run.release = one.release;
    run.diagnostic = one.diagnostic->name();
    run.timeout_secs = absl::ToInt64Seconds(TimeoutOf(*one.diagnostic));
    run.created_at = now;
    run.deadline = DeadlineOf(now, longest);
    run.publish_at = now;
    RETURN_IF_ERROR(DiagnosticRunTable(tx).Add(run).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Verification::Begin(StoreTransaction& tx, const UnitRow& unit, AttemptRow& attempt, int64_t now) {
  ASSIGN_OR_RETURN(const RolloutRow rollout, RolloutTable(tx).Get(attempt.rollout));
  ASSIGN_OR_RETURN(std::vector<Wanted> wanted, DiagnosticsFor(tx, unit.number, unit.desired, rollout.planes));
  std::erase_if(wanted, [](const Wanted& one) { return !one.diagnostic->run_after_ota(); });
  if (wanted.empty()) return false;
  if (!attempt.run_id.empty()) {
    RETURN_IF_ERROR(
        DiagnosticRunTable(tx).ClosePending(attempt.run_id, RunState::kSuperseded, "verified anew", now).status());
  }
  RETURN_IF_ERROR(DiagnosticRunTable(tx).Prune(unit.number, now - absl::ToInt64Seconds(options_.keep_runs)));
  const AttemptRow before = attempt;
  attempt.run_id = NewMessageId();
  RETURN_IF_ERROR(AttemptTable(tx).Save(before, attempt));
  RETURN_IF_ERROR(Order(
      tx, wanted,
      {.run_id = attempt.run_id, .unit = unit.number, .attempt = attempt.number, .triggered_by = kOtaVerify}, now));
  RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kVerify,
                              absl::StrCat(wanted.size(), wanted.size() == 1 ? " diagnostic runs" : " diagnostics run"),
                              now)
                      .status());
  return true;
}

absl::StatusOr<std::string> Verification::RunOnDemand(StoreTransaction& tx, const UnitRow& unit,
                                                      const std::vector<std::string>& names, int64_t now) {
  constexpr PlaneSet kAll = (PlaneSet{1} << kPlanes) - 1;
  ASSIGN_OR_RETURN(std::vector<Wanted> wanted, DiagnosticsFor(tx, unit.number, unit.runs, kAll));
  const auto name_of = [](const Wanted& one) { return one.diagnostic->name(); };
  for (const std::string& name : names) {
    if (std::ranges::find(wanted, name, name_of) != wanted.end()) continue;
    return absl::NotFoundError(
        absl::StrCat("no release that unit ", unit.unit_id, " runs has a diagnostic \"", name, "\"; they have: ",
                     wanted.empty() ? "none" : absl::StrJoin(wanted, ", ", [&](std::string* out, const Wanted& one) {
                       out->append(name_of(one));
                     })));
  }
  if (wanted.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no release that unit ", unit.unit_id, " runs has diagnostics for it"));
  }
  if (!names.empty()) {
    std::erase_if(wanted, [&](const Wanted& one) { return std::ranges::find(names, name_of(one)) == names.end(); });
  }
  RETURN_IF_ERROR(DiagnosticRunTable(tx).Prune(unit.number, now - absl::ToInt64Seconds(options_.keep_runs)));
  std::string run_id = NewMessageId();
  RETURN_IF_ERROR(Order(tx, wanted, {.run_id = run_id, .unit = unit.number, .triggered_by = kByOperator}, now));
  return run_id;
}

absl::Status Verification::TakeResult(StoreTransaction& tx, const UnitMessage& message, UnitRow& unit, int64_t now,
                                      std::vector<VerdictTo>& verdicts) {
  const auto& result = std::get<unit::v1::DiagnosticResult>(message.payload);
  DiagnosticRunTable table(tx);
  ASSIGN_OR_RETURN(const std::optional<DiagnosticRunRow> found, table.Find(message.run_id, result.diagnostic()));
  const std::optional<RunState> outcome = ParseOutcome(result.outcome());
  if (!found.has_value() || found->unit != unit.number || !outcome.has_value()) {
    LogWarning("a diagnostic's result belongs to nothing that was asked for",
               {{"unit", unit.unit_id}, {"run_id", message.run_id}, {"diagnostic", result.diagnostic()}});
    return absl::OkStatus();
  }
  DiagnosticRunRow run = *found;
  if (run.state != RunState::kPending) {
    // The same one again, or too late: kept for people where there is none, and decides nothing.
    if (!run.result.empty() || !run.late_outcome.empty()) return absl::OkStatus();
    run.late_outcome = std::string(Name(*outcome));
    run.result = Serialize(result);
    return table.Save(run);
  }
  run.state = *outcome;
  run.finished_at = now;
  run.publish_at = 0;
  run.reason = Beginning(result.reason(), kMaxReasonBytes);
  run.result = Serialize(result);
  RETURN_IF_ERROR(table.Save(run));
  return run.attempt == 0 ? absl::OkStatus() : Settle(tx, WholeRun(run.run_id), unit, now, verdicts);
}

absl::StatusOr<std::string> Verification::Seal(const VerdictTo& to, int64_t now) const {
  release::v1::Verdict verdict = to.verdict;
  verdict.set_namespace_(documents_.name_space());
  verdict.mutable_issued_at()->set_seconds(now);
  return SealDocument(verdict, kVerdictType, {documents_.signer()});
}

absl::StatusOr<bool> Verification::HasDue(StoreTransaction& tx, int64_t now) {
  ASSIGN_OR_RETURN(const std::vector<DiagnosticRunRow> due, DiagnosticRunTable(tx).Due(now, 1));
  return !due.empty();
}

absl::StatusOr<int> Verification::Reap(StoreTransaction& tx, int64_t now, int limit, std::vector<VerdictTo>& verdicts) {
  DiagnosticRunTable table(tx);
  UnitTable units(tx);
  ASSIGN_OR_RETURN(const std::vector<DiagnosticRunRow> due, table.Due(now, limit));
  // Units first, in the order of their ids, then what belongs to them: as those who take messages do.
  std::map<std::pair<std::string, int64_t>, const DiagnosticRunRow*> by_unit;
  for (const DiagnosticRunRow& one : due) {
    ASSIGN_OR_RETURN(const UnitRow unit, units.Get(one.unit, /*lock=*/false));
    by_unit[{unit.unit_id, one.number}] = &one;
  }
  std::set<std::pair<std::string, std::string>> settled;
  for (const auto& [key, run_of] : by_unit) {
    const DiagnosticRunRow& one = *run_of;
    ASSIGN_OR_RETURN(const UnitRow before, units.Get(one.unit, /*lock=*/true));
    ASSIGN_OR_RETURN(const std::optional<DiagnosticRunRow> current, table.Find(one.run_id, one.diagnostic));
    if (!current.has_value() || current->state != RunState::kPending || current->deadline > now) continue;
    DiagnosticRunRow run = *current;
    const bool away = !before.online || before.stale;
    const int64_t more = ExtensionFor(away, run.extended, absl::ToInt64Seconds(options_.offline_grace));
    if (more > 0) {
      if (run.extended == 0) {
        RETURN_IF_ERROR(
            Audit(tx, {.at = now,
                       .actor = kControllerActor,
                       .event = "unit.diagnostic.deadline_extended",
                       .object = absl::StrCat("unit/", before.unit_id),
                       .old_value = AuditJson({{"deadline", absl::StrCat(run.deadline)}}),
                       .new_value = AuditJson(
                           {{"run_id", run.run_id}, {"diagnostic", run.diagnostic}, {"reason", "the unit is away"}})}));
      }
      run.extended += more;
      run.deadline = now + more;
      RETURN_IF_ERROR(table.Save(run));
      continue;
    }
    run.state = RunState::kTimeout;
    run.finished_at = now;
    run.publish_at = 0;
    run.reason = away ? "no answer by its deadline; the unit is away" : "no answer by its deadline";
    RETURN_IF_ERROR(table.Save(run));
    if (run.attempt != 0) settled.insert({before.unit_id, WholeRun(run.run_id)});
  }
  for (const auto& [unit_id, run_id] : settled) {
    ASSIGN_OR_RETURN(const UnitRow before, units.Get(unit_id, /*lock=*/true));
    UnitRow unit = before;
    RETURN_IF_ERROR(Settle(tx, run_id, unit, now, verdicts));
    RETURN_IF_ERROR(units.Save(before, unit));
  }
  return static_cast<int>(due.size());
}

absl::Status Verification::Settle(StoreTransaction& tx, const std::string& run_id, UnitRow& unit, int64_t now,
                                  std::vector<VerdictTo>& verdicts) {
  ASSIGN_OR_RETURN(const std::vector<DiagnosticRunRow> runs, DiagnosticRunTable(tx).OfRun(run_id));
  std::vector<RunState> states;
  states.reserve(runs.size());
  for (const DiagnosticRunRow& run : runs) states.push_back(run.state);
  const VerificationOutcome outcome = Decide(states);
  if (outcome == VerificationOutcome::kPending) return absl::OkStatus();
  ASSIGN_OR_RETURN(AttemptRow attempt, AttemptTable(tx).Get(runs.front().attempt, /*lock=*/true));
  // Something newer runs, or the attempt is over: what comes now decides nothing.
  if (attempt.run_id != run_id || !IsVerifying(attempt.state)) return absl::OkStatus();
  return outcome == VerificationOutcome::kPassed ? SettlePassed(tx, attempt, unit, now, verdicts)
                                                 : SettleFailed(tx, attempt, WhyFailed(runs), unit, now, verdicts);
}

absl::Status Verification::SettlePassed(StoreTransaction& tx, AttemptRow& attempt, UnitRow& unit, int64_t now,
                                        std::vector<VerdictTo>& verdicts) {
  RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kDiagnosticsPassed, "", now).status());
  if (attempt.state == AttemptState::kCleared) {
    verdicts.push_back(MakeVerdict(unit, attempt, /*verified=*/true, ""));
    return absl::OkStatus();
  }
  return NoteGood(tx, attempt, unit);
}

absl::Status Verification::SettleFailed(StoreTransaction& tx, AttemptRow& attempt, const std::string& why,
                                        UnitRow& unit, int64_t now, std::vector<VerdictTo>& verdicts) {
  const AttemptState was = attempt.state;
  bool storm = false;
  if (IsRollback(attempt.kind)) {
    ASSIGN_OR_RETURN(const RolloutRow rollout, RolloutTable(tx).Get(attempt.rollout));
    ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> release, documents_.Release(tx, rollout.release));
    bool whole = true;
    for (int plane = 0; plane < kPlanes; ++plane) {
      whole = whole && (!Has(rollout.planes, plane) || unit.desired[plane] != rollout.release);
    }
    storm = whole || RungOf(attempt.kind) + 1 >= LadderOf(release->document, rollout.planes).size();
  }
  RETURN_IF_ERROR(
      StepAttempt(tx, attempt, storm ? AttemptEvent::kStorm : AttemptEvent::kDiagnosticsFailed, why, now).status());
  if (was == AttemptState::kVerifyingTrial) {
    verdicts.push_back(MakeVerdict(unit, attempt, /*verified=*/false, why));
  }
  if (storm) {
    unit.storm = absl::StrCat("what it was taken back to by rollout ", attempt.rollout, " fails too: ", why);
  } else {
    RETURN_IF_ERROR(VerificationFailureTable(tx).Add(attempt.number));
  }
  return absl::OkStatus();
}

}  // namespace tandem::fleet
