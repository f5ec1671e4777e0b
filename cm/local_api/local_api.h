// The local API (tandem.local.v1) on a unix socket: for tandemctl and an integrator's own programs.
//
// Whoever may open the socket may operate the unit: it is made with mode 0660.
#ifndef TANDEM_CM_LOCAL_API_LOCAL_API_H_
#define TANDEM_CM_LOCAL_API_LOCAL_API_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cm/update/coordinator.h"
#include "cm/update/records/history.h"
#include "common/time/event_loop.h"

namespace tandem::cm {

// gRPC runs on threads of its own; each call is carried out on the event loop.
class LocalApi {
 public:
  // All must outlive the server; takes the coordinator's change listener. UNAVAILABLE when the socket cannot be made.
  static absl::StatusOr<std::unique_ptr<LocalApi>> Start(EventLoop& loop, Coordinator& coordinator, History& history,
                                                         const std::string& unix_socket);
  // Ends all calls. The event loop must still run, or have ended for good.
  ~LocalApi();

 private:
  struct Impl;
  explicit LocalApi(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_LOCAL_API_LOCAL_API_H_
