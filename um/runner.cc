#include "um/runner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/process/shutdown.h"
#include "common/status/status.h"
#include "common/storage/folder_lock.h"
#include "um/cm_stream.h"

namespace tandem::um {
namespace {

// One plugin with everything that runs it. Members end in reverse order: the stream first.
struct Running {
  ManagedPlugin managed;
  std::unique_ptr<FolderLock> lock;
  std::unique_ptr<UpdateManager> manager;
  std::unique_ptr<CmStream> stream;
};

absl::StatusOr<std::unique_ptr<Running>> StartOne(EventLoop& loop, const RunnerOptions& options,
                                                  ManagedPlugin managed) {
  auto running = std::make_unique<Running>();
  running->managed = std::move(managed);
  ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Take(running->managed.options.state_dir));
  running->lock = std::make_unique<FolderLock>(std::move(lock));
  running->manager = std::make_unique<UpdateManager>(
      loop, FileSystem::Real(), *running->managed.plugin, running->managed.options,
      [trust = running->managed.trust](const updatemanager::v2::PrepareUpdate& command) {
        return ReadPrepare(command, trust, Clock::Real());
      });
  RETURN_IF_ERROR(running->manager->Recover());
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, OpenChannelToCm(options.cm, options.tls));
  UpdateManager* const manager = running->manager.get();
  running->stream = std::make_unique<CmStream>(
      loop, std::move(channel), running->managed.options.node_id,
      CmStream::Callbacks{.connected = [manager](CmStream::Send send) { manager->Connected(std::move(send)); },
                          .message = [manager](const updatemanager::v2::CMMessages& m) { manager->Handle(m); },
                          .disconnected = [manager] { manager->Disconnected(); }});
  running->stream->Start();
  return running;
}

}  // namespace

absl::Status RunUpdateManagers(const RunnerOptions& options, std::vector<ManagedPlugin> plugins) {
  EventLoop loop(Clock::Real());
  std::vector<std::unique_ptr<Running>> all;
  for (ManagedPlugin& managed : plugins) {
    const std::string node_id = managed.options.node_id;
    absl::StatusOr<std::unique_ptr<Running>> running = StartOne(loop, options, std::move(managed));
    if (!running.ok()) return Annotate(running.status(), absl::StrCat("UM ", node_id));
    all.push_back(*std::move(running));
  }
  ShutdownSignals signals([&loop] { loop.Stop(); });
  loop.Run();
  LogInfo("ends", {{"ums", absl::StrCat(all.size())}});
  return absl::OkStatus();
}

}  // namespace tandem::um
