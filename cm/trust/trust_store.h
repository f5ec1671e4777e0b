// The durable side of trust: key sets, the highest accepted assignment, floors, committed releases, the latest time.
#ifndef TANDEM_CM_TRUST_TRUST_STORE_H_
#define TANDEM_CM_TRUST_TRUST_STORE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/trust/verifier.h"
#include "common/storage/durable_record.h"
#include "common/storage/file_system.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {

// Owned by the event thread. After OK from a mutating call the change survives a power cut; after an error nothing
// changed.
class TrustStore {
 public:
  // Loads `path`; when there is none yet, starts from the maker's key set envelope at `first_key_set_file`, which is
  // checked to sign itself. A damaged record falls back to its previous copy (floors and sequence may be one step old:
  // logged), and is an error when that is damaged too. A key set of another namespace is refused.
  static absl::StatusOr<TrustStore> Load(FileSystem& fs, const std::string& path, const std::string& first_key_set_file,
                                         const std::string& name_space);

  const record::v1::TrustRecord& record() const { return record_; }

  // Before Prepare: the highest accepted (key set version, sequence, attempt), the key set chain, the release list's
  // version and issued_at as latest time.
  absl::Status Accept(const AcceptedDesired& desired);

  // Walks newer key sets that arrived on their own; returns how many were taken.
  absl::StatusOr<int> UpdateKeySets(const std::vector<std::string>& envelopes, const std::string& name_space,
                                    absl::Time now);

  // At COMMIT: these releases may be gone back to.
  absl::Status AddCommitted(const std::vector<std::string>& release_digests);

  // At Seal: floors rise, never fall.
  absl::Status RaiseFloors(const std::map<std::string, uint64_t>& security_versions);

  // The clock rule: max(RTC, newest verified issue time, build time). Only verified times are persisted: a clock that
  // is wrong for a while must expire nothing for good.
  absl::Time TrustedNow(absl::Time rtc) const;

 private:
  TrustStore(FileSystem& fs, const std::string& path) : file_(fs, path) {}
  absl::Status Save(const record::v1::TrustRecord& next);

  DurableRecord file_;
  record::v1::TrustRecord record_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_TRUST_TRUST_STORE_H_
