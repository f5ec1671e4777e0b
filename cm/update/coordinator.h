// Runs the unit's update: takes what happens as events, makes each new state durable, then does what it asks for.
//
// Everything runs on one event thread; nothing here waits. What is decided is pure: machine/unit_update.h (phases and
// commands), machine/plan.h (who takes part), begin_decision.h (whether it begins) and cm/trust (what may be
// installed). The coordinator is the loop event -> table -> durable -> actions; the rooms around it know about desired
// states (desired_intake.h), conditions and health (trial_gates.h), commands (um_commands.h), the rollback window
// (rollback_window.h), UMs left behind (leftover_ums.h), people (operator_orders.h) and reports (update_reporter.h).
#ifndef TANDEM_CM_UPDATE_COORDINATOR_H_
#define TANDEM_CM_UPDATE_COORDINATOR_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cm/update/desired_intake.h"
#include "cm/update/limits.h"
#include "cm/update/operator_orders.h"
#include "cm/update/um_commands.h"
#include "cm/update/update_journal.h"
#include "common/crypto/key_set.h"

namespace tandem::cm {

struct CoordinatorParts {
  EventLoop& loop;
  Clock& clock;
  FileSystem& fs;
  const config::v1::CmConfig& config;
  TrustStore& trust;
  DesiredStore& desired;
  UmRegistry& ums;
  ArtifactDelivery& delivery;
  History& history;
  GateFactory make_gate;
  // nullptr without a cloud.
  CloudBridge* cloud;
  std::string boot_id;
  // After each change of phase, each seal, and once at the start: whoever depends on it looks again.
  std::function<void()> phase_changed = {};
  // Why the unit is in safe mode; empty when it is not.
  std::function<std::string()> safe_mode = {};
  // A person ends it; false: it was not.
  std::function<bool(const std::string& why)> leave_safe_mode = {};
  // Adds what others know to Status().
  std::function<void(local::v1::UnitStatus& status)> add_status = {};
};

// What is watched after a COMMIT, until the rollback window ends.
struct StabilityTarget {
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  std::vector<release::v1::Probe> probes;
  // Before no failure of a probe counts after a start.
  absl::Duration grace;
};

class Coordinator : private UpdatePort {
 public:
  // All parts must outlive it.
  explicit Coordinator(CoordinatorParts parts);

  // Loads the update's record and goes on where CM ended. Call once, before anything else.
  absl::Status Recover();

  // --- from the cloud ---
  void OnDesired(const DesiredEnvelopes& documents);
  void OnKeySets(const std::vector<std::string>& key_sets);
  // The fleet's word on a provisional update: counts when the assignment role has signed it for this unit, and it is
  // about the running update.
  void OnVerdict(const std::string& envelope);
  void OnCloudChanged() { Changed(); }
  // Told to the cloud as refused, once in a row; for what comes from there and is not genuine.
  void RefuseFromCloud(const std::string& what);

  // --- from the UMs ---
  void OnUmStatus(const UmInfo& um, bool registered);
  void OnUmLost(const UmInfo& um);
  // A registration was refused: the cloud should know that something is wired wrongly, or tries to get in.
  void OnUmRefused(const std::string& node_id, const absl::Status& why);

  // --- from people at the unit ---
  OperatorOrders& orders() { return orders_; }
  absl::StatusOr<std::string> ApplyBundle(const std::string& path, const Bundle& bundle) {
    return intake_.ApplyBundle(path, bundle);
  }
  local::v1::UnitStatus Status() const;
  // Called on the event thread after anything that Status() shows may have changed.
  void SetChangeListener(std::function<void()> changed) { changed_ = std::move(changed); }

  // --- for those who run beside an update ---
  const UnitUpdate& update() const override { return update_; }
  absl::StatusOr<TrustedKeys> Keys() const;
  // As cm/update/running_releases.h says.
  absl::StatusOr<release::v1::Release> FindRunningRelease(const std::string& digest) const;
  // nullopt: nothing was committed, the window is over, or an update runs.
  std::optional<StabilityTarget> Stability() const;
  // The unit does badly on what it committed; told to the cloud, and kept in the history.
  void ReportAnomaly(const std::string& what) { reporter_.ReportAnomaly(update_, what); }
  // Safe mode begins or ends.
  void ReportSafeMode(const std::string& what);
  // False once the trial deadline has passed and no decision could be made durable: the watchdog then resets the unit,
  // and its bootloader goes back.
  bool MayFeedWatchdog() const;

 private:
  // --- UpdatePort ---
  const StoredDesired* documents() const override { return documents_.has_value() ? &*documents_ : nullptr; }
  void Handle(const Event& event) override;
  absl::Status Begin(const Step& step, const StoredDesired& documents) override;
  void ReplaceDocuments(StoredDesired documents) override { documents_ = std::move(documents); }
  void Changed() override;

  void GoOn();
  void LoadDocuments();
  void Perform(const std::vector<Action>& actions);
  void EnterPhase();
  void Finish();
  void KeepTicking();
  void Tick();
  void PhaseChanged();
  void PublishReported();
  // Why the unit is where it is, for people.
  std::string Reason() const;
  void ViewDeliveries(local::v1::UnitStatus& status) const;

  CoordinatorParts parts_;
  const Limits limits_;
  UnitUpdate update_;
  std::optional<StoredDesired> documents_;
  std::string durability_error_;
  bool ticking_ = false;
  absl::Duration last_tick_;
  // Time that passed while nothing could be made durable; it counts all the same.
  absl::Duration uncounted_;
  std::function<void()> changed_;

  UpdateJournal journal_;
  UpdateReporter reporter_;
  TrialGates gates_;
  UmCommands commands_;
  LeftoverUms leftovers_;
  RollbackWindow window_;
  DesiredIntake intake_;
  OperatorOrders orders_;
  LoopScope scope_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_COORDINATOR_H_
