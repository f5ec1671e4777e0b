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
#include "fleet/controller/verification.h"
#include "fleet/controller/way_back.h"
#include "fleet/rollout/ring_gate.h"
#include "fleet/rollout/targeting.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/rollout.pb.h"

namespace tandem::fleet {

// Not thread-safe.
class RolloutRunner {
 public:
  RolloutRunner(Store& store, Documents& documents, Orders& orders, VerificationOptions options = {})
      : store_(store), documents_(documents), orders_(orders), way_back_(documents, orders), options_(options) {}

  // True: there is more to do at once.
  absl::StatusOr<bool> Look(int64_t rollout, int64_t now);

  // Acts upon verifications that failed, at most `limit`: first of all, so that nobody is ordered to a bad release
  // while others are looked at. True: there were some.
  absl::StatusOr<bool> LookAtFailures(int64_t now, int limit);

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
    // Units by the verification of their forward attempts, over all rings.
    int64_t verifying = 0;
    int64_t verified = 0;
    int64_t verification_failed = 0;
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

  absl::Status ActUponFailure(StoreTransaction& tx, int64_t attempt, int64_t now);
  // A rollback that did not help: the next planes go back too.
  absl::Status OrderNextRung(StoreTransaction& tx, const View& view, const AttemptRow& back, int64_t now);
  // The first unit that fails: the release's verdict, the guard, and the rollouts of the release.
  absl::Status FailRelease(StoreTransaction& tx, const View& view, const AttemptRow& failed, int64_t now);
  // Those that the event means something to.
  absl::Status StepAll(StoreTransaction& tx, const std::vector<RolloutRow>& rollouts, RolloutEvent event,
                       const std::string& reason, int64_t now);
  // The rollout is complete: when every unit that applied the release has verified it, it has gone forward. Not before,
  // for the first units of a ring say little.
  absl::Status NoteVerified(StoreTransaction& tx, const View& view, int64_t now);

  // Why a ring that was promoted aborts after all: its units fail late. Empty: none does.
  static absl::StatusOr<std::string> FailedAfterPromotion(StoreTransaction& tx, const View& view);
  // A newer rollout that ordered the unit in one of the same planes and was not taken back; 0: none.
  static absl::StatusOr<int64_t> NewerRollout(StoreTransaction& tx, const View& view, int64_t unit);
  // Those of the rollout that the unit is ordered to; after a failed verification the first rung of its ladder.
  static PlaneSet PlanesToTakeBack(const View& view, const AttemptRow& attempt, const UnitRow& unit, bool by_itself);
  // Whether another rollout of the same release has ordered the unit forward since.
  static absl::StatusOr<bool> OrderedByAnother(StoreTransaction& tx, const View& view, const UnitRow& unit);

  Store& store_;
  Documents& documents_;
  Orders& orders_;
  WayBack way_back_;
  const VerificationOptions options_;
  // By ring.
  using RingCursors = std::map<int64_t, int64_t>;
  // Where the search for units that may be ordered goes on, per rollout: those before wait for something.
  std::map<int64_t, RingCursors> cursors_;
  // Where the search for units that are to go back goes on, per rollout.
  std::map<int64_t, int64_t> take_back_after_;
};

// The counters of a ring as its gate takes them. `verification_counts`: a failed verification is a failure of the gate;
// otherwise what follows from it is not the gate's to decide.
absl::StatusOr<RingCounts> CountsOf(StoreTransaction& tx, const RolloutRow& rollout, const RingRow& ring,
                                    bool verification_counts, int64_t now);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_ROLLOUT_RUNNER_H_
