#include "um/cm_stream.h"

#include <latch>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/grpc/credentials.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/client_callback.h"
#include "updatemanager/v2/updatemanager.grpc.pb.h"

namespace tandem::um {

namespace umv2 = updatemanager::v2;

namespace {

// A PrepareUpdate carries the signed documents once per component; gRPC's own limit of 4 MiB is soon reached.
constexpr int kMaxCommandBytes = 64 << 20;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannelToCm(const std::string& address, const config::v1::Tls& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  // CM is silent between updates; gRPC would stop asking after two pings without data.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // The stream has a back-off of its own; the channel's must not add to it.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // The time that one attempt gets, in spite of its name: a loaded machine or a slow link needs some.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetMaxReceiveMessageSize(kMaxCommandBytes);
  // Two UMs of one process are two peers.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (absl::StartsWith(address, "unix:")) {
    credentials = grpc::InsecureChannelCredentials();
  } else {
    ASSIGN_OR_RETURN(credentials, Annotate(MakeChannelCredentials(tls), absl::StrCat("cm address ", address)));
  }
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

struct CmStream::Shared {
  // Read and written on the event thread.
  CmStream* stream;
};

// One stream; lives until gRPC is done with it.
class CmStream::Reactor : public grpc::ClientBidiReactor<umv2::UpdateStatus, umv2::CMMessages> {
 public:
  Reactor(EventLoop& loop, std::weak_ptr<Shared> shared, const std::shared_ptr<grpc::Channel>& channel)
      : loop_(loop), shared_(std::move(shared)), stub_(umv2::UMService::NewStub(channel)) {}

  void Begin(std::shared_ptr<Reactor> self) {
    self_ = std::move(self);
    stub_->async()->RegisterUM(&context_, this);
    StartRead(&incoming_);
    // Send() starts writes from another thread.
    AddHold();
    StartCall();
  }

  void Send(const umv2::UpdateStatus& status) {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    if (writing_) {
      waiting_ = status;
    } else {
      writing_ = true;
      outgoing_ = status;
      StartWrite(&outgoing_);
    }
  }

  // Returns when gRPC is done with it, so that nothing is posted any more.
  void Cancel() {
    context_.TryCancel();
    Release();
    done_.wait();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok || ended_ || !waiting_.has_value()) return;
    outgoing_ = *std::move(waiting_);
    waiting_.reset();
    writing_ = true;
    StartWrite(&outgoing_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Release();
    loop_.Post([shared = shared_, self = self_, message = incoming_] {
      const std::shared_ptr<Shared> alive = shared.lock();
      if (alive == nullptr || alive->stream->reactor_ != self) return;
      alive->stream->backoff_.Reset();
      alive->stream->last_error_.clear();
      alive->stream->callbacks_.message(message);
    });
    StartRead(&incoming_);
  }

  void OnDone(const grpc::Status& status) override {
    // Cancel() may return, and let go of it, before the latch does.
    const std::shared_ptr<Reactor> self = std::move(self_);
    loop_.Post([shared = shared_, self, error = status.error_message()] {
      const std::shared_ptr<Shared> alive = shared.lock();
      if (alive != nullptr && alive->stream->reactor_ == self) alive->stream->Ended(error);
    });
    done_.count_down();
  }

 private:
  // No more writes; gRPC may finish.
  void Release() {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
    }
    RemoveHold();
  }

  EventLoop& loop_;
  const std::weak_ptr<Shared> shared_;
  std::unique_ptr<umv2::UMService::Stub> stub_;
  std::shared_ptr<Reactor> self_;
  grpc::ClientContext context_;
  umv2::CMMessages incoming_;
  std::mutex mutex_;
  umv2::UpdateStatus outgoing_;
  std::optional<umv2::UpdateStatus> waiting_;
  bool writing_ = false;
  bool ended_ = false;
  std::latch done_{1};
};

CmStream::CmStream(EventLoop& loop, std::shared_ptr<grpc::Channel> channel, std::string node_id, Callbacks callbacks)
    : loop_(loop),
      channel_(std::move(channel)),
      node_id_(std::move(node_id)),
      callbacks_(std::move(callbacks)),
      backoff_({.first = absl::Milliseconds(250), .max = absl::Seconds(10)}),
      shared_(std::make_shared<Shared>(Shared{this})) {}

CmStream::~CmStream() { Stop(); }

void CmStream::Start() { Open(); }

void CmStream::Stop() {
  shared_.reset();
  if (reactor_ != nullptr) std::exchange(reactor_, nullptr)->Cancel();
}

void CmStream::Open() {
  reactor_ = std::make_shared<Reactor>(loop_, shared_, channel_);
  reactor_->Begin(reactor_);
  callbacks_.connected([reactor = reactor_](const umv2::UpdateStatus& status) { reactor->Send(status); });
}

void CmStream::Ended(const std::string& error) {
  reactor_.reset();
  callbacks_.disconnected();
  // The same reason again and again is one line.
  if (error != last_error_) {
    LogWarning("no stream to CM; trying again", {{"um", node_id_}, {"error", error.empty() ? "CM ended it" : error}});
    last_error_ = error;
  }
  loop_.PostAfter(backoff_.Next(), [this, alive = std::weak_ptr<Shared>(shared_)] {
    if (!alive.expired()) Open();
  });
}

}  // namespace tandem::um
