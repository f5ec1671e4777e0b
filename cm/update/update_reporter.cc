#include "cm/update/update_reporter.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cm/update/add_all.h"
#include "cm/update/status_view.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

struct ReportName {
  UpdateReport report;
  std::string_view name;
};
constexpr ReportName kReportNames[] = {
    {UpdateReport::kPreparing, "preparing"},     {UpdateReport::kReady, "ready"},
    {UpdateReport::kStarting, "starting"},       {UpdateReport::kTrial, "trial"},
    {UpdateReport::kCommitting, "committing"},   {UpdateReport::kReverting, "reverting"},
    {UpdateReport::kRecovering, "recovering"},   {UpdateReport::kNeedsService, "needs_service"},
    {UpdateReport::kProvisional, "provisional"}, {UpdateReport::kApplied, "applied"},
    {UpdateReport::kReverted, "reverted"},       {UpdateReport::kResumed, "resumed"},
    {UpdateReport::kApproved, "approved"},       {UpdateReport::kPaused, "paused"},
    {UpdateReport::kWaiting, "waiting"},         {UpdateReport::kRefused, "refused"},
    {UpdateReport::kUmRefused, "um_refused"},    {UpdateReport::kAnomaly, "anomaly"},
    {UpdateReport::kSafeMode, "safe_mode"},
};

void SetTime(google::protobuf::Timestamp& stamp, absl::Time time) {
  stamp.set_seconds(absl::ToUnixSeconds(time));
  stamp.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(stamp.seconds()))));
}

}  // namespace

std::string_view Name(UpdateReport report) {
  for (const ReportName& row : kReportNames) {
    if (row.report == report) return row.name;
  }
  return "";
}

std::optional<UpdateReport> ReportOf(Phase phase) {
  switch (phase) {
    case Phase::kIdle:
      return std::nullopt;
    case Phase::kPreparing:
      return UpdateReport::kPreparing;
    case Phase::kReady:
      return UpdateReport::kReady;
    case Phase::kStarting:
      return UpdateReport::kStarting;
    case Phase::kTrial:
      return UpdateReport::kTrial;
    case Phase::kCommitting:
      return UpdateReport::kCommitting;
    case Phase::kReverting:
      return UpdateReport::kReverting;
    case Phase::kRecovering:
      return UpdateReport::kRecovering;
    case Phase::kNeedsService:
      return UpdateReport::kNeedsService;
  }
  return std::nullopt;
}

std::optional<UpdateReport> ReportOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      return std::nullopt;
    case Outcome::kApplied:
      return UpdateReport::kApplied;
    case Outcome::kReverted:
      return UpdateReport::kReverted;
    case Outcome::kNeedsService:
      return UpdateReport::kNeedsService;
  }
  return std::nullopt;
}

std::optional<Outcome> ParseOutcome(std::string_view name) {
  for (const Outcome outcome : {Outcome::kApplied, Outcome::kReverted, Outcome::kNeedsService}) {
    if (Name(outcome) == name) return outcome;
  }
  return std::nullopt;
}

ReportSubject SubjectOf(const release::v1::Assignment& assignment) {
  if (assignment.sequence() == 0) return {};
  ReportSubject subject{.update_id = absl::StrCat(assignment.sequence(), ".", assignment.attempt()),
                        .sequence = assignment.sequence(),
                        .attempt = assignment.attempt(),
                        .correlation_id = assignment.correlation_id()};
  if (subject.correlation_id.empty()) subject.correlation_id = subject.update_id;
  return subject;
}

ReportSubject SubjectOf(const UnitUpdate& update) {
  return {.update_id = update.update_id,
          .sequence = update.sequence,
          .attempt = update.attempt,
          .correlation_id = update.correlation_id};
}

ReportSubject SubjectOf(const record::v1::CommittedRecord& committed) {
  ReportSubject subject{.update_id = absl::StrCat(committed.sequence(), ".", committed.attempt()),
                        .sequence = committed.sequence(),
                        .attempt = committed.attempt(),
                        .correlation_id = committed.correlation_id()};
  if (subject.correlation_id.empty()) subject.correlation_id = subject.update_id;
  return subject;
}

void UpdateReporter::Report(const UnitUpdate& update, UpdateReport report, const std::string& reason) {
  if (!update.update_id.empty()) {
    const absl::Time now = parts_.clock.Now();
    const std::string state(Name(report));
    parts_.history.AddEvent(update.update_id, now, std::string(Name(update.phase)),
                            reason.empty() ? state : absl::StrCat(state, ": ", reason));
    local::v1::UpdateSummary summary = ViewUpdate(update);
    if (update.phase == Phase::kIdle) {
      SetTime(*summary.mutable_finished_at(), now);
      last_update_ = summary;
      Tell(SubjectOf(update), report, reason);
      // Not before the report is queued: by the outcome that is missing here, Recover() tells what was lost with CM.
      return Queue([this, summary = std::move(summary)] {
        parts_.history.Record(summary);
        return absl::OkStatus();
      });
    }
    parts_.history.Record(summary);
  }
  Tell(SubjectOf(update), report, reason);
}

void UpdateReporter::Queue(std::function<absl::Status()> report) {
  unqueued_.push_back(std::move(report));
  if (!retries_) QueueReports();
}

void UpdateReporter::Tell(const ReportSubject& subject, UpdateReport report, const std::string& reason) {
  if (parts_.cloud == nullptr) return;
  const std::string state(Name(report));
  if (report == UpdateReport::kApplied || report == UpdateReport::kProvisional) {
    unit::v1::Applied applied;
    applied.set_update_id(subject.update_id);
    applied.set_sequence(subject.sequence);
    applied.set_attempt(subject.attempt);
    applied.set_boot_id(parts_.boot_id);
    applied.set_correlation_id(subject.correlation_id);
    AddAll(ReportComponents(parts_.ums.ums()), applied.mutable_components());
    AddAll(ReportPlanes(parts_.desired.committed()), applied.mutable_planes());
    unqueued_.push_back([this, report, applied = std::move(applied)] {
      return report == UpdateReport::kApplied ? parts_.cloud->QueueApplied(applied)
                                              : parts_.cloud->QueueProvisional(applied);
    });
  }
  unit::v1::Feedback feedback;
  feedback.set_update_id(subject.update_id);
  feedback.set_sequence(subject.sequence);
  feedback.set_attempt(subject.attempt);
  feedback.set_correlation_id(subject.correlation_id);
  feedback.set_state(state);
  feedback.set_reason(reason);
  AddAll(ReportComponents(parts_.ums.ums()), feedback.mutable_components());
  Queue([this, feedback = std::move(feedback)] { return parts_.cloud->QueueFeedback(feedback); });
}

void UpdateReporter::QueueReports() {
  retries_ = false;
  while (!unqueued_.empty()) {
    const absl::Status queued = unqueued_.front()();
    if (queued.ok()) {
      unqueued_.pop_front();
      retry_after_ = kFirstRetry;
      continue;
    }
    if (absl::IsInvalidArgument(queued)) {
      // It would keep all others from the cloud for ever.
      LogError("a report cannot be sent; it is dropped", {{"error", ToPersonText(queued)}});
      unqueued_.pop_front();
      continue;
    }
    LogError("cannot queue a report; it is tried again",
             {{"error", ToPersonText(queued)}, {"reports", absl::StrCat(unqueued_.size())}});
    // What is newer tells more.
    while (unqueued_.size() > kMostUnqueued) unqueued_.pop_front();
    retries_ = true;
    scope_.PostAfter(retry_after_, [this] { QueueReports(); });
    retry_after_ = std::min(2 * retry_after_, kLastRetry);
    return;
  }
}

void UpdateReporter::Recover(UnitUpdate& update) {
  const auto newest = parts_.history.List(1);
  if (!newest.ok() || newest->empty()) return;
  if (newest->front().outcome() != Name(Outcome::kNone)) return SetLastUpdate(newest->front());
  if (update.phase != Phase::kIdle || newest->front().update_id() != update.update_id) return;
  // Older software did not write it there.
  if (update.outcome == Outcome::kNone) {
    update.outcome = ParseOutcome(parts_.desired.outcome()).value_or(Outcome::kNone);
    update.reason = parts_.desired.reason();
  }
  if (const std::optional<UpdateReport> report = ReportOf(update.outcome); report.has_value()) {
    Report(update, *report, update.reason);
  }
}

void UpdateReporter::TellOnce(UpdateReport report, const std::string& reason) {
  if (std::exchange(told_last_[report], reason) != reason) Tell({}, report, reason);
}

void UpdateReporter::ReportAnomaly(const UnitUpdate& update, const std::string& what) {
  LogWarning("anomaly", {{"reason", what}});
  const ReportSubject subject = SubjectOf(parts_.desired.committed());
  parts_.history.AddEvent(subject.update_id, parts_.clock.Now(), std::string(Name(update.phase)),
                          absl::StrCat("anomaly: ", what));
  Tell(subject, UpdateReport::kAnomaly, what);
}

void UpdateReporter::PublishReported(const UnitUpdate& update, const std::string& reason) {
  if (parts_.cloud == nullptr) return;
  unit::v1::Reported reported;
  reported.set_boot_id(parts_.boot_id);
  reported.set_sequence(parts_.trust.record().sequence());
  reported.set_attempt(parts_.trust.record().attempt());
  reported.set_phase(std::string(Name(update.phase)));
  reported.set_reason(reason);
  reported.set_cm_version(TANDEM_VERSION);
  reported.set_paused(update.paused);
  if (parts_.safe_mode) {
    reported.set_safe_mode_reason(parts_.safe_mode());
    reported.set_safe_mode(!reported.safe_mode_reason().empty());
  }
  AddAll(ReportComponents(parts_.ums.ums()), reported.mutable_components());
  AddAll(ReportPlanes(parts_.desired.committed()), reported.mutable_planes());
  // Progress is no news to the cloud.
  if (const std::string bytes = reported.SerializeAsString(); std::exchange(last_reported_, bytes) == bytes) return;
  // These never change while CM runs; and a map's bytes may differ where its content does not.
  reported.set_hardware(parts_.config.hardware());
  *reported.mutable_attributes() = parts_.config.attributes();
  if (const absl::Status sent = parts_.cloud->PublishReported(reported); !sent.ok()) {
    LogWarning("cannot publish the reported state", {{"error", ToPersonText(sent)}});
  }
}

}  // namespace tandem::cm
