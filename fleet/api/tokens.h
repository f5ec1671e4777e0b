// Tokens: what people and programs prove with who they are. A token is 32 random bytes; the store has its hash only, so
// whoever reads the store cannot call the API.
#ifndef TANDEM_FLEET_API_TOKENS_H_
#define TANDEM_FLEET_API_TOKENS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {

inline constexpr absl::Duration kDefaultTokenLifetime = absl::Hours(24 * 90);
inline constexpr absl::Duration kMinTokenLifetime = absl::Minutes(1);
inline constexpr absl::Duration kMaxTokenLifetime = absl::Hours(24 * 400);

struct MadeToken {
  TokenRow row;
  // "tnd_…"; shown once and never stored.
  std::string secret;
};

// With its audit entry. INVALID_ARGUMENT: a name that is not 1 to 64 of a-z A-Z 0-9 - _ . @, no role, or a lifetime out
// of bounds. `actor` is who made it.
absl::StatusOr<MadeToken> MakeToken(StoreTransaction& tx, const std::string& name, v1::Role role,
                                    absl::Duration lifetime, const std::string& actor, int64_t now);

// What the store knows a secret by: SHA-256, hex. Looking it up takes the same time for every wrong secret.
std::string HashOfSecret(std::string_view secret);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_TOKENS_H_
