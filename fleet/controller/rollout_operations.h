// What operators do to rollouts: plan, create, and the verbs.
#ifndef TANDEM_FLEET_CONTROLLER_ROLLOUT_OPERATIONS_H_
#define TANDEM_FLEET_CONTROLLER_ROLLOUT_OPERATIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/verification.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {

// Thread-safe. Each runs within the transaction that it is given, and writes the audit log there.
class RolloutOperations {
 public:
  RolloutOperations(Documents& documents, Verification& verification)
      : documents_(documents), verification_(verification) {}

  // Dry run: who is hit, who is left out and why, how long it takes, what its gates can find. Reads the fleet twice.
  // INVALID_ARGUMENT: the spec. NOT_FOUND: the release.
  absl::StatusOr<v1::RolloutPlan> Plan(StoreTransaction& tx, const v1::RolloutSpec& spec, int64_t now);

  // Its number; it begins at the controller's next look. FAILED_PRECONDITION: the release is frozen, or units would
  // refuse it. Rollouts of the same planes whose targets share a unit with it are superseded.
  absl::StatusOr<int64_t> Create(StoreTransaction& tx, const v1::RolloutSpec& spec, const std::string& actor,
                                 int64_t now);

  // A verb: pause, resume, promote, retry, abort. FAILED_PRECONDITION: not in this state; says which verbs it takes.
  // ABORTED: it has another revision by now than the request names.
  absl::Status Change(StoreTransaction& tx, const v1::ChangeRolloutRequest& request, const std::string& actor,
                      int64_t now);

  // As the API shows it, with counters and the gates' evidence.
  absl::StatusOr<v1::Rollout> View(StoreTransaction& tx, const RolloutRow& rollout);

 private:
  absl::Status Retry(StoreTransaction& tx, const RolloutRow& rollout, const std::string& unit_id, int64_t now);
  absl::Status SupersedeOlder(StoreTransaction& tx, int64_t number, const v1::RolloutSpec& spec, PlaneSet planes,
                              int64_t now);

  Documents& documents_;
  Verification& verification_;
};

// Queued attempts of all rings end.
absl::Status CancelQueued(StoreTransaction& tx, int64_t rollout, int rings, AttemptEvent event,
                          const std::string& reason, int64_t now);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_ROLLOUT_OPERATIONS_H_
