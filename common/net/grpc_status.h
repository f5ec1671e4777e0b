// What gRPC says for an absl::Status: the codes are the same.
#ifndef TANDEM_COMMON_NET_GRPC_STATUS_H_
#define TANDEM_COMMON_NET_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace tandem {

inline grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_GRPC_STATUS_H_
