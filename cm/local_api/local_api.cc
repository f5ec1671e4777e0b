#include "cm/local_api/local_api.h"

#include <sys/stat.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/local_api/loop_call.h"
#include "common/net/grpc_status.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "tandem/local/v1/local.grpc.pb.h"

namespace tandem::cm {
namespace {

using local::v1::CommandRequest;
using local::v1::CommandResponse;
using local::v1::UnitStatus;

// A call that the event thread does not get to.
constexpr auto kCallTimeout = std::chrono::seconds(10);
// A watcher is told of changes at most this often.
constexpr auto kWatchInterval = std::chrono::milliseconds(100);

// Counts changes, so that any number of watchers can wait for the next one.
class ChangeCounter {
 public:
  void Count() {
    std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  void End() {
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  bool ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }
  // Waits for a change after `seen`, a second at most; returns the count now. 0: ended.
  uint64_t WaitAfter(uint64_t seen) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(1), [&] { return ended_ || count_ > seen; });
    return ended_ ? 0 : count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t count_ = 1;
  bool ended_ = false;
};

class Service : public local::v1::LocalService::Service {
 public:
  Service(EventLoop& loop, Coordinator& coordinator, History& history)
      : loop_(loop), coordinator_(coordinator), history_(history) {}

  ChangeCounter& changes() { return changes_; }

  grpc::Status GetStatus(grpc::ServerContext*, const local::v1::GetStatusRequest*, UnitStatus* response) override {
    return Answer(response, [this] { return absl::StatusOr<UnitStatus>(coordinator_.Status()); });
  }

  grpc::Status WatchStatus(grpc::ServerContext* context, const local::v1::GetStatusRequest*,
                           grpc::ServerWriter<UnitStatus>* writer) override {
    uint64_t seen = 0;
    while (!context->IsCancelled()) {
      const uint64_t now = changes_.WaitAfter(seen);
      if (now == 0) return {grpc::StatusCode::UNAVAILABLE, "CM ends"};
      // Without a change the elapsed time is still worth showing.
      seen = now;
      UnitStatus status;
      if (const grpc::Status got = GetStatus(nullptr, nullptr, &status); !got.ok()) return got;
      if (!writer->Write(status)) break;
      std::this_thread::sleep_for(kWatchInterval);
    }
    return grpc::Status::OK;
  }

  grpc::Status ListHistory(grpc::ServerContext*, const local::v1::ListHistoryRequest* request,
                           local::v1::ListHistoryResponse* response) override {
    return Answer(response, [this, limit = request->limit()]() -> absl::StatusOr<local::v1::ListHistoryResponse> {
      ASSIGN_OR_RETURN(const auto updates, history_.List(limit == 0 ? 20 : limit));
      local::v1::ListHistoryResponse list;
      for (const auto& update : updates) *list.add_updates() = update;
      return list;
    });
  }

  grpc::Status GetUpdate(grpc::ServerContext*, const local::v1::GetUpdateRequest* request,
                         local::v1::UpdateDetail* response) override {
    return Answer(response, [this, id = request->update_id()] { return history_.Get(id); });
  }

  grpc::Status ApplyBundle(grpc::ServerContext*, const local::v1::ApplyBundleRequest* request,
                           CommandResponse* response) override {
    // Read on this thread: a medium that does not answer must not hold up the event loop.
    absl::StatusOr<Bundle> bundle = OpenBundle(request->path());
    if (!bundle.ok()) return ToGrpc(bundle.status());
    return Command(response, [this, path = request->path(), bundle = *std::move(bundle)] {
      return coordinator_.ApplyBundle(path, bundle);
    });
  }
  grpc::Status Approve(grpc::ServerContext*, const CommandRequest* request, CommandResponse* response) override {
    return Command(response, [this, why = request->reason()] { return coordinator_.orders().Approve(why); });
  }
  grpc::Status Abort(grpc::ServerContext*, const CommandRequest* request, CommandResponse* response) override {
    return Command(response, [this, why = request->reason()] { return coordinator_.orders().Abort(why); });
  }
  grpc::Status Pause(grpc::ServerContext*, const CommandRequest* request, CommandResponse* response) override {
    return Command(response, [this, why = request->reason()] { return coordinator_.orders().Pause(why); });
  }
  grpc::Status Resume(grpc::ServerContext*, const CommandRequest* request, CommandResponse* response) override {
    return Command(response, [this, why = request->reason()] { return coordinator_.orders().Resume(why); });
  }
  grpc::Status LeaveSafeMode(grpc::ServerContext*, const CommandRequest* request, CommandResponse* response) override {
    return Command(response, [this, why = request->reason()] { return coordinator_.orders().LeaveSafeMode(why); });
  }

 private:
  template <typename Call>
  auto OnLoop(Call call) -> decltype(call()) {
    return CallOnLoop(loop_, std::move(call), kCallTimeout, [this] { return changes_.ended(); });
  }

  template <typename Response, typename Call>
  grpc::Status Answer(Response* response, Call call) {
    absl::StatusOr<Response> result = OnLoop(std::move(call));
    if (!result.ok()) return ToGrpc(result.status());
    *response = *std::move(result);
    return grpc::Status::OK;
  }

  template <typename Call>
  grpc::Status Command(CommandResponse* response, Call call) {
    absl::StatusOr<std::string> result = OnLoop(std::move(call));
    if (!result.ok()) return ToGrpc(result.status());
    response->set_message(*std::move(result));
    return grpc::Status::OK;
  }

  EventLoop& loop_;
  Coordinator& coordinator_;
  History& history_;
  ChangeCounter changes_;
};

}  // namespace

struct LocalApi::Impl {
  std::unique_ptr<Service> service;
  std::unique_ptr<grpc::Server> server;
};

LocalApi::LocalApi(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LocalApi::~LocalApi() {
  impl_->service->changes().End();
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

absl::StatusOr<std::unique_ptr<LocalApi>> LocalApi::Start(EventLoop& loop, Coordinator& coordinator, History& history,
                                                          const std::string& unix_socket) {
  RETURN_IF_ERROR(FileSystem::Real().MakeSharedFolders(ParentFolder(unix_socket)));
  auto impl = std::make_unique<Impl>();
  impl->service = std::make_unique<Service>(loop, coordinator, history);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("unix:", unix_socket), grpc::InsecureServerCredentials());
  builder.RegisterService(impl->service.get());
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr) return absl::UnavailableError(absl::StrCat("cannot listen on ", unix_socket));
  if (chmod(unix_socket.c_str(), 0660) != 0) return ErrnoStatus(errno, unix_socket);
  Service* const service = impl->service.get();
  coordinator.SetChangeListener([service] { service->changes().Count(); });
  return std::unique_ptr<LocalApi>(new LocalApi(std::move(impl)));
}

}  // namespace tandem::cm
