// The rpcs as the servers run them: who calls, may they, is the request sound, then the operation. Each server has one
// way through this for all methods, so that none is answered without a check.
#ifndef TANDEM_FLEET_API_METHODS_H_
#define TANDEM_FLEET_API_METHODS_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/api/authenticator.h"
#include "fleet/api/operations.h"
#include "fleet/api/request_check.h"
#include "fleet/api/routes.h"
#include "google/protobuf/message.h"

namespace tandem::fleet {

template <typename Request, typename Response>
using Operation = absl::StatusOr<Response> (Operations::*)(const Caller&, const Request&);

// For a caller that is known: the rest of the way.
template <typename Request, typename Response>
absl::StatusOr<Response> RunMethod(Operations& operations, const Caller& caller, const Route& route,
                                   Operation<Request, Response> operation, const Request& request) {
  if (absl::Status status = Authorize(caller, route); !status.ok()) return status;
  if (absl::Status status = CheckRequest(request); !status.ok()) return status;
  absl::StatusOr<Response> response = (operations.*operation)(caller, request);
  // The store gave up after many tries: nothing was done.
  if (absl::IsCancelled(response.status())) return absl::UnavailableError(response.status().message());
  return response;
}

// The same for a message whose type is known at run time only.
struct Method {
  const Route* route = nullptr;
  std::function<std::unique_ptr<google::protobuf::Message>()> make_request;
  std::function<absl::StatusOr<std::unique_ptr<google::protobuf::Message>>(Operations& operations, const Caller& caller,
                                                                           const google::protobuf::Message& request)>
      run;
};

// By the name of the rpc; null: there is no such rpc.
const Method* FindMethod(std::string_view name);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_METHODS_H_
