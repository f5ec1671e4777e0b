// What people at the unit may order; each order answers what it did, or why it cannot.
#ifndef TANDEM_CM_UPDATE_OPERATOR_ORDERS_H_
#define TANDEM_CM_UPDATE_OPERATOR_ORDERS_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "cm/update/update_port.h"
#include "cm/update/update_reporter.h"

namespace tandem::cm {

struct OperatorOrdersParts {
  DesiredStore& desired;
  UpdatePort& update;
  UpdateReporter& reporter;
  // A person ends safe mode; false: the unit was not in it.
  std::function<bool(const std::string& why)> leave_safe_mode;
  // What runs is told to the cloud, with what holds an update.
  std::function<void()> publish;
};

// Used on the event thread.
class OperatorOrders {
 public:
  // What the parts refer to must outlive it.
  explicit OperatorOrders(OperatorOrdersParts parts) : parts_(std::move(parts)) {}

  absl::StatusOr<std::string> Approve(const std::string& reason);
  absl::StatusOr<std::string> Abort(const std::string& reason);
  absl::StatusOr<std::string> Pause(const std::string& reason);
  absl::StatusOr<std::string> Resume(const std::string& reason);
  absl::StatusOr<std::string> LeaveSafeMode(const std::string& reason);

 private:
  void Report(UpdateReport report, const std::string& reason);
  absl::Status SetPaused(bool paused, const std::string& reason);

  const OperatorOrdersParts parts_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_OPERATOR_ORDERS_H_
