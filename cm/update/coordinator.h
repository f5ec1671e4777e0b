// Runs the unit's update: takes what happens as events, makes each new state durable, then does what it asks for.
//
// Everything runs on one event thread; nothing here waits. The decisions are in unit_update.h (phases and commands),
// plan.h (who takes part) and cm/trust (what may be installed).
#ifndef TANDEM_CM_UPDATE_COORDINATOR_H_
#define TANDEM_CM_UPDATE_COORDINATOR_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/cloud/cloud_bridge.h"
#include "cm/health/gate_runner.h"
#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/delivery.h"
#include "cm/update/machine/plan.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/records/desired_store.h"
#include "cm/update/records/history.h"
#include "common/crypto/key_set.h"
#include "common/storage/durable_record.h"
#include "common/time/event_loop.h"
#include "tandem/config/v1/cm.pb.h"
#include "tandem/local/v1/local.pb.h"

namespace tandem::cm {

// Makes a gate for a list of probes; what probes need from the unit is bound in.
using GateFactory = std::function<absl::StatusOr<std::unique_ptr<GateRunner>>(
    GateMode mode, const std::vector<release::v1::Probe>& probes, absl::Duration grace)>;

struct CoordinatorParts {
  EventLoop& loop;
  Clock& clock;
  FileSystem& fs;
  const config::v1::CmConfig& config;
  TrustStore& trust;
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

Limits LimitsOf(const config::v1::Budgets& budgets);

// What is watched after a COMMIT, until the rollback window ends.
struct StabilityTarget {
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  std::vector<release::v1::Probe> probes;
  // Before no failure of a probe counts after a start.
  absl::Duration grace;
};

class Coordinator {
 public:
  // All parts must outlive it.
  explicit Coordinator(CoordinatorParts parts);
  ~Coordinator();

  // Loads the records and goes on where CM ended. Call once, before anything else. A damaged update record is kept
  // aside, and what the UMs report decides (Phase::kRecovering).
  absl::Status Recover();

  // --- from the cloud ---
  void OnDesired(const DesiredDocuments& documents);
  void OnKeySets(const std::vector<std::string>& key_sets);
  // The fleet's word on a provisional update: counts when the assignment role has signed it for this unit, and it is
  // about the running update.
  void OnVerdict(const std::string& envelope);
  void OnCloudChanged() { Changed(); }

  // --- from the UMs ---
  void OnUmStatus(const UmInfo& um, bool registered);
  void OnUmLost(const UmInfo& um);
  // A registration was refused: the cloud should know that something is wired wrongly, or tries to get in.
  void OnUmRefused(const std::string& node_id, const absl::Status& why);

  // --- from people at the unit; each answers what it did, or why it cannot ---
  absl::StatusOr<std::string> ApplyBundle(const std::string& path);
  absl::StatusOr<std::string> Approve(const std::string& reason);
  absl::StatusOr<std::string> Abort(const std::string& reason);
  absl::StatusOr<std::string> Pause(const std::string& reason);
  absl::StatusOr<std::string> Resume(const std::string& reason);
  absl::StatusOr<std::string> LeaveSafeMode(const std::string& reason);

  local::v1::UnitStatus Status() const;
  // Called on the event thread after anything that Status() shows may have changed.
  void SetChangeListener(std::function<void()> changed) { changed_ = std::move(changed); }

  const UnitUpdate& update() const { return update_; }

  // In force now.
  absl::StatusOr<TrustedKeys> Keys() const;
  // Of the signed releases that the unit runs, or has on trial, the one with this digest (32 bytes). NOT_FOUND: what it
  // runs instead.
  absl::StatusOr<release::v1::Release> FindRunningRelease(const std::string& digest) const;
  // nullopt: nothing was committed, the window is over, or an update runs.
  std::optional<StabilityTarget> Stability() const;
  // The unit does badly on what it committed; told to the cloud, and kept in the history.
  void ReportAnomaly(const std::string& what);
  // Safe mode begins or ends.
  void ReportSafeMode(const std::string& what);

  // Told to the cloud as refused, once in a row; for what comes from there and is not genuine.
  void RefuseFromCloud(const std::string& what);

  // False once the trial deadline has passed and no decision could be made durable: the watchdog then resets the unit,
  // and its bootloader goes back.
  bool MayFeedWatchdog() const;

 private:
  // Where a desired state came from.
  struct Incoming {
    DesiredDocuments documents;
    std::string bundle_path;
  };

  absl::Status TakeDesired(const Incoming& incoming);
  absl::Status Accept(const AcceptedDesired& accepted, const Incoming& incoming);
  void Refuse(const Incoming& incoming, const absl::Status& why);
  void RefreshActive();
  void ReportTried(const AcceptedDesired& accepted);
  void SupersedeWith(const AcceptedDesired& accepted);
  // Begins the desired state's update when nothing runs and it was not tried yet.
  void MaybeBegin();
  absl::Status BeginUpdate(const StoredDesired& desired, std::vector<Participant> participants);
  bool WaitingForUms();

  // One event through the machine: durable, then the actions.
  void Handle(const Event& event);
  absl::Status MakeDurable(const Step& step);
  void Perform(const std::vector<Action>& actions);
  void SendCommand(const std::string& node_id, UmCommand command);
  void SendPrepare(const Participant& participant);
  // UMs that were fetching from CM when it ended find their artifacts again.
  void ResumeDelivery();
  ArtifactSource SourceOfUpdate() const;
  void NoArtifacts(const std::string& node_id, const absl::Status& why);
  void EnterPhase();
  void Finished();
  void HandleStray(const UmInfo& um, bool registered);
  // UMs that are still on their way out of an update that is over: what they run now is not what they will run.
  std::string UnsettledStrays() const;
  void CheckKeysOfRunningUpdate();

  void StartPreconditions();
  void StartHealthGate();
  void UpdateReadiness();
  void ForgetConditions();
  void AskConditions(const std::vector<Action>& actions);
  void Tick();
  void KeepTicking();
  absl::Duration RollbackWindowLeft() const;
  void WatchRollbackWindow();
  // Seals when the rollback window is over, or the next update begins; not while the unit is to go back.
  void MaybeSeal(bool next_update_begins);
  // Runs what the unit is committed to, as far as that names its components; false when it names none.
  bool RunsCommitted(const UmInfo& um) const;
  // Tells UMs at rest that what they run is sealed.
  void SealUms();
  Event StatusEvent(const UmInfo& um, bool registered) const;
  // An event that could not be made durable then: what its UM says now counts.
  Event AsOfNow(const Event& event) const;

  // What a report is about; everything empty: the unit itself.
  struct About {
    std::string update_id;
    uint64_t sequence = 0;
    uint32_t attempt = 0;
    std::string correlation_id;
  };
  static About AboutOf(const release::v1::Assignment& assignment);
  About AboutUpdate() const;
  // Of the running, or the last, update: into its history and to the cloud.
  void Report(const std::string& state, const std::string& reason);
  void ReportByOperator(const std::string& state, const std::string& reason);
  // To the cloud only.
  void ReportOf(const About& about, const std::string& state, const std::string& reason);
  void PublishReported();
  void Changed();
  std::string IdleReason() const;
  void ViewDeliveries(local::v1::UnitStatus& status) const;
  absl::Duration GateTime(const AcceptedDesired& desired) const;
  std::vector<release::v1::Probe> HealthProbes(const AcceptedDesired& desired) const;

  CoordinatorParts parts_;
  const Limits limits_;
  DurableRecord update_file_;
  std::string last_saved_;
  std::optional<DesiredStore> store_;
  UnitUpdate update_;
  // The documents of the running update.
  std::optional<StoredDesired> active_;

  // A desired state that waits for all UMs to have registered: their versions are part of the checks.
  std::optional<Incoming> waiting_;
  absl::Duration started_;
  // Why nothing runs although something is desired; for people.
  std::string idle_reason_;
  std::string last_refused_;
  absl::Duration last_refused_at_;
  std::string last_um_refusal_;
  std::string last_cloud_refusal_;
  std::string durability_error_;

  std::unique_ptr<GateRunner> preconditions_;
  bool preconditions_met_ = false;
  std::string preconditions_reason_;
  std::unique_ptr<GateRunner> gate_;
  absl::Duration gate_passed_at_;
  bool provisional_sent_ = false;

  EventLoop::TimerId tick_timer_ = 0;
  bool ticking_ = false;
  absl::Duration last_tick_;
  // Time that passed while nothing could be made durable; it counts all the same.
  absl::Duration uncounted_;
  absl::Duration window_checked_;
  EventLoop::TimerId window_timer_ = 0;
  // UMs that are still in an update that is over: when they were last told, and how often since they registered.
  struct Stray {
    absl::Duration told_at = -absl::InfiniteDuration();
    int tries = 0;
  };
  std::map<std::string, Stray> strays_;
  // Something is desired, but a stray must settle first.
  bool waits_for_strays_ = false;
  std::string last_reported_;
  std::optional<local::v1::UpdateSummary> last_update_;
  std::function<void()> changed_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_COORDINATOR_H_
