#include "tools/fleet-sim/catalog.h"

#include "common/crypto/sha256.h"

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

}  // namespace tandem::fleetsim
