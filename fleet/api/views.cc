#include "fleet/api/views.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace tandem::fleet {
namespace {

uint64_t Unsigned(int64_t number) { return static_cast<uint64_t>(number); }

std::string PlaneName(release::v1::Plane plane) { return absl::AsciiStrToLower(release::v1::Plane_Name(plane)); }

// The name of the field that is set: "exec", "http", …
std::string KindOf(const release::v1::Probe& check) {
  const google::protobuf::OneofDescriptor& kinds = *check.GetDescriptor()->oneof_decl(0);
  const auto* kind = check.GetReflection()->GetOneofFieldDescriptor(check, &kinds);
  return kind == nullptr ? "" : kind->name();
}

const char* ScoreName(AttemptScore score) {
  switch (score) {
    case AttemptScore::kPass:
      return "pass";
    case AttemptScore::kFail:
      return "fail";
    case AttemptScore::kNone:
      break;
  }
  return "";
}

}  // namespace

google::protobuf::Timestamp ToTimestamp(int64_t seconds) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(seconds);
  return timestamp;
}

v1::Stop ViewOf(const StopRow& row) {
  v1::Stop stop;
  stop.set_id(Unsigned(row.number));
  stop.set_target(row.target);
  stop.set_reason(row.reason);
  stop.set_by(row.actor);
  *stop.mutable_at() = ToTimestamp(row.at);
  return stop;
}

v1::AuditEntry ViewOf(const AuditRow& row) {
  v1::AuditEntry entry;
  entry.set_id(Unsigned(row.number));
  *entry.mutable_at() = ToTimestamp(row.at);
  entry.set_actor(row.actor);
  entry.set_event(row.event);
  entry.set_severity(static_cast<uint32_t>(row.severity));
  entry.set_object(row.object);
  entry.set_before(row.old_value);
  entry.set_after(row.new_value);
  return entry;
}

v1::Token ViewOf(const TokenRow& row) {
  v1::Token token;
  token.set_id(Unsigned(row.number));
  token.set_name(row.name);
  token.set_role(static_cast<v1::Role>(row.role));
  *token.mutable_created_at() = ToTimestamp(row.created_at);
  *token.mutable_expires_at() = ToTimestamp(row.expires_at);
  token.set_revoked(row.revoked);
  return token;
}

v1::UnitEvent ViewOf(const UnitEventRow& row) {
  v1::UnitEvent event;
  *event.mutable_at() = ToTimestamp(row.at);
  event.set_sequence(Unsigned(row.sequence));
  event.set_attempt(static_cast<uint32_t>(row.attempt));
  event.set_state(row.state);
  event.set_reason(row.reason);
  return event;
}

v1::Release ViewOf(const OpenedRelease& opened, const ReleaseRow& row, const TrustedDocuments& trusted) {
  v1::Release view;
  view.set_digest(row.digest);
  view.set_release_id(row.release_id);
  for (const int plane : opened.document.planes()) view.add_planes(PlaneName(static_cast<release::v1::Plane>(plane)));
  for (const release::v1::ReleaseComponent& component : opened.document.components()) {
    v1::ReleaseComponent& shown = *view.add_components();
    shown.set_component_id(component.component_id());
    shown.set_component_type(component.component_type());
    shown.set_plane(PlaneName(component.plane()));
    shown.set_version(component.version());
    shown.set_size(component.size());
    shown.set_sha256(HexEncode(component.sha256()));
    *shown.mutable_hardware() = component.hardware();
    for (const auto& requirement : component.requirements()) {
      shown.add_requirements(absl::StrCat(requirement.component_type(), " >= ", requirement.min_version()));
    }
    shown.set_security_version(component.security_version());
  }
  for (const std::string& signer : row.signers) view.add_signer_keyids(signer);
  for (const std::string& url : row.base_urls) view.add_base_urls(url);
  view.set_frozen(row.frozen);
  view.set_frozen_reason(row.frozen_reason);
  if (trusted.list.has_value()) {
    const auto& digests = trusted.list->document.release_digests();
    view.set_listed(std::ranges::find(digests, opened.digest) != digests.end());
  }
  view.set_rollback_target(opened.document.rollback_target());
  *view.mutable_imported_at() = ToTimestamp(row.imported_at);
  view.set_imported_by(row.imported_by);
  view.set_notes(opened.document.notes());
  for (const release::v1::Diagnostic& diagnostic : opened.document.diagnostics()) {
    v1::DiagnosticDefinition& shown = *view.add_diagnostics();
    shown.set_name(diagnostic.name());
    shown.set_description(diagnostic.description());
    shown.set_run_after_ota(diagnostic.run_after_ota());
    shown.set_timeout_secs(static_cast<uint32_t>(absl::ToInt64Seconds(TimeoutOf(diagnostic))));
    for (const int plane : diagnostic.planes()) shown.add_planes(PlaneName(static_cast<release::v1::Plane>(plane)));
    shown.set_target(diagnostic.target());
    shown.set_kind(KindOf(diagnostic.check()));
  }
  for (const int plane : opened.document.rollback().order()) {
    view.add_rollback_order(PlaneName(static_cast<release::v1::Plane>(plane)));
  }
  return view;
}

absl::StatusOr<v1::ReleaseVerification> ViewOfVerification(StoreTransaction& tx, const ReleaseRow& release) {
  v1::ReleaseVerification view;
  ASSIGN_OR_RETURN(const std::vector<RolloutRow> rollouts, RolloutTable(tx).OfRelease(release.number));
  for (const RolloutRow& rollout : rollouts) {
    ASSIGN_OR_RETURN(const auto counts, Counters(tx, AllRingsCounterPrefix(rollout.number)));
    for (const auto& [name, value] : counts) {
      // "{ring}/{state}" are forward attempts.
      const std::string state = name.substr(name.find('/') + 1);
      if (value <= 0) continue;
      if (state == "verifying" || state == "verifying_trial") view.set_verifying(view.verifying() + Unsigned(value));
      if (state == "verified") view.set_verified(view.verified() + Unsigned(value));
      if (state == "verification_failed") view.set_failed(view.failed() + Unsigned(value));
    }
  }
  if (release.verdict == ReleaseVerdict::kFailed) {
    view.set_state("verification_failed");
    *view.mutable_failed_at() = ToTimestamp(release.failed_at);
    ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(release.failed_unit, /*lock=*/false));
    view.set_failed_unit(unit.unit_id);
    view.set_reason(release.failed_reason);
    view.set_auto_rolled_back(release.auto_rolled_back);
  } else if (view.verifying() > 0) {
    view.set_state("verifying");
  } else if (release.verdict == ReleaseVerdict::kVerified || view.verified() > 0) {
    view.set_state("verified");
  }
  return view;
}

absl::StatusOr<v1::DiagnosticRun> Views::Of(const DiagnosticRunRow& row, const std::string& unit_id) {
  v1::DiagnosticRun run;
  run.set_run_id(row.run_id);
  run.set_diagnostic(row.diagnostic);
  run.set_state(std::string(Name(row.state)));
  run.set_reason(row.reason);
  run.set_triggered_by(row.triggered_by);
  ASSIGN_OR_RETURN(*run.mutable_release_id(), ReleaseId(row.release));
  run.set_unit_id(unit_id);
  run.set_attempt(Unsigned(row.attempt));
  *run.mutable_created_at() = ToTimestamp(row.created_at);
  *run.mutable_deadline() = ToTimestamp(row.deadline);
  if (row.finished_at != 0) *run.mutable_finished_at() = ToTimestamp(row.finished_at);
  unit::v1::DiagnosticResult result;
  // One that cannot be read must not hide the others.
  if (!result.ParseFromString(row.result)) {
    result.Clear();
    result.set_log_excerpt("(what is stored of this result cannot be read)");
  }
  run.set_duration_ms(result.duration_ms());
  *run.mutable_measurements() = result.measurements();
  run.set_log_excerpt(result.log_excerpt());
  run.set_late_outcome(row.late_outcome);
  return run;
}

absl::StatusOr<std::string> Views::ReleaseId(int64_t number) {
  if (number == 0) return "";
  if (const auto found = release_ids_.find(number); found != release_ids_.end()) return found->second;
  ASSIGN_OR_RETURN(const ReleaseRow row, ReleaseTable(tx_).Head(number));
  return release_ids_[number] = row.release_id;
}

absl::StatusOr<std::vector<std::string>> Views::RingNames(int64_t rollout) {
  if (const auto found = rings_.find(rollout); found != rings_.end()) return found->second;
  ASSIGN_OR_RETURN(const RolloutRow row, RolloutTable(tx_).Get(rollout));
  ASSIGN_OR_RETURN(const v1::RolloutSpec spec, ReadSpec(row));
  std::vector<std::string> names;
  for (const v1::RingSpec& ring : spec.rings()) names.push_back(ring.name());
  return rings_[rollout] = names;
}

absl::StatusOr<v1::Unit> Views::Of(const UnitRecord& record) {
  const UnitRow& row = record.row;
  v1::Unit unit;
  unit.set_unit_id(row.unit_id);
  unit.set_hardware(record.attributes.hardware);
  unit.set_group(record.attributes.group);
  unit.set_customer(record.attributes.customer);
  unit.set_region(record.attributes.region);
  unit.set_site(record.attributes.site);
  for (const auto& [name, value] : record.attributes.tags) (*unit.mutable_tags())[name] = value;
  unit.set_certificate_fingerprint(record.certificate_fingerprint);
  unit.set_revoked(row.revoked);
  unit.set_online(row.online);
  unit.set_stale(row.stale);
  if (row.last_seen != 0) *unit.mutable_last_seen() = ToTimestamp(row.last_seen);
  for (int plane = 0; plane < kPlanes; ++plane) {
    v1::PlaneState& state = *unit.add_planes();
    state.set_plane(std::string(kPlaneNames[plane]));
    ASSIGN_OR_RETURN(*state.mutable_desired(), ReleaseId(row.desired[plane]));
    ASSIGN_OR_RETURN(*state.mutable_current(), ReleaseId(row.runs[plane]));
    ASSIGN_OR_RETURN(*state.mutable_previous(), ReleaseId(row.previous[plane]));
    ASSIGN_OR_RETURN(*state.mutable_verified(), ReleaseId(row.good[plane]));
  }
  unit.set_desired_sequence(Unsigned(row.desired_sequence));
  unit.set_published_sequence(Unsigned(row.published_sequence));
  unit.set_reported_sequence(Unsigned(row.reported_sequence));
  if (row.attempt != 0) {
    ASSIGN_OR_RETURN(const AttemptRow attempt, AttemptTable(tx_).Get(row.attempt, /*lock=*/false));
    unit.set_rollout(Unsigned(attempt.rollout));
  }
  *unit.mutable_registered_at() = ToTimestamp(record.registered_at);
  unit.set_storm(row.storm);
  unit.set_held(row.held);
  return unit;
}

absl::StatusOr<v1::Attempt> Views::Of(const AttemptRow& row) {
  v1::Attempt attempt;
  attempt.set_id(Unsigned(row.number));
  attempt.set_rollout(Unsigned(row.rollout));
  ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx_).Get(row.unit, /*lock=*/false));
  attempt.set_unit_id(unit.unit_id);
  ASSIGN_OR_RETURN(const std::vector<std::string> rings, RingNames(row.rollout));
  if (static_cast<size_t>(row.ring) < rings.size()) attempt.set_ring(rings[static_cast<size_t>(row.ring)]);
  attempt.set_kind(std::string(Name(row.kind)));
  attempt.set_state(std::string(Name(row.state)));
  attempt.set_reason(row.reason);
  attempt.set_sequence(Unsigned(row.sequence));
  attempt.set_tries(static_cast<uint32_t>(row.tries));
  attempt.set_score(ScoreName(row.score));
  *attempt.mutable_created_at() = ToTimestamp(row.created_at);
  *attempt.mutable_changed_at() = ToTimestamp(row.changed_at);
  if (row.score_at != 0) *attempt.mutable_score_at() = ToTimestamp(row.score_at);
  attempt.set_rolled_back_by(Unsigned(row.rolled_back_by));
  attempt.set_run_id(row.run_id);
  return attempt;
}

uint64_t ChangeOf(const v1::Rollout& rollout) {
  v1::Rollout view = rollout;
  view.clear_change();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    // Maps in the order of their keys.
    coded.SetSerializationDeterministic(true);
    view.SerializeToCodedStream(&coded);
  }
  uint64_t change = 0;
  std::memcpy(&change, Sha256(bytes).data(), sizeof(change));
  // 0 is what nobody has seen; 53 bits, so that every JSON reader takes it for what it is.
  return (change >> 11) | 1;
}

}  // namespace tandem::fleet
