// HoldUnit, RollBackUnit, GetVerification, RunDiagnostics, GetGuards, SetAutoRollback.
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "fleet/api/operations.h"
#include "fleet/api/page_token.h"
#include "fleet/api/views.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

constexpr int kMaxRows = 1000;

absl::StatusOr<PlaneSet> PlanesFrom(const google::protobuf::RepeatedPtrField<std::string>& names) {
  PlaneSet planes = 0;
  for (const std::string& name : names) {
    int plane = 0;
    while (plane < kPlanes && kPlaneNames[plane] != absl::AsciiStrToLower(name)) ++plane;
    if (plane == kPlanes) {
      return absl::InvalidArgumentError(absl::StrCat("plane \"", name, "\" is none of firmware, model, config"));
    }
    planes |= PlaneSet{1} << plane;
  }
  return planes;
}

absl::StatusOr<std::optional<AttemptState>> VerificationStateOf(const std::string& name) {
  if (name.empty()) return std::nullopt;
  const std::optional<AttemptState> state = ParseAttemptState(name);
  if (state.has_value()) return state;
  return absl::InvalidArgumentError(
      absl::StrCat("state \"", name,
                   "\" is none of verifying, verifying_trial, cleared, verified, verification_failed, "
                   "verification_storm, or another state of an attempt"));
}

}  // namespace

absl::StatusOr<v1::Unit> Operations::ReadUnit(const std::string& unit_id) {
  v1::Unit unit;
  const absl::Status read = parts_.store.Read("unit", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const UnitRecord record, UnitTable(tx).GetRecord(unit_id));
    ASSIGN_OR_RETURN(unit, Views(tx).Of(record));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return unit;
}

absl::StatusOr<v1::Unit> Operations::HoldUnit(const Caller& caller, const v1::HoldUnitRequest& request) {
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("hold unit", [&](StoreTransaction& tx) {
    return parts_.units.Hold(tx, request.unit_id(), request.held(), request.reason(), caller.actor, now);
  });
  RETURN_IF_ERROR(written);
  return ReadUnit(request.unit_id());
}

absl::StatusOr<v1::Unit> Operations::RollBackUnit(const Caller& caller, const v1::RollBackUnitRequest& request) {
  ASSIGN_OR_RETURN(const PlaneSet planes, PlanesFrom(request.planes()));
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("roll back unit", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(parts_.documents.Refresh(tx));
    return parts_.units.RollBack(tx, request.unit_id(), planes, request.reason(), caller.actor, now);
  });
  RETURN_IF_ERROR(written);
  return ReadUnit(request.unit_id());
}

absl::StatusOr<v1::Verification> Operations::GetVerification(const Caller&, const v1::GetVerificationRequest& request) {
  if ((request.rollout() == 0) == request.unit_id().empty()) {
    return absl::InvalidArgumentError("say `rollout` or `unit_id`, one of them");
  }
  ASSIGN_OR_RETURN(const std::optional<AttemptState> state, VerificationStateOf(request.state()));
  const std::string query =
      absl::StrCat("verification\n", request.rollout(), "\n", request.unit_id(), "\n", request.state());
  ASSIGN_OR_RETURN(const int64_t after, NumberPositionOf(request.page_token(), query));
  const int size = PageSize(request.page_size(), 100, kMaxRows);
  v1::Verification view;
  const absl::Status read = parts_.store.Read("verification", [&](StoreTransaction& tx) -> absl::Status {
    view.Clear();
    std::vector<AttemptRow> attempts;
    if (request.rollout() != 0) {
      const auto rollout = static_cast<int64_t>(request.rollout());
      ASSIGN_OR_RETURN(const RolloutRow row, RolloutTable(tx).Get(rollout));
      ASSIGN_OR_RETURN(const ReleaseRow release, ReleaseTable(tx).Head(row.release));
      ASSIGN_OR_RETURN(*view.mutable_release(), ViewOfVerification(tx, release));
      ASSIGN_OR_RETURN(attempts, AttemptTable(tx).Verified(rollout, state, after, size + 1));
    } else {
      ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(request.unit_id(), /*lock=*/false));
      ASSIGN_OR_RETURN(attempts, AttemptTable(tx).OfUnit(unit.number, kShownAttempts));
      std::erase_if(attempts, [&](const AttemptRow& attempt) {
        return attempt.run_id.empty() || (state.has_value() && attempt.state != *state);
      });
    }
    if (attempts.size() > static_cast<size_t>(size)) {
      attempts.resize(static_cast<size_t>(size));
      view.set_next_page_token(MakePageToken(query, absl::StrCat(attempts.back().number)));
    }
    Views views(tx);
    std::set<std::string> columns;
    for (const AttemptRow& attempt : attempts) {
      v1::UnitVerification& unit = *view.add_units();
      ASSIGN_OR_RETURN(*unit.mutable_attempt(), views.Of(attempt));
      unit.set_unit_id(unit.attempt().unit_id());
      unit.set_run_id(attempt.run_id);
      ASSIGN_OR_RETURN(const std::vector<DiagnosticRunRow> runs, DiagnosticRunTable(tx).OfRun(attempt.run_id));
      for (const DiagnosticRunRow& run : runs) {
        columns.insert(run.diagnostic);
        ASSIGN_OR_RETURN(*unit.add_runs(), views.Of(run, unit.unit_id()));
        if (run.state == RunState::kPending) *unit.mutable_deadline() = ToTimestamp(run.deadline);
      }
    }
    for (const std::string& column : columns) view.add_diagnostics(column);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return view;
}

absl::StatusOr<v1::RunDiagnosticsResponse> Operations::RunDiagnostics(const Caller& caller,
                                                                      const v1::RunDiagnosticsRequest& request) {
  const std::vector<std::string> names(request.diagnostics().begin(), request.diagnostics().end());
  v1::RunDiagnosticsResponse response;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("run diagnostics", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    RETURN_IF_ERROR(parts_.documents.Refresh(tx));
    ASSIGN_OR_RETURN(const std::string run_id,
                     parts_.units.RunDiagnostics(tx, request.unit_id(), names, caller.actor, now));
    response.set_run_id(run_id);
    ASSIGN_OR_RETURN(const std::vector<DiagnosticRunRow> runs, DiagnosticRunTable(tx).OfRun(run_id));
    Views views(tx);
    for (const DiagnosticRunRow& run : runs) {
      ASSIGN_OR_RETURN(*response.add_runs(), views.Of(run, request.unit_id()));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return response;
}

absl::StatusOr<v1::Guards> Operations::GuardsView(StoreTransaction& tx) {
  const int64_t now = parts_.time.Now();
  ASSIGN_OR_RETURN(const StormGuard guard, parts_.units.Guard(tx, now));
  v1::Guards view;
  view.set_auto_rollback(MayRollBack(guard, now));
  view.set_switched_on(guard.switched_on);
  view.set_streak(static_cast<uint32_t>(guard.streak.size()));
  view.set_limit(kStormLimit);
  Views views(tx);
  for (const StormGuard::Failure& failure : guard.streak) {
    ASSIGN_OR_RETURN(*view.add_streak_releases(), views.ReleaseId(failure.release));
  }
  if (guard.disabled_until != 0) *view.mutable_disabled_until() = ToTimestamp(guard.disabled_until);
  ASSIGN_OR_RETURN(const int64_t storm, Counter(tx, "storm"));
  view.set_storm_units(static_cast<uint64_t>(storm));
  return view;
}

absl::StatusOr<v1::Guards> Operations::GetGuards(const Caller&, const v1::GetGuardsRequest&) {
  v1::Guards view;
  const absl::Status read = parts_.store.Read("guards", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(view, GuardsView(tx));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return view;
}

absl::StatusOr<v1::Guards> Operations::SetAutoRollback(const Caller& caller,
                                                       const v1::SetAutoRollbackRequest& request) {
  v1::Guards view;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("set automatic rollback", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(parts_.units.SetAutoRollback(tx, request.on(), request.reason(), caller.actor, now));
    ASSIGN_OR_RETURN(view, GuardsView(tx));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return view;
}

}  // namespace tandem::fleet
