// DSSE envelopes: a payload, its type, and signatures over both.
//
//   {"payloadType": T, "payload": base64(P), "signatures": [{"keyid": K, "sig": base64(S)}]}
//
// Signed are the bytes of DssePae(T, P), so a payload cannot be taken for one of another type. Reading order: size cap,
// JSON, base64, signatures; whoever calls OpenDsse() sees the payload only after its signatures were checked.
#ifndef TANDEM_COMMON_CRYPTO_DSSE_H_
#define TANDEM_COMMON_CRYPTO_DSSE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/keys.h"

namespace tandem {

// Largest envelope that is parsed: a release with the chunk digests of some 100 GiB.
inline constexpr size_t kMaxEnvelopeBytes = 8 << 20;
// More signatures than this are refused: each costs a verification per key.
inline constexpr size_t kMaxEnvelopeSignatures = 32;

struct DsseSignature {
  // A hint for people; not authenticated, and never used to decide.
  std::string keyid;
  std::string signature;
};

struct DsseEnvelope {
  std::string payload_type;
  // Raw bytes.
  std::string payload;
  std::vector<DsseSignature> signatures;
};

// "DSSEv1 len(T) T len(P) P".
std::string DssePae(std::string_view payload_type, std::string_view payload);

// Standard base64 with padding only: no line breaks, no URL alphabet, no stray bits at the end. INVALID_ARGUMENT.
absl::StatusOr<std::string> DecodeBase64Strict(std::string_view text);
std::string EncodeBase64(std::string_view bytes);

// Reads without verifying: for tools that show, and for OpenDsse(). INVALID_ARGUMENT when too large, not JSON, or not
// an envelope. Unknown members are ignored; members that occur twice are refused.
absl::StatusOr<DsseEnvelope> ParseDsse(std::string_view json, size_t limit = kMaxEnvelopeBytes);

// One line of JSON; the members in the order above.
std::string SerializeDsse(const DsseEnvelope& envelope);

// Adds the key's signature; one that names the same keyid is replaced.
absl::Status SignDsse(DsseEnvelope& envelope, const PrivateKey& key);

// PERMISSION_DENIED unless at least `threshold` *different keys* of `keys` have signed, however many signatures and
// keyids there are; also for a threshold of 0. INVALID_ARGUMENT when the payload is of another type.
absl::Status VerifyDsse(const DsseEnvelope& envelope, std::string_view payload_type, const std::vector<PublicKey>& keys,
                        uint32_t threshold);

// ParseDsse(), VerifyDsse(), and the payload.
absl::StatusOr<std::string> OpenDsse(std::string_view json, std::string_view payload_type,
                                     const std::vector<PublicKey>& keys, uint32_t threshold);

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_DSSE_H_
