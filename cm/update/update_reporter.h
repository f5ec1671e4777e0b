// What the unit says of its updates: into its history, and to the cloud.
//
// What is said is typed (UpdateReport); the words beside it are for people, and decide nothing.
#ifndef TANDEM_CM_UPDATE_UPDATE_REPORTER_H_
#define TANDEM_CM_UPDATE_UPDATE_REPORTER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cm/cloud/cloud_bridge.h"
#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/records/desired_store.h"
#include "cm/update/records/history.h"
#include "common/time/clock.h"
#include "common/time/loop_scope.h"
#include "tandem/config/v1/cm.pb.h"
#include "tandem/local/v1/local.pb.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem::cm {

enum class UpdateReport {
  // A phase began.
  kPreparing,
  kReady,
  kStarting,
  kTrial,
  kCommitting,
  kReverting,
  kRecovering,
  kNeedsService,
  // The gate passed, and the fleet's verdict is awaited.
  kProvisional,
  // How an update ended; kNeedsService is an end, too.
  kApplied,
  kReverted,
  // CM restarted in the middle of it, or an operator ended a pause.
  kResumed,
  kApproved,
  kPaused,
  // A desired state that cannot begin yet, or at all.
  kWaiting,
  kRefused,
  // Of the unit.
  kUmRefused,
  kAnomaly,
  kSafeMode,
};

// As it stands in feedback.state (docs/cloud-messages.md).
std::string_view Name(UpdateReport report);
// Of the phase that begins; nullopt for Idle, which is told by the outcome.
std::optional<UpdateReport> ReportOf(Phase phase);
// nullopt for Outcome::kNone.
std::optional<UpdateReport> ReportOf(Outcome outcome);
// By its name in a record; nullopt for a name that this version does not know.
std::optional<Outcome> ParseOutcome(std::string_view name);

// What a report is about; everything empty: the unit itself.
struct ReportSubject {
  std::string update_id;
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  std::string correlation_id;
};
ReportSubject SubjectOf(const release::v1::Assignment& assignment);
ReportSubject SubjectOf(const UnitUpdate& update);
ReportSubject SubjectOf(const record::v1::CommittedRecord& committed);

struct UpdateReporterParts {
  EventLoop& loop;
  Clock& clock;
  const config::v1::CmConfig& config;
  const UmRegistry& ums;
  const TrustStore& trust;
  const DesiredStore& desired;
  History& history;
  // nullptr without a cloud.
  CloudBridge* cloud;
  std::string boot_id;
  // Why the unit is in safe mode; empty when it is not.
  std::function<std::string()> safe_mode;
};

// Used on the event thread. What cannot be queued, such as on a full disk, is tried again, in its order, while CM runs;
// after a crash the outcome is told when the cloud sends the assignment again. What cannot be kept in the history is
// logged. Neither ever stops an update.
class UpdateReporter {
 public:
  // What the parts refer to must outlive it.
  explicit UpdateReporter(UpdateReporterParts parts) : parts_(std::move(parts)), scope_(parts_.loop) {}

  // After a start, with the update that was read: the last update is known again, and told when CM ended between its
  // durable outcome and the telling.
  void Recover(UnitUpdate& update);
  // Of the running, or the last, update: into its history and to the cloud.
  void Report(const UnitUpdate& update, UpdateReport report, const std::string& reason);
  // To the cloud only.
  void Tell(const ReportSubject& subject, UpdateReport report, const std::string& reason);
  // To the cloud, unless it is what was told last under this report.
  void TellOnce(UpdateReport report, const std::string& reason);
  // The unit does badly on what it is committed to.
  void ReportAnomaly(const UnitUpdate& update, const std::string& what);

  // What runs; the cloud hears it only when it changed. `reason`: why the unit is where it is, for people.
  void PublishReported(const UnitUpdate& update, const std::string& reason);

  // For Status(); nullopt when nothing was ever updated.
  const std::optional<local::v1::UpdateSummary>& last_update() const { return last_update_; }
  void SetLastUpdate(const local::v1::UpdateSummary& summary) { last_update_ = summary; }

 private:
  static constexpr absl::Duration kFirstRetry = absl::Seconds(2);
  static constexpr absl::Duration kLastRetry = absl::Minutes(1);
  static constexpr size_t kMostUnqueued = 100;

  void Queue(std::function<absl::Status()> report);
  void QueueReports();

  const UpdateReporterParts parts_;
  // For the cloud, and not in its outbox yet.
  std::deque<std::function<absl::Status()>> unqueued_;
  bool retries_ = false;
  absl::Duration retry_after_ = kFirstRetry;
  std::map<UpdateReport, std::string> told_last_;
  std::string last_reported_;
  std::optional<local::v1::UpdateSummary> last_update_;
  LoopScope scope_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_UPDATE_REPORTER_H_
