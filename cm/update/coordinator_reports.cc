// What people and the cloud are told, and what people at the unit may do.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cm/update/coordinator.h"
#include "cm/update/status_view.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

void SetTime(google::protobuf::Timestamp& stamp, absl::Time time) {
  stamp.set_seconds(absl::ToUnixSeconds(time));
  stamp.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(stamp.seconds()))));
}

std::string Because(const std::string& reason) { return reason.empty() ? "" : absl::StrCat(": ", reason); }

template <typename Repeated, typename Item>
void AddAll(const std::vector<Item>& items, Repeated* to) {
  for (const Item& item : items) *to->Add() = item;
}

}  // namespace

Coordinator::About Coordinator::AboutOf(const release::v1::Assignment& assignment) {
  if (assignment.sequence() == 0) return {};
  About about{.update_id = absl::StrCat(assignment.sequence(), ".", assignment.attempt()),
              .sequence = assignment.sequence(),
              .attempt = assignment.attempt(),
              .correlation_id = assignment.correlation_id()};
  if (about.correlation_id.empty()) about.correlation_id = about.update_id;
  return about;
}

Coordinator::About Coordinator::AboutUpdate() const {
  return {.update_id = update_.update_id,
          .sequence = update_.sequence,
          .attempt = update_.attempt,
          .correlation_id = update_.correlation_id};
}

void Coordinator::Report(const std::string& state, const std::string& reason) {
  if (!update_.update_id.empty()) {
    const absl::Time now = parts_.clock.Now();
    parts_.history.AddEvent(update_.update_id, now, std::string(Name(update_.phase)),
                            reason.empty() ? state : absl::StrCat(state, ": ", reason));
    local::v1::UpdateSummary summary = ViewUpdate(update_);
    if (update_.phase == Phase::kIdle) {
      SetTime(*summary.mutable_finished_at(), now);
      last_update_ = summary;
    }
    parts_.history.Record(summary);
  }
  ReportOf(AboutUpdate(), state, reason);
}

void Coordinator::ReportOf(const About& about, const std::string& state, const std::string& reason) {
  if (parts_.cloud == nullptr) return;
  absl::Status queued;
  if (state == "applied" || state == "provisional") {
    unit::v1::Applied applied;
    applied.set_update_id(about.update_id);
    applied.set_sequence(about.sequence);
    applied.set_attempt(about.attempt);
    applied.set_boot_id(parts_.boot_id);
    applied.set_correlation_id(about.correlation_id);
    AddAll(ReportComponents(parts_.ums.ums()), applied.mutable_components());
    AddAll(ReportPlanes(store_->committed()), applied.mutable_planes());
    queued = state == "applied" ? parts_.cloud->QueueApplied(applied) : parts_.cloud->QueueProvisional(applied);
  }
  if (queued.ok()) {
    unit::v1::Feedback feedback;
    feedback.set_update_id(about.update_id);
    feedback.set_sequence(about.sequence);
    feedback.set_attempt(about.attempt);
    feedback.set_correlation_id(about.correlation_id);
    feedback.set_state(state);
    feedback.set_reason(reason);
    AddAll(ReportComponents(parts_.ums.ums()), feedback.mutable_components());
    queued = parts_.cloud->QueueFeedback(feedback);
  }
  if (!queued.ok()) LogError("cannot queue a report", {{"state", state}, {"error", ToPersonText(queued)}});
}

void Coordinator::PublishReported() {
  if (parts_.cloud == nullptr || !store_.has_value()) return;
  unit::v1::Reported reported;
  reported.set_boot_id(parts_.boot_id);
  reported.set_sequence(parts_.trust.record().sequence());
  reported.set_attempt(parts_.trust.record().attempt());
  reported.set_phase(std::string(Name(update_.phase)));
  reported.set_reason(update_.phase == Phase::kIdle ? IdleReason() : update_.reason);
  reported.set_cm_version(TANDEM_VERSION);
  reported.set_paused(update_.paused);
  if (parts_.safe_mode) {
    reported.set_safe_mode_reason(parts_.safe_mode());
    reported.set_safe_mode(!reported.safe_mode_reason().empty());
  }
  AddAll(ReportComponents(parts_.ums.ums()), reported.mutable_components());
  AddAll(ReportPlanes(store_->committed()), reported.mutable_planes());
  // Progress is no news to the cloud.
  if (const std::string bytes = reported.SerializeAsString(); std::exchange(last_reported_, bytes) == bytes) return;
  // These never change while CM runs; and a map's bytes may differ where its content does not.
  reported.set_hardware(parts_.config.hardware());
  *reported.mutable_attributes() = parts_.config.attributes();
  if (const absl::Status sent = parts_.cloud->PublishReported(reported); !sent.ok()) {
    LogWarning("cannot publish the reported state", {{"error", ToPersonText(sent)}});
  }
}

void Coordinator::OnUmRefused(const std::string& node_id, const absl::Status& why) {
  const std::string text = absl::StrCat("UM ", node_id, " was refused: ", ToPersonText(why));
  // It comes again with every retry of the UM.
  if (std::exchange(last_um_refusal_, text) == text) return;
  ReportOf({}, "um_refused", text);
}

void Coordinator::ReportAnomaly(const std::string& what) {
  LogWarning("anomaly", {{"reason", what}});
  const record::v1::CommittedRecord& committed = store_->committed();
  About about{.update_id = absl::StrCat(committed.sequence(), ".", committed.attempt()),
              .sequence = committed.sequence(),
              .attempt = committed.attempt(),
              .correlation_id = committed.correlation_id()};
  if (about.correlation_id.empty()) about.correlation_id = about.update_id;
  parts_.history.AddEvent(about.update_id, parts_.clock.Now(), std::string(Name(update_.phase)),
                          absl::StrCat("anomaly: ", what));
  ReportOf(about, "anomaly", what);
}

void Coordinator::ReportSafeMode(const std::string& what) {
  LogWarning("safe mode", {{"reason", what}});
  ReportOf({}, "safe_mode", what);
  PublishReported();
  Changed();
}

absl::StatusOr<std::string> Coordinator::LeaveSafeMode(const std::string& reason) {
  if (!parts_.leave_safe_mode || !parts_.leave_safe_mode(absl::StrCat("by an operator", Because(reason)))) {
    return absl::FailedPreconditionError("the unit is not in safe mode");
  }
  return "safe mode is over; start what it kept from running, or reboot the unit";
}

void Coordinator::RefuseFromCloud(const std::string& what) {
  LogWarning("refused", {{"error", what}});
  // What is wrong once mostly comes again.
  if (std::exchange(last_cloud_refusal_, what) != what) ReportOf({}, "refused", what);
}

void Coordinator::Changed() {
  if (changed_) changed_();
}

std::string Coordinator::IdleReason() const {
  if (!durability_error_.empty()) return durability_error_;
  if (waiting_.has_value() || (store_.has_value() && store_->has_desired() && !parts_.ums.AllSeen())) {
    std::vector<std::string> missing;
    for (const auto& [node_id, um] : parts_.ums.ums()) {
      if (!um.seen) missing.push_back(node_id);
    }
    if (!missing.empty() && idle_reason_.empty()) {
      return absl::StrCat("waits for these UMs to register: ", absl::StrJoin(missing, ", "));
    }
  }
  return idle_reason_;
}

// What CM fetches for UMs on other computers, as if they did it themselves.
void Coordinator::ViewDeliveries(local::v1::UnitStatus& status) const {
  for (local::v1::UmStatus& um : *status.mutable_ums()) {
    const auto participant = std::ranges::find(update_.participants, um.node_id(), &Participant::node_id);
    const std::optional<DeliveryProgress> progress = parts_.delivery.Progress(update_.update_id, um.node_id());
    if (participant == update_.participants.end() || !progress.has_value()) continue;
    um.set_activity(progress->activity);
    for (local::v1::ComponentStatus& component : *um.mutable_components()) {
      for (const Target& target : participant->targets) {
        const auto done = progress->bytes_done.find(target.sha256);
        if (target.component_id != component.component_id() || done == progress->bytes_done.end()) continue;
        component.set_bytes_done(done->second);
        component.set_bytes_total(target.size);
      }
    }
  }
}

local::v1::UnitStatus Coordinator::Status() const {
  local::v1::UnitStatus status;
  status.set_unit_id(parts_.config.unit_id());
  status.set_cm_version(TANDEM_VERSION);
  status.set_boot_id(parts_.boot_id);
  status.set_phase(std::string(Name(update_.phase)));
  status.set_paused(update_.paused);
  AddAll(ViewUms(parts_.ums.ums(), update_), status.mutable_ums());
  if (update_.phase == Phase::kIdle) {
    status.set_reason(IdleReason());
    if (last_update_.has_value()) *status.mutable_last_update() = *last_update_;
  } else {
    status.set_reason(durability_error_.empty() ? update_.reason : durability_error_);
    *status.mutable_update() = ViewUpdate(update_);
    AddAll(WaitsFor(update_, limits_), status.mutable_waiting_for());
    ViewDeliveries(status);
    const absl::Duration running = ticking_ ? parts_.clock.Monotonic() - last_tick_ : absl::ZeroDuration();
    status.set_phase_elapsed_ms(absl::ToInt64Milliseconds(update_.phase_elapsed + running));
    status.set_phase_budget_ms(absl::ToInt64Milliseconds(PhaseBudget(update_, limits_)));
  }
  const GateRunner* gate = gate_ != nullptr ? gate_.get() : preconditions_.get();
  if (gate != nullptr) {
    for (const GateProbeStatus& probe : gate->Probes()) {
      local::v1::ProbeStatus& view = *status.add_probes();
      view.set_name(probe.name);
      view.set_state(std::string(ProbeStateName(probe.progress.state)));
      view.set_detail(probe.progress.detail);
      view.set_successes(probe.progress.successes);
      view.set_failures(probe.progress.failures);
    }
  }
  if (parts_.cloud != nullptr) {
    const CloudState cloud = parts_.cloud->state();
    status.mutable_cloud()->set_connected(cloud.connected);
    status.mutable_cloud()->set_endpoint(cloud.endpoint);
    status.mutable_cloud()->set_error(cloud.error);
    status.mutable_cloud()->set_outbox_messages(cloud.outbox_messages);
  }
  if (parts_.safe_mode) status.set_safe_mode(parts_.safe_mode());
  if (parts_.add_status) parts_.add_status(status);
  return status;
}

// --- people at the unit ---

void Coordinator::ReportByOperator(const std::string& state, const std::string& reason) {
  const std::string text = absl::StrCat("by an operator", Because(reason));
  // At rest it says nothing about the update that is over.
  update_.phase == Phase::kIdle ? ReportOf({}, state, text) : Report(state, text);
}

absl::StatusOr<std::string> Coordinator::Approve(const std::string& reason) {
  if (update_.phase == Phase::kIdle)
    return absl::FailedPreconditionError("no update is running that could be approved");
  if (!update_.needs_approval) return absl::FailedPreconditionError("this update needs no approval");
  if (update_.approved) return absl::StrCat("update ", update_.update_id, " was approved already");
  ReportByOperator("approved", reason);
  Handle({.kind = Event::Kind::kApproved, .elapsed = {}, .node_id = {}, .text = reason});
  return absl::StrCat("update ", update_.update_id, " is approved");
}

absl::StatusOr<std::string> Coordinator::Abort(const std::string& reason) {
  if (update_.phase == Phase::kIdle) return absl::FailedPreconditionError("no update is running");
  if (update_.decision == Decision::kCommit) {
    return absl::FailedPreconditionError(absl::StrCat(
        "update ", update_.update_id, " is committed and only goes forward; assign the previous release instead"));
  }
  if (update_.compensating) return absl::StrCat("update ", update_.update_id, " is being taken back already");
  if (update_.decision == Decision::kAbort) return absl::StrCat("update ", update_.update_id, " goes back already");
  Handle({.kind = Event::Kind::kAbort,
          .elapsed = {},
          .node_id = {},
          .text = absl::StrCat("aborted by an operator", Because(reason))});
  return absl::StrCat("update ", update_.update_id.empty() ? "" : update_.update_id, " goes back");
}

absl::StatusOr<std::string> Coordinator::Pause(const std::string& reason) {
  if (const absl::Status saved = store_->SetPaused(true); !saved.ok()) return saved;
  update_.paused = true;
  ReportByOperator("paused", reason);
  PublishReported();
  Handle({.kind = Event::Kind::kPaused, .elapsed = {}, .node_id = {}, .text = reason});
  Changed();
  return "paused: updates are prepared, but none starts until tandemctl resume";
}

absl::StatusOr<std::string> Coordinator::Resume(const std::string& reason) {
  if (const absl::Status saved = store_->SetPaused(false); !saved.ok()) return saved;
  update_.paused = false;
  ReportByOperator("resumed", reason);
  PublishReported();
  Handle({.kind = Event::Kind::kResumed, .elapsed = {}, .node_id = {}, .text = reason});
  Changed();
  return "resumed";
}

}  // namespace tandem::cm
