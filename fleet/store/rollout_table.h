// Rollouts, their rings, and the stops that keep units from new orders.
#ifndef TANDEM_FLEET_STORE_ROLLOUT_TABLE_H_
#define TANDEM_FLEET_STORE_ROLLOUT_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

class RolloutTable {
 public:
  explicit RolloutTable(StoreTransaction& tx) : tx_(tx) {}

  // Its number; all rings are pending.
  absl::StatusOr<int64_t> Create(const RolloutRow& rollout, int rings);
  absl::StatusOr<RolloutRow> Get(int64_t number);
  // ABORTED when somebody else has written it since `before` was read; `after.revision` is the new one then.
  absl::Status Save(const RolloutRow& before, RolloutRow& after);
  // Locks the row until the transaction ends. ABORTED when it has another revision by now.
  absl::Status Lock(const RolloutRow& rollout);
  // What is no decision: why it stands still, and what its rate allows. Keeps the revision, so that operators are not
  // told of a conflict where there is none; nothing happens when the revision is another by now.
  absl::Status Tell(const RolloutRow& rollout, const std::string& reason, int64_t now);
  absl::Status SaveTokens(const RolloutRow& rollout);
  // Rollouts that were complete when `superseded_by` took their place stand again: it was taken back.
  absl::Status Reinstate(int64_t superseded_by);
  // Those that there is something to do for: not over, or complete and the newest for their units; oldest first.
  absl::StatusOr<std::vector<RolloutRow>> Active();
  // Newest first.
  absl::StatusOr<std::vector<RolloutRow>> OfRelease(int64_t release);
  // Newest first, below number `before` (0: from the newest).
  absl::StatusOr<std::vector<RolloutRow>> List(bool active, int64_t before, int limit);

  absl::StatusOr<std::vector<RingRow>> Rings(int64_t rollout);
  absl::StatusOr<RingRow> GetRing(int64_t rollout, int64_t ring);
  absl::Status SaveRing(const RingRow& before, const RingRow& after);
  // Only its time of the last score.
  absl::Status TouchScored(int64_t rollout, int64_t ring, int64_t now);

 private:
  absl::StatusOr<std::vector<RolloutRow>> Select(const std::string& where, std::initializer_list<SqlValue> values);

  StoreTransaction& tx_;
};

class StopTable {
 public:
  explicit StopTable(StoreTransaction& tx) : tx_(tx) {}
  absl::StatusOr<int64_t> Add(const StopRow& stop);
  // Those in force.
  absl::StatusOr<std::vector<StopRow>> List();
  // NOT_FOUND: it is not in force.
  absl::StatusOr<StopRow> Lift(int64_t number);

 private:
  StoreTransaction& tx_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_ROLLOUT_TABLE_H_
