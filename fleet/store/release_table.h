// Releases and the other signed documents: immutable once stored, but for a release's freeze and mirrors.
#ifndef TANDEM_FLEET_STORE_RELEASE_TABLE_H_
#define TANDEM_FLEET_STORE_RELEASE_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

class ReleaseTable {
 public:
  explicit ReleaseTable(StoreTransaction& tx) : tx_(tx) {}

  // Its number. ALREADY_EXISTS: the digest is stored.
  absl::StatusOr<int64_t> Add(const ReleaseRow& release);
  absl::StatusOr<ReleaseRow> Get(int64_t number);
  // Without its envelope, which may be large. Locked: nobody decides about it until the transaction ends.
  absl::StatusOr<ReleaseRow> Head(int64_t number, bool lock = false);
  // A digest, or a release_id that one release has: FAILED_PRECONDITION, with their digests, when several have it.
  absl::StatusOr<ReleaseRow> Find(const std::string& digest_or_id);
  absl::Status SetFrozen(int64_t number, bool frozen, const std::string& reason);
  // verdict, failed_*, auto_rolled_back.
  absl::Status SaveVerdict(const ReleaseRow& release);
  // That failed since `time`, newest first, without envelopes.
  absl::StatusOr<std::vector<ReleaseRow>> FailedSince(int64_t time, int limit);
  absl::Status SetBaseUrls(int64_t number, const std::vector<std::string>& base_urls);
  // Newest first, below number `before` (0: from the newest).
  absl::StatusOr<std::vector<ReleaseRow>> List(int64_t before, int limit);

 private:
  absl::StatusOr<std::vector<ReleaseRow>> Select(const std::string& where, std::initializer_list<SqlValue> values);

  StoreTransaction& tx_;
};

// The chain of key sets and the current release list, as DSSE envelopes.
class DocumentTable {
 public:
  explicit DocumentTable(StoreTransaction& tx) : tx_(tx) {}

  // Oldest first.
  absl::StatusOr<std::vector<std::string>> KeySets();
  absl::Status AddKeySet(int64_t version, const std::string& envelope);
  // Empty: there is none.
  absl::StatusOr<std::string> ReleaseList();
  absl::Status SetReleaseList(int64_t version, const std::string& envelope);

 private:
  StoreTransaction& tx_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_RELEASE_TABLE_H_
