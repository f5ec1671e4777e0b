// The RegisterUM service on a unix socket and, with mutual TLS, on TCP.
#ifndef TANDEM_CM_UM_REGISTRY_UM_SERVER_H_
#define TANDEM_CM_UM_REGISTRY_UM_SERVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "cm/um_registry/um_registry.h"
#include "common/time/event_loop.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

// gRPC runs on threads of its own; everything it learns is posted to the event loop, where the registry lives.
class UmServer {
 public:
  // `loop` and `registry` must outlive the server. INVALID_ARGUMENT: a TCP address without TLS. UNAVAILABLE: an address
  // cannot be listened on.
  static absl::StatusOr<std::unique_ptr<UmServer>> Start(EventLoop& loop, UmRegistry& registry,
                                                         const config::v1::UmServer& config);
  // Ends all streams.
  ~UmServer();

  // The TCP port in use, 0 without one.
  int port() const;

 private:
  struct Impl;
  explicit UmServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UM_REGISTRY_UM_SERVER_H_
