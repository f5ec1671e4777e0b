// What an assignment may say beside the releases it names. The online key signs it, and whoever has that key or the
// controller can have it signed: so nothing in it runs on a unit, or opens a path or a connection of its choosing but
// the mirrors of signed bytes. What does more stands in the unit's configuration or in a signed release, where an
// assignment may name it.
#ifndef TANDEM_COMMON_CRYPTO_ASSIGNED_TERMS_H_
#define TANDEM_COMMON_CRYPTO_ASSIGNED_TERMS_H_

#include <google/protobuf/repeated_ptr_field.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "tandem/release/v1/probe.pb.h"

namespace tandem {

inline constexpr int kMaxAssignedConditions = 64;
inline constexpr int kMaxBaseUrls = 64;
inline constexpr size_t kMaxBaseUrlBytes = 8192;

// INVALID_ARGUMENT with the name of the first of `preconditions` whose kind an assignment may not carry, or of
// `conditions`, the names, that is empty, too long or there twice.
absl::Status CheckAssignedConditions(
    const google::protobuf::RepeatedPtrField<tandem::release::v1::Probe>& preconditions,
    const google::protobuf::RepeatedPtrField<std::string>& conditions);

// INVALID_ARGUMENT with the first that is no http or https URL of printable ASCII with a host.
absl::Status CheckBaseUrls(const google::protobuf::RepeatedPtrField<std::string>& urls);

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_ASSIGNED_TERMS_H_
