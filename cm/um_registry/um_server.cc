#include "cm/um_registry/um_server.h"

#include <sys/stat.h>

#include <deque>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/grpc/credentials.h"
#include "common/net/grpc_status.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "updatemanager/v2/updatemanager.grpc.pb.h"

namespace tandem::cm {

namespace umv2 = updatemanager::v2;

namespace {

// A UM's statuses are small; whatever is larger is no UM.
constexpr int kMaxStatusBytes = 1 << 20;

// One RegisterUM stream. gRPC calls it on its own threads; the registry keeps it by shared_ptr.
class StreamReactor : public grpc::ServerBidiReactor<umv2::UpdateStatus, umv2::CMMessages>, public UmStream {
 public:
  StreamReactor(EventLoop& loop, UmRegistry& registry, UmPeer peer)
      : loop_(loop), registry_(registry), peer_(std::move(peer)) {}

  void Begin(std::shared_ptr<StreamReactor> self) {
    weak_ = self;
    self_ = std::move(self);
    StartRead(&incoming_);
  }

  void Send(const umv2::CMMessages& message) override {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    queue_.push_back(message);
    if (queue_.size() == 1) StartWrite(&queue_.front());
  }

  void Close(const absl::Status& status) override {
    std::lock_guard lock(mutex_);
    if (std::exchange(finished_, true)) return;
    Finish(ToGrpc(status));
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Close(absl::OkStatus());
    loop_.Post([self = self_, status = incoming_] { self->Report(status); });
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    if (!ok || finished_) return;
    queue_.pop_front();
    if (!queue_.empty()) StartWrite(&queue_.front());
  }

  void OnCancel() override { Close(absl::CancelledError("the stream was cancelled")); }

  void OnDone() override {
    loop_.Post([self = std::move(self_)] { self->registry_.Closed(self); });
  }

 private:
  // On the event thread.
  void Report(const umv2::UpdateStatus& status) {
    if (registered_) return registry_.Status(weak_.lock(), status);
    const absl::Status admitted = registry_.Register(weak_.lock(), peer_, status);
    if (!admitted.ok()) return Close(admitted);
    registered_ = true;
  }

  EventLoop& loop_;
  UmRegistry& registry_;
  const UmPeer peer_;
  // Until gRPC is done with the stream.
  std::shared_ptr<StreamReactor> self_;
  std::weak_ptr<StreamReactor> weak_;
  umv2::UpdateStatus incoming_;
  // Touched on the event thread only.
  bool registered_ = false;
  std::mutex mutex_;
  std::deque<umv2::CMMessages> queue_;
  bool finished_ = false;
};

class RegisterService : public umv2::UMService::CallbackService {
 public:
  RegisterService(EventLoop& loop, UmRegistry& registry) : loop_(loop), registry_(registry) {}

  grpc::ServerBidiReactor<umv2::UpdateStatus, umv2::CMMessages>* RegisterUM(
      grpc::CallbackServerContext* context) override {
    const std::string address = context->peer();
    auto reactor = std::make_shared<StreamReactor>(loop_, registry_,
                                                   UmPeer{.local = absl::StartsWith(address, "unix:"),
                                                          .names = PeerNames(*context->auth_context()),
                                                          .address = address});
    reactor->Begin(reactor);
    return reactor.get();
  }

 private:
  EventLoop& loop_;
  UmRegistry& registry_;
};

}  // namespace

struct UmServer::Impl {
  std::unique_ptr<RegisterService> service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

UmServer::UmServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

UmServer::~UmServer() { impl_->server->Shutdown(std::chrono::system_clock::now()); }

int UmServer::port() const { return impl_->port; }

absl::StatusOr<std::unique_ptr<UmServer>> UmServer::Start(EventLoop& loop, UmRegistry& registry,
                                                          const config::v1::UmServer& config) {
  auto impl = std::make_unique<Impl>();
  impl->service = std::make_unique<RegisterService>(loop, registry);
  grpc::ServerBuilder builder;
  if (!config.unix_socket().empty()) {
    RETURN_IF_ERROR(FileSystem::Real().MakeSharedFolders(ParentFolder(config.unix_socket())));
    builder.AddListeningPort(absl::StrCat("unix:", config.unix_socket()), grpc::InsecureServerCredentials());
  }
  if (!config.listen().empty()) {
    if (!config.has_tls()) {
      return absl::InvalidArgumentError(
          "um_server.listen needs um_server.tls: UMs of other computers prove who they are");
    }
    ASSIGN_OR_RETURN(const auto credentials, Annotate(MakeServerCredentials(config.tls()), "um_server"));
    builder.AddListeningPort(config.listen(), credentials, &impl->port);
  }
  const absl::Duration keepalive = DurationOr(config.has_keepalive(), config.keepalive(), absl::Seconds(10));
  const int keepalive_ms = static_cast<int>(absl::ToInt64Milliseconds(keepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_ms / 2);
  // UMs are silent between updates; gRPC would stop asking after two pings without data.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxStatusBytes);
  builder.RegisterService(impl->service.get());
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || (!config.listen().empty() && impl->port == 0)) {
    return absl::UnavailableError(absl::StrCat("cannot listen for UMs on ", config.unix_socket(),
                                               config.listen().empty() ? "" : " and ", config.listen(),
                                               "; is another CM running, or the port taken?"));
  }
  if (!config.unix_socket().empty()) {
    if (chmod(config.unix_socket().c_str(), 0660) != 0) return ErrnoStatus(errno, config.unix_socket());
  }
  return std::unique_ptr<UmServer>(new UmServer(std::move(impl)));
}

}  // namespace tandem::cm
