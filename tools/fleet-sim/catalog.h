// The releases and key sets that simulated units have seen, each held once however many units run it.
#ifndef TANDEM_TOOLS_FLEET_SIM_CATALOG_H_
#define TANDEM_TOOLS_FLEET_SIM_CATALOG_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/key_set.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem::fleetsim {

// 0: no release.
using ReleaseIndex = uint16_t;

struct KnownRelease {
  // 32 bytes, and lower-case hex.
  std::string digest;
  std::string digest_hex;
  // Whole: for all hardware.
  release::v1::Release document;
};

// Not thread-safe.
class Catalog {
 public:
  // The index of a release, known or new.
  ReleaseIndex Add(const std::string& digest, const release::v1::Release& document);
  // 0: never seen.
  ReleaseIndex Find(const std::string& digest) const;
  // `index` is not 0.
  const KnownRelease& at(ReleaseIndex index) const { return releases_[index - 1]; }

  // The key set that units trust from the start (envelope); until it is set, the first one that comes is taken.
  std::string first_key_set;

  // The newest chain that units were sent, oldest first.
  void TakeKeySets(const std::vector<std::string>& key_sets);
  // What it leads to. FAILED_PRECONDITION: no key set is known.
  absl::StatusOr<const TrustedKeys*> Keys(const std::string& name_space);

 private:
  std::vector<std::string> key_sets_;
  std::optional<TrustedKeys> keys_;
  std::deque<KnownRelease> releases_;
  std::map<std::string, ReleaseIndex> by_digest_;
};

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_CATALOG_H_
