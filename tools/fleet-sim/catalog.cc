#include "tools/fleet-sim/catalog.h"

#include <utility>

#include "common/crypto/sha256.h"
#include "common/status/status.h"

namespace tandem::fleetsim {

ReleaseIndex Catalog::Add(const std::string& digest, const release::v1::Release& document) {
  const auto [at, fresh] = by_digest_.emplace(digest, static_cast<ReleaseIndex>(releases_.size() + 1));
  if (fresh) releases_.push_back({.digest = digest, .digest_hex = HexEncode(digest), .document = document});
  return at->second;
}

ReleaseIndex Catalog::Find(const std::string& digest) const {
  const auto found = by_digest_.find(digest);
  return found == by_digest_.end() ? ReleaseIndex{0} : found->second;
}

void Catalog::TakeKeySets(const std::vector<std::string>& key_sets) {
  if (key_sets.empty()) return;
  if (first_key_set.empty()) first_key_set = key_sets.front();
  if (key_sets == key_sets_) return;
  key_sets_ = key_sets;
  keys_.reset();
}

absl::StatusOr<const TrustedKeys*> Catalog::Keys(const std::string& name_space) {
  if (!keys_.has_value()) {
    if (first_key_set.empty()) return absl::FailedPreconditionError("no key set is known");
    ASSIGN_OR_RETURN(const TrustedKeys first, TrustedKeys::FromFirst(first_key_set, name_space));
    // Whether they have expired is for orders to find.
    ASSIGN_OR_RETURN(KeySetWalk walk, WalkKeySets(first, key_sets_, absl::InfinitePast()));
    keys_ = std::move(walk.keys);
  }
  return &*keys_;
}

}  // namespace tandem::fleetsim
