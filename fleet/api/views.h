// Rows of the store as the API shows them.
#ifndef TANDEM_FLEET_API_VIEWS_H_
#define TANDEM_FLEET_API_VIEWS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/controller/documents.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {

// Of a unit, the newest.
inline constexpr int kShownAttempts = 20;

google::protobuf::Timestamp ToTimestamp(int64_t seconds);

v1::Stop ViewOf(const StopRow& stop);
v1::AuditEntry ViewOf(const AuditRow& entry);
v1::Token ViewOf(const TokenRow& token);
v1::UnitEvent ViewOf(const UnitEventRow& event);
v1::Release ViewOf(const OpenedRelease& release, const ReleaseRow& row, const TrustedDocuments& trusted);

// How the verification of a release stands, over all of its rollouts.
absl::StatusOr<v1::ReleaseVerification> ViewOfVerification(StoreTransaction& tx, const ReleaseRow& release);

// What is the same for many rows of one answer is read once. For one transaction.
class Views {
 public:
  explicit Views(StoreTransaction& tx) : tx_(tx) {}

  absl::StatusOr<v1::Unit> Of(const UnitRecord& record);
  absl::StatusOr<v1::Attempt> Of(const AttemptRow& attempt);
  absl::StatusOr<v1::DiagnosticRun> Of(const DiagnosticRunRow& run, const std::string& unit_id);
  // Empty for 0.
  absl::StatusOr<std::string> ReleaseId(int64_t number);
  // Names of a rollout's rings, in order.
  absl::StatusOr<std::vector<std::string>> RingNames(int64_t rollout);

 private:
  StoreTransaction& tx_;
  std::map<int64_t, std::string> release_ids_;
  std::map<int64_t, std::vector<std::string>> rings_;
};

// What Rollout.change is: it differs when anything else of the view does.
uint64_t ChangeOf(const v1::Rollout& rollout);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_VIEWS_H_
