// What holds for the texts of every request, whatever it asks for: bounded, and without characters that could forge a
// line of a log or a table.
#ifndef TANDEM_FLEET_API_REQUEST_CHECK_H_
#define TANDEM_FLEET_API_REQUEST_CHECK_H_

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace tandem::fleet {

// Bytes of a text that is no document.
inline constexpr size_t kMaxTextBytes = 4096;
// Items of a list.
inline constexpr int kMaxItems = 1024;

// INVALID_ARGUMENT names the field, such as "spec.rings[2].name".
absl::Status CheckRequest(const google::protobuf::Message& request);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_REQUEST_CHECK_H_
