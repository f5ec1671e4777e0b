// The stream to CM: opened again with back-off whenever it ends, until Stop().
#ifndef TANDEM_UM_CM_STREAM_H_
#define TANDEM_UM_CM_STREAM_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/backoff.h"
#include "common/time/event_loop.h"
#include "grpcpp/channel.h"
#include "tandem/config/v1/tls.pb.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem::um {

// `address`: unix:/path, or host:port with `tls`. INVALID_ARGUMENT when the TLS files cannot be used.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannelToCm(const std::string& address, const config::v1::Tls& tls);

// Used on the event thread; the callbacks run there, too.
class CmStream {
 public:
  using Send = std::function<void(const updatemanager::v2::UpdateStatus& status)>;
  struct Callbacks {
    // A new stream: `send` works until `disconnected`. A status is a full snapshot, so one that waits to be written is
    // replaced by a newer one.
    std::function<void(Send send)> connected;
    std::function<void(const updatemanager::v2::CMMessages& message)> message;
    std::function<void()> disconnected;
  };

  CmStream(EventLoop& loop, std::shared_ptr<grpc::Channel> channel, std::string node_id, Callbacks callbacks);
  ~CmStream();

  CmStream(const CmStream&) = delete;
  CmStream& operator=(const CmStream&) = delete;

  void Start();
  // Ends the stream and waits for it: no callback comes after it, and the loop is no longer used.
  void Stop();

 private:
  class Reactor;
  struct Shared;

  void Open();
  void Ended(const std::string& error);

  EventLoop& loop_;
  std::shared_ptr<grpc::Channel> channel_;
  const std::string node_id_;
  const Callbacks callbacks_;
  Backoff backoff_;
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Reactor> reactor_;
  std::string last_error_;
};

}  // namespace tandem::um

#endif  // TANDEM_UM_CM_STREAM_H_
