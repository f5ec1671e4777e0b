// From an HTTP request to the message of an rpc, and back: pure, for hostile input.
#ifndef TANDEM_FLEET_API_HTTP_REQUEST_H_
#define TANDEM_FLEET_API_HTTP_REQUEST_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/api/routes.h"
#include "google/protobuf/message.h"

namespace tandem::fleet {

// A request that some route has.
struct RoutedRequest {
  const Route* route = nullptr;
  // Of the path and the query, decoded, by the name of the field.
  std::map<std::string, std::string> fields;
};

// `target` as it stands in the request line: path, "?", query; still percent-encoded. INVALID_ARGUMENT: not such a
// text, "." or ".." or nothing between slashes, or a field twice. NOT_FOUND: no route has it. UNIMPLEMENTED: another
// verb has.
absl::StatusOr<RoutedRequest> RouteRequest(std::string_view verb, std::string_view target);

// Path and query fields and the body together; proto3 JSON with the names of the .proto. INVALID_ARGUMENT: what is
// wrong where, such as a field that is not known, by its name.
absl::Status FillRequest(const RoutedRequest& routed, std::string_view body, google::protobuf::Message& request);

// {"error":{"code":"NOT_FOUND","message":"…"}}
std::string ErrorJson(const absl::Status& status);
int HttpStatusOf(absl::StatusCode code);

// One line of proto3 JSON; fields that are not set are there with their defaults.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_HTTP_REQUEST_H_
