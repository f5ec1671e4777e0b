// Opens and seals the signed documents: envelope -> signatures against a role of a key set -> parsed document.
//
//   ASSIGN_OR_RETURN(Signed<release::v1::Release> release, OpenRelease(envelope, keys));
//   release.document.release_id(); HexEncode(release.digest);
//
// Both ends of the unit use it: CM before an update, a UM before it takes what CM sends.
#ifndef TANDEM_COMMON_CRYPTO_SIGNED_METADATA_H_
#define TANDEM_COMMON_CRYPTO_SIGNED_METADATA_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/key_set.h"
#include "common/crypto/keys.h"
#include "google/protobuf/message_lite.h"
#include "google/protobuf/timestamp.pb.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem {

inline constexpr char kKeySetType[] = "application/vnd.tandem.keyset.v1+protobuf";
inline constexpr char kReleaseType[] = "application/vnd.tandem.release.v1+protobuf";
inline constexpr char kReleaseListType[] = "application/vnd.tandem.releaselist.v1+protobuf";
inline constexpr char kAssignmentType[] = "application/vnd.tandem.assignment.v1+protobuf";
inline constexpr char kDiagnosticCommandType[] = "application/vnd.tandem.diagnosticcommand.v1+protobuf";
inline constexpr char kVerdictType[] = "application/vnd.tandem.verdict.v1+protobuf";

template <typename Document>
struct Signed {
  Document document;
  // SHA-256 of the payload bytes, 32 bytes.
  std::string digest;
  // As it came.
  std::string envelope;
};

// Checked: signatures (a threshold of the role's keys), type, and that the document's namespace is the key set's.
// PERMISSION_DENIED: signatures or namespace. INVALID_ARGUMENT: not an envelope, another type, not that document, or a
// document that contradicts itself (see CheckRelease()).
absl::StatusOr<Signed<release::v1::Release>> OpenRelease(std::string_view envelope, const TrustedKeys& keys);
absl::StatusOr<Signed<release::v1::ReleaseList>> OpenReleaseList(std::string_view envelope, const TrustedKeys& keys);
absl::StatusOr<Signed<release::v1::Assignment>> OpenAssignment(std::string_view envelope, const TrustedKeys& keys);
absl::StatusOr<Signed<release::v1::DiagnosticCommand>> OpenDiagnosticCommand(std::string_view envelope,
                                                                             const TrustedKeys& keys);
absl::StatusOr<Signed<release::v1::Verdict>> OpenVerdict(std::string_view envelope, const TrustedKeys& keys);

// What makes a document whole, whoever signed it: a release has components with type, version, plane (one of `planes`),
// sha256 of 32 bytes, relative path without "..", chunk digests that fit the size; annotations are JSON objects;
// diagnostics have unique names and a time-out of at most kMaxDiagnosticTimeout. Used before signing, too.
// INVALID_ARGUMENT.
inline constexpr absl::Duration kMaxDiagnosticTimeout = absl::Seconds(300);
inline constexpr absl::Duration kDefaultDiagnosticTimeout = absl::Seconds(60);
inline constexpr int kMaxDiagnostics = 64;
absl::Status CheckRelease(const release::v1::Release& release);
absl::Status CheckAssignment(const release::v1::Assignment& assignment);
absl::Status CheckKeySet(const release::v1::KeySet& key_set);

// The envelope (JSON) of a document, signed by each key.
absl::StatusOr<std::string> SealDocument(const google::protobuf::MessageLite& document, std::string_view payload_type,
                                         const std::vector<PrivateKey>& keys);

// Of one run of the diagnostic.
absl::Duration TimeoutOf(const release::v1::Diagnostic& diagnostic);

// InfiniteFuture() when the document does not say.
absl::Time ExpiryOf(bool is_set, const google::protobuf::Timestamp& expires);

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_SIGNED_METADATA_H_
