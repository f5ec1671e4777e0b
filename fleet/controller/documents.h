// The signed documents that the fleet holds: key sets, the release list and releases, verified when they are imported
// and opened once for use; and the desired state of a unit that is made of them.
//
// The fleet holds no offline key: it can only point at what release keys have signed, and refuses to point at what a
// unit would refuse.
#ifndef TANDEM_FLEET_CONTROLLER_DOCUMENTS_H_
#define TANDEM_FLEET_CONTROLLER_DOCUMENTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/key_set.h"
#include "common/crypto/keys.h"
#include "common/crypto/signed_metadata.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem::fleet {

struct OpenedRelease {
  // `frozen` as of when it was opened: read the row again to decide by it.
  ReleaseRow row;
  release::v1::Release document;
  // 32 bytes.
  std::string digest;
};

// What is trusted now. An immutable snapshot.
struct TrustedDocuments {
  std::vector<std::string> key_set_envelopes;
  std::optional<TrustedKeys> keys;
  std::optional<Signed<release::v1::ReleaseList>> list;
};

// Thread-safe.
class Documents {
 public:
  Documents(std::string name_space, PrivateKey signer)
      : name_space_(std::move(name_space)), signer_(std::move(signer)) {}

  const std::string& name_space() const { return name_space_; }
  const PrivateKey& signer() const { return signer_; }

  // Takes over what this or another controller has imported. Cheap when nothing is new.
  absl::Status Refresh(StoreTransaction& tx);
  std::shared_ptr<const TrustedDocuments> trusted() const;

  // Verify, then store, with an audit entry. PERMISSION_DENIED: signatures. INVALID_ARGUMENT: not such a document.
  // FAILED_PRECONDITION: not the next version, expired, or no key set yet. Imports of what is there already are OK.
  absl::Status ImportKeySets(StoreTransaction& tx, const std::vector<std::string>& envelopes, const std::string& actor,
                             int64_t now);
  absl::Status ImportReleaseList(StoreTransaction& tx, const std::string& envelope, const std::string& actor,
                                 int64_t now);
  absl::StatusOr<ReleaseRow> ImportRelease(StoreTransaction& tx, const std::string& envelope,
                                           const std::vector<std::string>& base_urls, const std::string& actor,
                                           int64_t now);

  absl::StatusOr<std::shared_ptr<const OpenedRelease>> Release(StoreTransaction& tx, int64_t number);
  // 0: not a release that the fleet has.
  absl::StatusOr<int64_t> NumberOf(StoreTransaction& tx, const std::string& digest_hex);

  // OK when units would take an assignment of this release now. FAILED_PRECONDITION: why not, and who can mend it.
  absl::Status CheckAssignable(const OpenedRelease& release, int64_t now) const;
  // The same but for the release: keys and list.
  absl::Status CheckCanSign(int64_t now) const;

  // JSON of common/crypto/desired_documents.h.
  absl::StatusOr<std::string> DesiredJson(StoreTransaction& tx, const std::string& assignment,
                                          const PlaneReleases& planes);
  absl::StatusOr<std::string> KeySetsJson() const;

 private:
  absl::StatusOr<TrustedKeys> RequireKeys() const;

  const std::string name_space_;
  const PrivateKey signer_;
  mutable std::mutex mutex_;
  std::shared_ptr<const TrustedDocuments> trusted_ = std::make_shared<TrustedDocuments>();
  std::map<int64_t, std::shared_ptr<const OpenedRelease>> releases_;
  std::map<std::string, int64_t> numbers_;
  // Releases whose signatures were found good, and under what.
  mutable std::map<int64_t, std::shared_ptr<const TrustedDocuments>> signed_under_;
};

// Planes of a release as a set.
PlaneSet PlanesOf(const release::v1::Release& release);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_DOCUMENTS_H_
