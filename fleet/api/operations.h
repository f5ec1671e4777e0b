// What the fleet's API does: one method for each rpc of tandem.fleet.v1.Fleet, for callers that were let in already.
//
//   Operations operations({.store = *store, .documents = documents, .registry = registry, .rollouts = rollouts,
//                          .time = time, .broker = [&] { return StateOf(link); }});
//   ASSIGN_OR_RETURN(const v1::Unit unit, operations.RevokeUnit({"token:alice", v1::OPERATOR}, request));
//
// Each request is one transaction: after an error nothing of it happened, after OK all of it, with its entry in the
// audit log, survives a power cut. Lists are read in pages, and no request reads more than some ten thousand rows, but
// for PlanRollout, which reads the fleet.
#ifndef TANDEM_FLEET_API_OPERATIONS_H_
#define TANDEM_FLEET_API_OPERATIONS_H_

#include <atomic>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "fleet/api/caller.h"
#include "fleet/api/event_feed.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/fleet_time.h"
#include "fleet/controller/registry.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/controller/unit_operations.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {

struct OperationsParts {
  Store& store;
  Documents& documents;
  Registry& registry;
  RolloutOperations& rollouts;
  UnitOperations& units;
  FleetTime& time;
  // What the link to the units says.
  std::function<v1::BrokerState()> broker;
};

// Thread-safe. What it is made of must outlive it.
class Operations {
 public:
  explicit Operations(OperationsParts parts)
      : parts_(std::move(parts)),
        events_(parts_.store, [this] { return parts_.broker ? parts_.broker().SerializeAsString() : ""; }) {}

  // Ends the calls that wait, and the event feed: they answer UNAVAILABLE within a second, as all later ones do.
  void Stop() {
    stopping_ = true;
    events_.Stop();
  }

  // What has changed, as it happens; for viewers.
  EventFeed& events() { return events_; }

  absl::StatusOr<v1::FleetOverview> GetFleet(const Caller& caller, const v1::GetFleetRequest& request);

  absl::StatusOr<v1::RegisterUnitsResponse> RegisterUnits(const Caller& caller,
                                                          const v1::RegisterUnitsRequest& request);
  absl::StatusOr<v1::ListUnitsResponse> ListUnits(const Caller& caller, const v1::ListUnitsRequest& request);
  absl::StatusOr<v1::UnitDetail> GetUnit(const Caller& caller, const v1::GetUnitRequest& request);
  absl::StatusOr<v1::Unit> RevokeUnit(const Caller& caller, const v1::RevokeUnitRequest& request);

  absl::StatusOr<v1::Unit> HoldUnit(const Caller& caller, const v1::HoldUnitRequest& request);
  absl::StatusOr<v1::Unit> RollBackUnit(const Caller& caller, const v1::RollBackUnitRequest& request);

  absl::StatusOr<v1::Release> ImportRelease(const Caller& caller, const v1::ImportReleaseRequest& request);
  absl::StatusOr<v1::ListReleasesResponse> ListReleases(const Caller& caller, const v1::ListReleasesRequest& request);
  absl::StatusOr<v1::Release> GetRelease(const Caller& caller, const v1::GetReleaseRequest& request);
  // An operator may freeze; only a release manager takes it back.
  absl::StatusOr<v1::Release> FreezeRelease(const Caller& caller, const v1::FreezeReleaseRequest& request);
  absl::StatusOr<v1::Keys> ImportReleaseList(const Caller& caller, const v1::ImportDocumentRequest& request);
  absl::StatusOr<v1::Keys> ImportKeySets(const Caller& caller, const v1::ImportDocumentRequest& request);
  absl::StatusOr<v1::Keys> GetKeys(const Caller& caller, const v1::GetKeysRequest& request);

  absl::StatusOr<v1::RolloutPlan> PlanRollout(const Caller& caller, const v1::PlanRolloutRequest& request);
  absl::StatusOr<v1::Rollout> CreateRollout(const Caller& caller, const v1::CreateRolloutRequest& request);
  absl::StatusOr<v1::ListRolloutsResponse> ListRollouts(const Caller& caller, const v1::ListRolloutsRequest& request);
  absl::StatusOr<v1::Rollout> GetRollout(const Caller& caller, const v1::GetRolloutRequest& request);
  // Looks when this process has written to the store, and every second, for another controller may have. At most
  // kMaxWatchers at a time, for each holds a thread: RESOURCE_EXHAUSTED.
  absl::StatusOr<v1::Rollout> WatchRollout(const Caller& caller, const v1::WatchRolloutRequest& request);
  absl::StatusOr<v1::Rollout> ChangeRollout(const Caller& caller, const v1::ChangeRolloutRequest& request);
  absl::StatusOr<v1::ListAttemptsResponse> ListAttempts(const Caller& caller, const v1::ListAttemptsRequest& request);

  absl::StatusOr<v1::Verification> GetVerification(const Caller& caller, const v1::GetVerificationRequest& request);
  absl::StatusOr<v1::RunDiagnosticsResponse> RunDiagnostics(const Caller& caller,
                                                            const v1::RunDiagnosticsRequest& request);
  absl::StatusOr<v1::Guards> GetGuards(const Caller& caller, const v1::GetGuardsRequest& request);
  absl::StatusOr<v1::Guards> SetAutoRollback(const Caller& caller, const v1::SetAutoRollbackRequest& request);

  absl::StatusOr<v1::Stop> CreateStop(const Caller& caller, const v1::CreateStopRequest& request);
  absl::StatusOr<v1::ListStopsResponse> ListStops(const Caller& caller, const v1::ListStopsRequest& request);
  absl::StatusOr<v1::Stop> LiftStop(const Caller& caller, const v1::LiftStopRequest& request);

  absl::StatusOr<v1::ListAuditResponse> ListAudit(const Caller& caller, const v1::ListAuditRequest& request);

  absl::StatusOr<v1::Principal> WhoAmI(const Caller& caller, const v1::WhoAmIRequest& request);
  absl::StatusOr<v1::CreateTokenResponse> CreateToken(const Caller& caller, const v1::CreateTokenRequest& request);
  absl::StatusOr<v1::ListTokensResponse> ListTokens(const Caller& caller, const v1::ListTokensRequest& request);
  absl::StatusOr<v1::Token> RevokeToken(const Caller& caller, const v1::RevokeTokenRequest& request);

  static constexpr int kMaxWatchers = 16;

 private:
  absl::StatusOr<v1::Rollout> ReadRollout(uint64_t id);
  absl::StatusOr<v1::Rollout> RolloutView(StoreTransaction& tx, const RolloutRow& row);
  absl::StatusOr<v1::Release> ReleaseView(StoreTransaction& tx, const ReleaseRow& row);
  absl::StatusOr<v1::Keys> ReadKeys();
  absl::StatusOr<v1::Unit> ReadUnit(const std::string& unit_id);
  absl::StatusOr<v1::Guards> GuardsView(StoreTransaction& tx);

  const OperationsParts parts_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> watchers_ = 0;
  EventFeed events_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_OPERATIONS_H_
