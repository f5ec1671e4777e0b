#include "cm/update/operator_orders.h"

#include "absl/strings/str_cat.h"
#include "cm/update/machine/events.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

std::string ByAnOperator(const std::string& reason) {
  return absl::StrCat("by an operator", reason.empty() ? "" : ": ", reason);
}

}  // namespace

void OperatorOrders::Report(UpdateReport report, const std::string& reason) {
  // At rest it says nothing about the update that is over.
  const UnitUpdate& update = parts_.update.update();
  if (update.phase == Phase::kIdle) {
    parts_.reporter.Tell({}, report, ByAnOperator(reason));
  } else {
    parts_.reporter.Report(update, report, ByAnOperator(reason));
  }
}

absl::StatusOr<std::string> OperatorOrders::Approve(const std::string& reason) {
  const UnitUpdate& update = parts_.update.update();
  if (update.phase == Phase::kIdle) {
    return absl::FailedPreconditionError("no update is running that could be approved");
  }
  if (!update.needs_approval) return absl::FailedPreconditionError("this update needs no approval");
  if (update.approved) return absl::StrCat("update ", update.update_id, " was approved already");
  const std::string update_id = update.update_id;
  Report(UpdateReport::kApproved, reason);
  parts_.update.Handle(UnitEvent(Event::Kind::kApproved, reason));
  return absl::StrCat("update ", update_id, " is approved");
}

absl::StatusOr<std::string> OperatorOrders::Abort(const std::string& reason) {
  const UnitUpdate& update = parts_.update.update();
  const std::string name = absl::StrCat("update ", update.update_id);
  if (update.phase == Phase::kIdle) return absl::FailedPreconditionError("no update is running");
  if (update.decision == Decision::kCommit) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " is committed and only goes forward; assign the previous release instead"));
  }
  if (update.compensating) return absl::StrCat(name, " is being taken back already");
  if (update.decision == Decision::kAbort) return absl::StrCat(name, " goes back already");
  parts_.update.Handle(UnitEvent(Event::Kind::kAbort, absl::StrCat("aborted ", ByAnOperator(reason))));
  return absl::StrCat(name, " goes back");
}

absl::Status OperatorOrders::SetPaused(bool paused, const std::string& reason) {
  RETURN_IF_ERROR(parts_.desired.SetPaused(paused));
  parts_.update.Handle(UnitEvent(paused ? Event::Kind::kPaused : Event::Kind::kResumed, reason));
  Report(paused ? UpdateReport::kPaused : UpdateReport::kResumed, reason);
  parts_.publish();
  parts_.update.Changed();
  return absl::OkStatus();
}

absl::StatusOr<std::string> OperatorOrders::Pause(const std::string& reason) {
  RETURN_IF_ERROR(SetPaused(true, reason));
  return "paused: updates are prepared, but none starts until tandemctl resume";
}

absl::StatusOr<std::string> OperatorOrders::Resume(const std::string& reason) {
  RETURN_IF_ERROR(SetPaused(false, reason));
  return "resumed";
}

absl::StatusOr<std::string> OperatorOrders::LeaveSafeMode(const std::string& reason) {
  if (!parts_.leave_safe_mode || !parts_.leave_safe_mode(ByAnOperator(reason))) {
    return absl::FailedPreconditionError("the unit is not in safe mode");
  }
  return "safe mode is over; start what it kept from running, or reboot the unit";
}

}  // namespace tandem::cm
