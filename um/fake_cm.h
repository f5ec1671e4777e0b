// For tests: takes an UpdateManager with its plugin through one update as CM would, however often its process ends.
//
//   FakeCm cm(FakeCm::Goal::kCommit, artifacts);
//   while (!cm.done()) {
//     ASSERT_TRUE(cm.Step(fs, plugin, [&] { return fs.power_lost(); }).ok());
//     if (!fs.power_lost()) continue;
//     cm.EndProcess();
//     fs.Reboot();
//   }
#ifndef TANDEM_UM_FAKE_CM_H_
#define TANDEM_UM_FAKE_CM_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "common/time/event_loop.h"
#include "um/plugin.h"
#include "um/update_manager.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem::um {

class FakeCm {
 public:
  // Commits when the UM is UPDATED, and seals; or aborts then.
  enum class Goal { kCommit, kAbort };

  FakeCm(Goal goal, const std::vector<Artifact>& artifacts);

  // Starts the UM's process if there is none, or else sends what its status asks for; then waits until the UM has done
  // it or `interrupted`. The record is /state/um.rec. An error: the UM is in a state that such an update never leads
  // to.
  absl::Status Step(FileSystem& fs, Plugin& plugin, const std::function<bool()>& interrupted);

  // Before the plugin, or what the file system holds, is replaced.
  void EndProcess() { manager_.reset(); }

  // The UM is IDLE on the versions that the goal asks for, with nothing left to seal.
  bool done() const { return done_; }

 private:
  absl::Status SendNext();
  bool RunsTarget(const updatemanager::v2::UpdateStatus& status) const;

  const Goal goal_;
  updatemanager::v2::PrepareUpdate prepare_;
  // The decision was made: COMMIT or ABORT.
  bool decided_ = false;
  bool done_ = false;
  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<UpdateManager> manager_;
};

}  // namespace tandem::um

#endif  // TANDEM_UM_FAKE_CM_H_
