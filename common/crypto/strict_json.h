// JSON from outside: bounded depth, no member twice, no exceptions.
#ifndef TANDEM_COMMON_CRYPTO_STRICT_JSON_H_
#define TANDEM_COMMON_CRYPTO_STRICT_JSON_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem {

// Objects and lists in one another.
inline constexpr size_t kMaxJsonDepth = 64;

// INVALID_ARGUMENT with the position when `text` is not JSON, nests deeper than kMaxJsonDepth, or names a member twice
// (two readers could take different ones). The size is the caller's to limit.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text);

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_STRICT_JSON_H_
