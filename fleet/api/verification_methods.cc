// What operators see and do about verification and its guards.
#include "absl/status/status.h"
#include "fleet/api/operations.h"

namespace tandem::fleet {

absl::StatusOr<v1::Unit> Operations::HoldUnit(const Caller&, const v1::HoldUnitRequest&) {
  return absl::UnimplementedError("not yet");
}
absl::StatusOr<v1::Unit> Operations::RollBackUnit(const Caller&, const v1::RollBackUnitRequest&) {
  return absl::UnimplementedError("not yet");
}
absl::StatusOr<v1::Verification> Operations::GetVerification(const Caller&, const v1::GetVerificationRequest&) {
  return absl::UnimplementedError("not yet");
}
absl::StatusOr<v1::RunDiagnosticsResponse> Operations::RunDiagnostics(const Caller&, const v1::RunDiagnosticsRequest&) {
  return absl::UnimplementedError("not yet");
}
absl::StatusOr<v1::Guards> Operations::GetGuards(const Caller&, const v1::GetGuardsRequest&) {
  return absl::UnimplementedError("not yet");
}
absl::StatusOr<v1::Guards> Operations::SetAutoRollback(const Caller&, const v1::SetAutoRollbackRequest&) {
  return absl::UnimplementedError("not yet");
}

}  // namespace tandem::fleet
