#include "cm/update/records/update_record.h"

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

constexpr uint32_t kUpdateFormat = 1;

constexpr Phase kPhases[] = {Phase::kIdle,      Phase::kPreparing,  Phase::kReady,
                             Phase::kStarting,  Phase::kTrial,      Phase::kCommitting,
                             Phase::kReverting, Phase::kRecovering, Phase::kNeedsService};
constexpr Outcome kOutcomes[] = {Outcome::kNone, Outcome::kApplied, Outcome::kReverted, Outcome::kNeedsService};
constexpr Decision kDecisions[] = {Decision::kNone, Decision::kCommit, Decision::kAbort};

template <typename Enum, size_t size>
absl::StatusOr<Enum> Parse(const Enum (&values)[size], const std::string& name) {
  for (const Enum value : values) {
    if (Name(value) == name) return value;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the record says \"", name, "\", which this version does not know; run the version that wrote it"));
}

record::v1::TargetRecord ToRecord(const Target& target) {
  record::v1::TargetRecord record;
  record.set_component_id(target.component_id);
  record.set_component_type(target.component_type);
  record.set_version(target.version);
  record.set_previous_version(target.previous_version);
  record.set_sha256(target.sha256);
  record.set_size(target.size);
  record.set_path(target.path);
  record.set_annotations(target.annotations);
  record.set_release_digest(target.release_digest);
  record.set_plane(target.plane);
  record.set_security_version(target.security_version);
  return record;
}

Target FromRecord(const record::v1::TargetRecord& record) {
  return {.component_id = record.component_id(),
          .component_type = record.component_type(),
          .version = record.version(),
          .previous_version = record.previous_version(),
          .sha256 = record.sha256(),
          .size = record.size(),
          .path = record.path(),
          .annotations = record.annotations(),
          .release_digest = record.release_digest(),
          .plane = record.plane(),
          .security_version = record.security_version()};
}

record::v1::ParticipantRecord ToRecord(const Participant& participant) {
  record::v1::ParticipantRecord record;
  record.set_node_id(participant.node_id);
  record.set_priority(participant.priority);
  record.set_switches_boot(participant.switches_boot);
  record.set_highest_first(participant.highest_first);
  for (const Target& target : participant.targets) *record.add_targets() = ToRecord(target);
  record.set_prepares(participant.prepares);
  record.set_starts(participant.starts);
  record.set_forward_attempts(participant.forward_attempts);
  record.set_step_elapsed_ms(absl::ToInt64Milliseconds(participant.step_elapsed));
  return record;
}

Participant FromRecord(const record::v1::ParticipantRecord& record) {
  Participant participant;
  participant.node_id = record.node_id();
  participant.priority = record.priority();
  participant.switches_boot = record.switches_boot();
  participant.highest_first = record.highest_first();
  for (const auto& target : record.targets()) participant.targets.push_back(FromRecord(target));
  participant.prepares = record.prepares();
  participant.starts = record.starts();
  participant.forward_attempts = record.forward_attempts();
  participant.step_elapsed = absl::Milliseconds(record.step_elapsed_ms());
  return participant;
}

}  // namespace

record::v1::UnitUpdateRecord ToRecord(const UnitUpdate& update) {
  record::v1::UnitUpdateRecord record;
  record.set_format(kUpdateFormat);
  record.set_update_id(update.update_id);
  record.set_correlation_id(update.correlation_id);
  record.set_phase(std::string(Name(update.phase)));
  record.set_decision(std::string(Name(update.decision)));
  record.set_reason(update.reason);
  record.set_key_set_version(update.key_set_version);
  record.set_sequence(update.sequence);
  record.set_attempt(update.attempt);
  for (const std::string& id : update.release_ids) record.add_release_ids(id);
  record.mutable_started_at()->set_seconds(absl::ToUnixSeconds(update.started_at));
  for (const Participant& participant : update.participants) *record.add_participants() = ToRecord(participant);
  record.set_phase_elapsed_ms(absl::ToInt64Milliseconds(update.phase_elapsed));
  record.set_trial_running(update.trial_running);
  record.set_trial_elapsed_ms(absl::ToInt64Milliseconds(update.trial_elapsed));
  record.set_needs_approval(update.needs_approval);
  record.set_approved(update.approved);
  record.set_verify_before_commit(update.verify_before_commit);
  record.set_gate_passed(update.gate_passed);
  record.set_compensating(update.compensating);
  for (const std::string& node_id : update.leftovers) record.add_leftovers(node_id);
  if (update.outcome != Outcome::kNone) record.set_outcome(std::string(Name(update.outcome)));
  return record;
}

absl::StatusOr<UnitUpdate> FromRecord(const record::v1::UnitUpdateRecord& record) {
  UnitUpdate update;
  ASSIGN_OR_RETURN(update.phase, Parse(kPhases, record.phase()));
  ASSIGN_OR_RETURN(update.decision, Parse(kDecisions, record.decision()));
  if (!record.outcome().empty()) {
    ASSIGN_OR_RETURN(update.outcome, Parse(kOutcomes, record.outcome()));
  }
  update.update_id = record.update_id();
  update.correlation_id = record.correlation_id();
  update.reason = record.reason();
  update.key_set_version = record.key_set_version();
  update.sequence = record.sequence();
  update.attempt = record.attempt();
  update.release_ids.assign(record.release_ids().begin(), record.release_ids().end());
  update.started_at = absl::FromUnixSeconds(record.started_at().seconds());
  for (const auto& participant : record.participants()) update.participants.push_back(FromRecord(participant));
  update.phase_elapsed = absl::Milliseconds(record.phase_elapsed_ms());
  update.trial_running = record.trial_running();
  update.trial_elapsed = absl::Milliseconds(record.trial_elapsed_ms());
  update.needs_approval = record.needs_approval();
  update.approved = record.approved();
  update.verify_before_commit = record.verify_before_commit();
  update.gate_passed = record.gate_passed();
  update.compensating = record.compensating();
  update.leftovers.assign(record.leftovers().begin(), record.leftovers().end());
  return update;
}

}  // namespace tandem::cm
