// The signed documents that make a desired state, as one JSON object:
//
//   {"assignment": <DSSE object>, "releases": [<DSSE objects>], "release_list": <DSSE object>, "key_sets": [<DSSE
//   objects>]}
//
// The same object is the payload of topic `desired`, the file `desired` of an offline bundle, and (under the key
// "tandem") in the annotations that a UM gets.
#ifndef TANDEM_COMMON_CRYPTO_DESIRED_DOCUMENTS_H_
#define TANDEM_COMMON_CRYPTO_DESIRED_DOCUMENTS_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

// DSSE envelopes (JSON). Nothing in here was verified.
struct DesiredEnvelopes {
  std::string assignment;
  std::vector<std::string> releases;
  std::string release_list;
  std::vector<std::string> key_sets;
};

// Largest JSON text that is parsed.
inline constexpr size_t kMaxDesiredBytes = 32 << 20;

// INVALID_ARGUMENT with what is wrong where. Unknown members are ignored; release_list and key_sets may be missing.
absl::StatusOr<DesiredEnvelopes> ParseDesired(std::string_view json);
// The same of what is parsed already.
absl::StatusOr<DesiredEnvelopes> DesiredFromJson(const nlohmann::json& object);

// INVALID_ARGUMENT when an envelope is not JSON.
absl::StatusOr<std::string> SerializeDesired(const DesiredEnvelopes& desired);
absl::StatusOr<nlohmann::json> DesiredToJson(const DesiredEnvelopes& desired);

// {"key_sets": [...]}: the payload of topic {ns}/keysets.
absl::StatusOr<std::vector<std::string>> ParseKeySets(std::string_view json);
absl::StatusOr<std::string> SerializeKeySets(const std::vector<std::string>& key_sets);

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_DESIRED_DOCUMENTS_H_
