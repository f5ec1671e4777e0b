// The root of trust: a chain of key sets, each signed by a threshold of the one before and of itself.
//
//   ASSIGN_OR_RETURN(TrustedKeys keys, TrustedKeys::FromFirst(maker_envelope, "acme"));
//   ASSIGN_OR_RETURN(KeySetWalk walk, WalkKeySets(keys, envelopes_from_the_cloud, now));
//   keys = walk.keys;
#ifndef TANDEM_COMMON_CRYPTO_KEY_SET_H_
#define TANDEM_COMMON_CRYPTO_KEY_SET_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/keys.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem {

// More keys in one role than this are refused.
inline constexpr int kMaxRoleKeys = 32;
// A chain longer than this is refused.
inline constexpr size_t kMaxKeySetChain = 1024;

enum class KeyRole { kRoot, kRelease, kAssignment };
std::string_view KeyRoleName(KeyRole role);

struct RoleKeys {
  // All different.
  std::vector<PublicKey> keys;
  // 1 to keys.size().
  uint32_t threshold = 0;
};

// A key set whose signatures were checked. An immutable value.
class TrustedKeys {
 public:
  // The first key set, which nobody vouches for but whoever put it there: it must be signed by a threshold of its own
  // root keys. `name_space`: what it must say; empty: anything. Not checked for expiry: see WalkKeySets().
  // INVALID_ARGUMENT or PERMISSION_DENIED.
  static absl::StatusOr<TrustedKeys> FromFirst(std::string_view envelope, std::string_view name_space);

  // The next step: version + 1, the same namespace, signed by thresholds of these root keys and of its own.
  // PERMISSION_DENIED, FAILED_PRECONDITION (another version), INVALID_ARGUMENT.
  absl::StatusOr<TrustedKeys> Next(std::string_view envelope) const;

  const release::v1::KeySet& document() const { return document_; }
  uint64_t version() const { return document_.version(); }
  const std::string& name_space() const { return document_.namespace_(); }
  const RoleKeys& role(KeyRole role) const;
  absl::Time expires() const;
  // The DSSE envelope as it came.
  const std::string& envelope() const { return envelope_; }
  // SHA-256 of the payload.
  const std::string& digest() const { return chain_.back(); }
  // This one, or one of the steps that led to it since FromFirst().
  bool HasInChain(std::string_view payload_digest) const;
  // The newest version, at most `version`, that dropped an assignment key of the one before it (or the first version).
  // Sequences of assignments are comparable within an era only: a thief of a dropped key may have pushed them to their
  // end. A rotation of other roles begins no new era, so an old assignment does not become acceptable again by it.
  uint64_t AssignmentEra(uint64_t version) const;

 private:
  TrustedKeys() = default;
  static absl::StatusOr<TrustedKeys> FromPayload(std::string payload);
  // Checked against `signers` and against its own root role.
  static absl::StatusOr<TrustedKeys> Open(std::string_view envelope, const RoleKeys* signers);

  release::v1::KeySet document_;
  // Digests of the steps that led here, this one last.
  std::vector<std::string> chain_;
  // Versions at which eras began, ascending.
  std::vector<uint64_t> assignment_eras_;
  RoleKeys root_;
  RoleKeys release_;
  RoleKeys assignment_;
  std::string envelope_;
};

struct KeySetWalk {
  TrustedKeys keys;
  // The envelopes of the steps taken, in order.
  std::vector<std::string> taken;
};

// Takes every step that `envelopes` (oldest first) offer beyond `from`; the ones that led to it are skipped. Only the
// newest step must be unexpired at `now`: the older ones just lead to it. Nothing is taken by halves: an error leaves
// the caller with `from`. Errors as TrustedKeys::Next(), FAILED_PRECONDITION when the newest has expired.
absl::StatusOr<KeySetWalk> WalkKeySets(const TrustedKeys& from, const std::vector<std::string>& envelopes,
                                       absl::Time now);

// The trusted end of a chain that was accepted before (a record): every step is checked again, but not for expiry.
absl::StatusOr<TrustedKeys> LoadKeySetChain(const std::vector<std::string>& envelopes, std::string_view name_space);

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_KEY_SET_H_
