#include "fleet/api/tokens.h"

#include <openssl/rand.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "fleet/api/routes.h"
#include "fleet/controller/audit.h"
#include "fleet/store/access_table.h"

namespace tandem::fleet {
namespace {

constexpr int kSecretBytes = 32;
constexpr size_t kMaxTokenNameBytes = 64;

absl::StatusOr<std::string> RandomSecret() {
  std::string bytes(kSecretBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), kSecretBytes) != 1) {
    return absl::InternalError("no random numbers for a token");
  }
  return absl::StrCat("tnd_", absl::WebSafeBase64Escape(bytes));
}

absl::Status CheckName(const std::string& name) {
  const bool good = !name.empty() && name.size() <= kMaxTokenNameBytes && std::ranges::all_of(name, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '@';
  });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError("name must be 1 to 64 of a-z A-Z 0-9 - _ . @; it stands in the audit log");
}

}  // namespace

std::string HashOfSecret(std::string_view secret) { return HexEncode(Sha256(secret)); }

absl::StatusOr<MadeToken> MakeToken(StoreTransaction& tx, const std::string& name, v1::Role role,
                                    absl::Duration lifetime, const std::string& actor, int64_t now) {
  RETURN_IF_ERROR(CheckName(name));
  if (role != v1::VIEWER && role != v1::OPERATOR && role != v1::RELEASE_MANAGER) {
    return absl::InvalidArgumentError("role must be VIEWER, OPERATOR or RELEASE_MANAGER");
  }
  if (lifetime < kMinTokenLifetime || lifetime > kMaxTokenLifetime) {
    return absl::InvalidArgumentError(
        absl::StrCat("lifetime must be from one minute to 400 days, not ", absl::ToInt64Seconds(lifetime), " s"));
  }
  MadeToken made;
  ASSIGN_OR_RETURN(made.secret, RandomSecret());
  made.row = {.name = name,
              .role = role,
              .hash = HashOfSecret(made.secret),
              .created_at = now,
              .expires_at = now + absl::ToInt64Seconds(lifetime)};
  ASSIGN_OR_RETURN(made.row.number, TokenTable(tx).Add(made.row));
  RETURN_IF_ERROR(Audit(tx, {.at = now,
                             .actor = actor,
                             .event = "token.created",
                             .severity = 2,
                             .object = absl::StrCat("token/", made.row.number),
                             .new_value = AuditJson({{"name", name},
                                                     {"role", std::string(RoleName(role))},
                                                     {"expires_at", absl::StrCat(made.row.expires_at)}})}));
  return made;
}

}  // namespace tandem::fleet
