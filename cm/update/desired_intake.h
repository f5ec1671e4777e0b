// Desired states on their way in: verified, made durable, planned, begun.
#ifndef TANDEM_CM_UPDATE_DESIRED_INTAKE_H_
#define TANDEM_CM_UPDATE_DESIRED_INTAKE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/artifacts/bundle.h"
#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/begin_decision.h"
#include "cm/update/leftover_ums.h"
#include "cm/update/rollback_window.h"
#include "cm/update/trial_gates.h"
#include "cm/update/update_port.h"
#include "cm/update/update_reporter.h"
#include "common/time/clock.h"
#include "common/time/loop_scope.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

struct DesiredIntakeParts {
  EventLoop& loop;
  Clock& clock;
  const config::v1::CmConfig& config;
  const Limits& limits;
  TrustStore& trust;
  DesiredStore& desired;
  UmRegistry& ums;
  UpdatePort& update;
  UpdateReporter& reporter;
  const LeftoverUms& leftovers;
  RollbackWindow& window;
  const TrialGates& gates;
};

// Used on the event thread. What was accepted is durable before anything follows from it. An error of this machine,
// such as a full disk, is never a refusal: what came is kept and tried again, and people and the cloud are told.
class DesiredIntake {
 public:
  // What the parts refer to must outlive it.
  explicit DesiredIntake(DesiredIntakeParts parts);

  // From the cloud; nothing of it was verified.
  void OnDesired(const DesiredEnvelopes& documents);
  // OK: a newer key set is in force.
  absl::Status OnKeySets(const std::vector<std::string>& key_sets);
  // By a person; answers what came of it, or why nothing did.
  absl::StatusOr<std::string> ApplyBundle(const std::string& path, const Bundle& bundle);

  // What runs, or who is there, may have changed.
  void OnInventory();
  // Once a second while it Waits().
  void Tick();
  bool Waits() const { return waiting_.has_value() || held_ == Hold::kUmsRegister; }
  // Begins the desired state's update when nothing runs and nothing holds it.
  void MaybeBegin();
  // After CM's restart in the middle of an update: a newer assignment may have been accepted just before.
  void ResumeNewer();

  // Why nothing runs although something is desired, for people; empty when all is as desired.
  std::string reason() const;
  // Nothing tells what ran, for people.
  void SetReason(std::string text) { reason_ = std::move(text); }

 private:
  // Where a desired state came from.
  struct Incoming {
    DesiredEnvelopes documents;
    std::string bundle_path;
  };
  // What was last told of a hold, so that it is told once.
  struct Told {
    std::string update_id;
    BeginVerdict verdict = BeginVerdict::kRest;
    Hold hold = Hold::kNothingDesired;
    std::vector<std::string> who;

    bool operator==(const Told&) const = default;
  };

  // Takes it, keeps it to be tried again, or refuses it.
  void TakeOrKeep(const Incoming& incoming);
  void TakeWaiting();
  // A local error (IsLocal()): nothing is wrong with it.
  absl::Status Take(const Incoming& incoming);
  absl::Status Accept(const AcceptedDesired& accepted, const Incoming& incoming);
  void Refuse(const Incoming& incoming, const absl::Status& why);
  void SupersedeWith(const AcceptedDesired& accepted);
  void RefreshDocuments();
  // Nothing will begin, so nothing else would tell the cloud how its releases did here.
  void TellTried(const AcceptedDesired& accepted);
  void TellHold(const AcceptedDesired& accepted, const BeginDecision& decision);
  BeginFacts Facts(const absl::StatusOr<StoredDesired>& desired) const;
  UnitFacts FactsOfUnit() const;
  // `completes`: an update that was applied, for those whom it left behind.
  absl::Status Begin(const StoredDesired& desired, std::vector<Participant> participants, bool completes);
  bool WaitsForUms() const;
  // Keeps `incoming` until it can be judged or recorded; `why` is for people.
  void Keep(const Incoming& incoming, const std::string& why);
  void RetryLater(void (DesiredIntake::*what)());

  const DesiredIntakeParts parts_;
  const absl::Duration started_;
  // A desired state that cannot be judged or recorded yet.
  std::optional<Incoming> waiting_;
  // Not before this is it tried again, and how long after that.
  absl::Duration waiting_until_;
  absl::Duration retry_after_;
  std::string reason_;
  // By the last look.
  Hold held_ = Hold::kNothingDesired;
  Told told_;
  std::string looked_at_;
  // The last refusal, and when it was told.
  std::string refused_;
  absl::Duration refused_at_;
  LoopScope scope_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_DESIRED_INTAKE_H_
