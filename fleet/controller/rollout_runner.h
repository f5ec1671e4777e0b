// Moves rollouts on: one look at one rollout does what is due, in short transactions, each of which a controller may be
// killed after. Whoever holds the rollout's lock looks; every change of its row is a compare-and-set all the same.
#ifndef TANDEM_FLEET_CONTROLLER_ROLLOUT_RUNNER_H_
#define TANDEM_FLEET_CONTROLLER_ROLLOUT_RUNNER_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/orders.h"
#include "fleet/rollout/ring_gate.h"
#include "fleet/rollout/targeting.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/rollout.pb.h"

namespace tandem::fleet {

// Not thread-safe.
class RolloutRunner {
 public:
  RolloutRunner(Store& store, Documents& documents, Orders& orders)
      : store_(store), documents_(documents), orders_(orders) {}

  // True: there is more to do at once.
  absl::StatusOr<bool> Look(int64_t rollout, int64_t now);

  // Attempts whose age to be scored has come, of all rollouts; returns how many.
  absl::StatusOr<int> ScoreDue(int64_t now, int limit);

 private:
  // What a look works with; read anew for each.
  struct View {
    RolloutRow rollout;
    v1::RolloutSpec spec;
    std::shared_ptr<const OpenedRelease> release;
    // Units wait for their turn.
    bool queued = false;
  };
  absl::StatusOr<View> Read(int64_t rollout);

  absl::StatusOr<bool> Start(View& view, int64_t now);
  absl::StatusOr<bool> Fill(View& view, int64_t now);
  absl::StatusOr<bool> Roll(View& view, int64_t now);
  absl::StatusOr<bool> TakeBack(View& view, int64_t now);
  // The machine's step, its effects and the audit entry, in one transaction with what the store holds.
  absl::Status Step(StoreTransaction& tx, View& view, RolloutEvent event, const std::string& reason, int64_t now);

  // Returns how many orders were given; `reason`: why not more.
  absl::StatusOr<int> GiveOrders(View& view, int64_t now, std::string& reason);
  absl::StatusOr<bool> OrderOne(StoreTransaction& tx, const View& view, AttemptRow attempt,
                                const std::vector<std::pair<int64_t, TargetExpression>>& stops, int64_t now,
                                std::map<std::string, int>& waiting);
  absl::Status Rehearse(View& view, const v1::RingSpec& ring, int64_t now);
  absl::StatusOr<bool> DecideGate(View& view, const std::string& waits_for, int64_t now);

  // An order outside the queue: rehearsals and rollbacks. Its attempt's number.
  absl::StatusOr<int64_t> OrderBack(StoreTransaction& tx, const View& view, const AttemptRow& forward, AttemptKind kind,
                                    int64_t now);

  // Why a ring that was promoted aborts after all: its units fail late. Empty: none does.
  static absl::StatusOr<std::string> FailedAfterPromotion(StoreTransaction& tx, const View& view);
  // What a unit had in the rollout's planes before, as far as it may be ordered to it.
  absl::StatusOr<PlaneReleases> WhereBack(StoreTransaction& tx, const View& view, const AttemptRow& forward,
                                          int64_t now);
  // A newer rollout that ordered the unit in one of the same planes and was not taken back; 0: none.
  static absl::StatusOr<int64_t> NewerRollout(StoreTransaction& tx, const View& view, int64_t unit);
  // Whether the unit's newest attempt is of another rollout that has a plane of this one.
  static absl::StatusOr<bool> OrderedByAnother(StoreTransaction& tx, const View& view, const UnitRow& unit);

  Store& store_;
  Documents& documents_;
  Orders& orders_;
  // By ring.
  using RingCursors = std::map<int64_t, int64_t>;
  // Where the search for units that may be ordered goes on, per rollout: those before wait for something.
  std::map<int64_t, RingCursors> cursors_;
  // Where the search for units that are to go back goes on, per rollout.
  std::map<int64_t, int64_t> take_back_after_;
};

// The counters of a ring as its gate takes them.
absl::StatusOr<RingCounts> CountsOf(StoreTransaction& tx, const RolloutRow& rollout, const RingRow& ring, int64_t now);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_ROLLOUT_RUNNER_H_
