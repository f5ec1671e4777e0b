#include "um/fake_cm.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "um/prepare_request.h"

namespace tandem::um {

namespace umv2 = updatemanager::v2;

FakeCm::FakeCm(Goal goal, const std::vector<Artifact>& artifacts) : goal_(goal) {
  for (const Artifact& artifact : artifacts) {
    umv2::PrepareComponentInfo& info = *prepare_.add_components();
    info.set_component_id(artifact.component_id);
    info.set_component_type(artifact.component_type);
    info.set_version(artifact.version);
    info.set_url(artifact.urls.at(0));
    info.set_sha256(artifact.sha256);
    info.set_size(artifact.size);
    info.set_security_version(artifact.security_version);
  }
}

absl::Status FakeCm::Step(FileSystem& fs, Plugin& plugin, const std::function<bool()>& interrupted) {
  if (manager_ == nullptr) {
    // The old process's timers went with it.
    loop_ = std::make_unique<EventLoop>(clock_);
    manager_ = std::make_unique<UpdateManager>(
        *loop_, fs, plugin, UpdateManagerOptions{.node_id = "um", .state_dir = "/state"},
        [this](const umv2::PrepareUpdate& command) { return ReadPrepare(command, PrepareTrust(), clock_); });
    if (const absl::Status recovered = manager_->Recover(); !recovered.ok() && !interrupted()) return recovered;
  } else {
    RETURN_IF_ERROR(SendNext());
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!interrupted() && IsWorking(manager_->step())) {
    loop_->RunReady();
    std::this_thread::yield();
    if (std::chrono::steady_clock::now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat("the UM is still ", std::string(Name(manager_->step()))));
    }
  }
  return absl::OkStatus();
}

absl::Status FakeCm::SendNext() {
  const umv2::UpdateStatus status = manager_->Status();
  const umv2::UpdateState state = status.update_state();
  if (state == umv2::UPDATED) decided_ = true;
  umv2::CMMessages message;
  if (!decided_) {
    if (state == umv2::FAILED) return absl::InternalError(absl::StrCat("FAILED: ", status.error().message()));
    if (state == umv2::IDLE) *message.mutable_prepare_update() = prepare_;
    if (state == umv2::PREPARED) message.mutable_start_update();
  } else if (goal_ == Goal::kAbort) {
    if (state == umv2::IDLE) {
      done_ = true;
      return RunsTarget(status) ? absl::InternalError("still on the new version after Revert") : absl::OkStatus();
    }
    message.mutable_revert_update();
  } else {
    if (state == umv2::FAILED) {
      return absl::InternalError(absl::StrCat("FAILED after COMMIT: ", status.error().message()));
    }
    if (state == umv2::PREPARED) message.mutable_start_update();
    if (state == umv2::UPDATED) message.mutable_apply_update();
    if (state == umv2::IDLE) {
      if (!RunsTarget(status)) return absl::InternalError("IDLE on the old version after COMMIT");
      done_ = !status.unsealed();
      if (done_) return absl::OkStatus();
      message.mutable_seal_update();
    }
  }
  manager_->Handle(message);
  return absl::OkStatus();
}

bool FakeCm::RunsTarget(const umv2::UpdateStatus& status) const {
  return std::ranges::all_of(prepare_.components(), [&](const umv2::PrepareComponentInfo& wanted) {
    return std::ranges::any_of(status.components(), [&](const umv2::ComponentStatus& component) {
      return component.state() == umv2::INSTALLED && component.component_id() == wanted.component_id() &&
             component.version() == wanted.version();
    });
  });
}

}  // namespace tandem::um
