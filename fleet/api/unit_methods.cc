// GetFleet, RegisterUnits, ListUnits, GetUnit, RevokeUnit.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "fleet/api/certificate.h"
#include "fleet/api/operations.h"
#include "fleet/api/page_token.h"
#include "fleet/api/views.h"
#include "fleet/rollout/targeting.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

constexpr int kMaxUnits = 1000;
// Rows that one request looks at for a filter; what is left is for the next page.
constexpr int kMaxScan = 10'000;
constexpr int kBatch = 1000;
constexpr int kShownEvents = 100;
constexpr int kShownRollouts = 50;
constexpr int kShownRuns = 100;
constexpr int kShownFailedReleases = 10;
constexpr int64_t kFailedReleaseSeconds = int64_t{7} * 24 * 3600;

struct UnitFilter {
  TargetExpression target;
  std::string presence;

  bool everything() const { return target.text().empty() && presence.empty(); }
  bool Takes(const UnitRecord& unit) const {
    if (presence == "online" && !unit.row.online) return false;
    if (presence == "offline" && unit.row.online) return false;
    if (presence == "stale" && !unit.row.stale) return false;
    if (presence == "revoked" && !unit.row.revoked) return false;
    if (presence == "storm" && unit.row.storm.empty()) return false;
    if (presence == "held" && unit.row.held.empty()) return false;
    return target.Matches(unit.attributes);
  }
};

absl::StatusOr<UnitFilter> FilterOf(const v1::ListUnitsRequest& request) {
  static constexpr const char* kPresences[] = {"", "online", "offline", "stale", "revoked", "storm", "held"};
  if (std::ranges::find(kPresences, request.presence()) == std::end(kPresences)) {
    return absl::InvalidArgumentError(
        absl::StrCat("presence \"", request.presence(), "\" is none of online, offline, stale, revoked, storm, held"));
  }
  ASSIGN_OR_RETURN(TargetExpression target, Annotate(TargetExpression::Parse(request.filter()), "filter"));
  return UnitFilter{std::move(target), request.presence()};
}

UnitAttributes AttributesOf(const v1::UnitRegistration& unit) {
  return {.unit_id = unit.unit_id(),
          .hardware = unit.hardware(),
          .group = unit.group(),
          .customer = unit.customer(),
          .region = unit.region(),
          .site = unit.site(),
          .tags = {unit.tags().begin(), unit.tags().end()}};
}

// One page: what the filter takes, and where the next one begins; "" at the end.
struct UnitPage {
  std::vector<UnitRecord> units;
  std::string next_after;
};

absl::StatusOr<UnitPage> ReadPage(StoreTransaction& tx, const UnitFilter& filter, std::string after, size_t size) {
  UnitPage page;
  const int batch = filter.everything() ? static_cast<int>(size) + 1 : kBatch;
  for (int scanned = 0;;) {
    int rows = 0;
    bool full = false;
    RETURN_IF_ERROR(UnitTable(tx).List(after, batch, [&](UnitRecord&& unit) {
      ++rows;
      full = full || (page.units.size() == size);
      if (full) return;
      after = unit.row.unit_id;
      if (filter.Takes(unit)) page.units.push_back(std::move(unit));
    }));
    scanned += rows;
    if (!full && rows < batch) return page;
    if (full || scanned >= kMaxScan) {
      page.next_after = after;
      return page;
    }
  }
}

absl::Status AddVersions(StoreTransaction& tx, v1::FleetOverview& overview) {
  ASSIGN_OR_RETURN(const auto counters, Counters(tx, "run/"));
  for (const auto& [name, units] : counters) {
    if (units <= 0) continue;
    const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits('/', 1));
    v1::VersionShare& share = *overview.add_versions();
    share.set_plane(parts.first);
    share.set_units(static_cast<uint64_t>(units));
    int64_t release = 0;
    if (!absl::SimpleAtoi(parts.second, &release) || release == 0) continue;
    ASSIGN_OR_RETURN(const ReleaseRow row, ReleaseTable(tx).Head(release));
    share.set_release_id(row.release_id);
    share.set_release_digest(row.digest);
  }
  return absl::OkStatus();
}

absl::Status AddCounts(StoreTransaction& tx, v1::FleetOverview& overview) {
  ASSIGN_OR_RETURN(const int64_t units, Counter(tx, "units"));
  ASSIGN_OR_RETURN(const int64_t online, Counter(tx, "online"));
  ASSIGN_OR_RETURN(const int64_t stale, Counter(tx, "stale"));
  ASSIGN_OR_RETURN(const int64_t revoked, Counter(tx, "revoked"));
  ASSIGN_OR_RETURN(const int64_t storm, Counter(tx, "storm"));
  ASSIGN_OR_RETURN(const int64_t held, Counter(tx, "held"));
  ASSIGN_OR_RETURN(const int64_t unpublished, AssignmentTable(tx).QueueLength());
  overview.set_units(static_cast<uint64_t>(units));
  overview.set_online(static_cast<uint64_t>(online));
  overview.set_stale(static_cast<uint64_t>(stale));
  overview.set_revoked(static_cast<uint64_t>(revoked));
  overview.set_storm_units(static_cast<uint64_t>(storm));
  overview.set_held_units(static_cast<uint64_t>(held));
  overview.set_unpublished(static_cast<uint64_t>(unpublished));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::FleetOverview> Operations::GetFleet(const Caller&, const v1::GetFleetRequest&) {
  v1::FleetOverview overview;
  const absl::Status read = parts_.store.Read("fleet", [&](StoreTransaction& tx) -> absl::Status {
    overview.Clear();
    overview.set_namespace_(parts_.documents.name_space());
    RETURN_IF_ERROR(AddCounts(tx, overview));
    RETURN_IF_ERROR(AddVersions(tx, overview));
    ASSIGN_OR_RETURN(const auto rollouts, RolloutTable(tx).List(/*active=*/true, 0, kShownRollouts));
    for (const RolloutRow& row : rollouts) {
      ASSIGN_OR_RETURN(*overview.add_active_rollouts(), RolloutView(tx, row));
    }
    ASSIGN_OR_RETURN(const auto stops, StopTable(tx).List());
    for (const StopRow& stop : stops) *overview.add_stops() = ViewOf(stop);
    ASSIGN_OR_RETURN(*overview.mutable_guards(), GuardsView(tx));
    ASSIGN_OR_RETURN(const auto failed,
                     ReleaseTable(tx).FailedSince(parts_.time.Now() - kFailedReleaseSeconds, kShownFailedReleases));
    for (const ReleaseRow& row : failed) {
      ASSIGN_OR_RETURN(*overview.add_failed_releases(), ReleaseView(tx, row));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  if (parts_.broker) *overview.mutable_broker() = parts_.broker();
  return overview;
}

absl::StatusOr<v1::RegisterUnitsResponse> Operations::RegisterUnits(const Caller& caller,
                                                                    const v1::RegisterUnitsRequest& request) {
  if (request.units_size() > kMaxUnits) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.units_size(), " units; at most ", kMaxUnits, " are taken at a time"));
  }
  std::vector<UnitRegistration> registrations;
  for (const v1::UnitRegistration& unit : request.units()) {
    UnitRegistration& registration = registrations.emplace_back();
    registration.attributes = AttributesOf(unit);
    RETURN_IF_ERROR(Registry::Check(registration.attributes));
    if (unit.certificate().empty()) continue;
    ASSIGN_OR_RETURN(registration.certificate_fingerprint, FingerprintOfUnit(unit.certificate(), unit.unit_id()));
  }
  v1::RegisterUnitsResponse response;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("register units", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    for (const UnitRegistration& registration : registrations) {
      ASSIGN_OR_RETURN(const bool made, parts_.registry.Register(tx, registration, caller.actor, now));
      made ? response.set_created(response.created() + 1) : response.set_updated(response.updated() + 1);
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return response;
}

absl::StatusOr<v1::ListUnitsResponse> Operations::ListUnits(const Caller&, const v1::ListUnitsRequest& request) {
  ASSIGN_OR_RETURN(const UnitFilter filter, FilterOf(request));
  const std::string query = absl::StrCat("units\n", request.presence(), "\n", request.filter());
  ASSIGN_OR_RETURN(const std::string after, PositionOf(request.page_token(), query));
  const int size = PageSize(request.page_size(), 100, kMaxUnits);
  v1::ListUnitsResponse response;
  const absl::Status read = parts_.store.Read("units", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const UnitPage page, ReadPage(tx, filter, after, static_cast<size_t>(size)));
    Views views(tx);
    for (const UnitRecord& unit : page.units) {
      ASSIGN_OR_RETURN(*response.add_units(), views.Of(unit));
    }
    if (!page.next_after.empty()) response.set_next_page_token(MakePageToken(query, page.next_after));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return response;
}

absl::StatusOr<v1::UnitDetail> Operations::GetUnit(const Caller&, const v1::GetUnitRequest& request) {
  v1::UnitDetail detail;
  const absl::Status read = parts_.store.Read("unit", [&](StoreTransaction& tx) -> absl::Status {
    detail.Clear();
    UnitTable units(tx);
    ASSIGN_OR_RETURN(const UnitRecord record, units.GetRecord(request.unit_id()));
    Views views(tx);
    ASSIGN_OR_RETURN(*detail.mutable_unit(), views.Of(record));
    ASSIGN_OR_RETURN(const std::string reported, units.Reported(record.row.number));
    if (!reported.empty() && !detail.mutable_reported()->ParseFromString(reported)) {
      return absl::DataLossError(absl::StrCat("what unit ", request.unit_id(), " reported cannot be read"));
    }
    ASSIGN_OR_RETURN(const auto attempts, AttemptTable(tx).OfUnit(record.row.number, kShownAttempts));
    for (const AttemptRow& attempt : attempts) {
      ASSIGN_OR_RETURN(*detail.add_attempts(), views.Of(attempt));
    }
    ASSIGN_OR_RETURN(const auto runs, DiagnosticRunTable(tx).OfUnit(record.row.number, kShownRuns));
    for (const DiagnosticRunRow& run : runs) {
      ASSIGN_OR_RETURN(*detail.add_runs(), views.Of(run, request.unit_id()));
    }
    return units.Events(record.row.number, kShownEvents,
                        [&](UnitEventRow&& event) { *detail.add_events() = ViewOf(event); });
  });
  RETURN_IF_ERROR(read);
  return detail;
}

absl::StatusOr<v1::Unit> Operations::RevokeUnit(const Caller& caller, const v1::RevokeUnitRequest& request) {
  if (request.reason().empty()) return absl::InvalidArgumentError("reason is needed: it is for the audit log");
  v1::Unit unit;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("revoke unit", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(
        parts_.registry.SetRevoked(tx, request.unit_id(), request.revoked(), request.reason(), caller.actor, now));
    ASSIGN_OR_RETURN(const UnitRecord record, UnitTable(tx).GetRecord(request.unit_id()));
    ASSIGN_OR_RETURN(unit, Views(tx).Of(record));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return unit;
}

}  // namespace tandem::fleet
