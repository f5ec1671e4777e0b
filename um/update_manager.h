// Runs one plugin by the table of um_state.h: record, worker thread, progress, answers to CM.
//
// The owner (runner.h) gives it commands and a way to send statuses; both on the event thread. Jobs run beside it, one
// at a time.
#ifndef TANDEM_UM_UPDATE_MANAGER_H_
#define TANDEM_UM_UPDATE_MANAGER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/durable_record.h"
#include "common/time/event_loop.h"
#include "common/time/workers.h"
#include "tandem/record/v1/record.pb.h"
#include "um/plugin.h"
#include "um/um_state.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem::um {

struct UpdateManagerOptions {
  std::string node_id;
  uint32_t priority = 0;
  std::string state_dir;
  // Progress is sent at most this often.
  absl::Duration progress_interval = absl::Milliseconds(250);
};

// Turns what CM sent into artifacts, and refuses what is not covered by the signed documents (prepare_request.h).
using PrepareReader =
    std::function<absl::StatusOr<std::vector<Artifact>>(const updatemanager::v2::PrepareUpdate& command)>;

class UpdateManager {
 public:
  // After a failed Inventory(): the first pause before it is asked for again, and the longest.
  static constexpr absl::Duration kFirstLookAgain = absl::Seconds(2);
  static constexpr absl::Duration kLastLookAgain = absl::Minutes(1);

  using SendStatus = std::function<void(const updatemanager::v2::UpdateStatus& status)>;

  // All references must outlive it. Everything is called on the loop's thread; `workers` run the plugin's long calls.
  UpdateManager(EventLoop& loop, FileSystem& fs, Plugin& plugin, UpdateManagerOptions options,
                PrepareReader read_prepare, Workers& workers = Workers::Threads());
  // Cancels the running job and waits for it.
  ~UpdateManager();

  UpdateManager(const UpdateManager&) = delete;
  UpdateManager& operator=(const UpdateManager&) = delete;

  // Loads the record and goes on where the process ended: call once, before anything else. A record that does not check
  // is kept aside; the UM then reports FAILED, so that CM sends Revert and nothing half-done stays.
  absl::Status Recover();

  // A stream to CM is open: the full status goes out at once, and every change after it.
  void Connected(SendStatus send);
  void Disconnected();

  // A command from CM. One that does not fit is answered with the current status; so is a Prepare while another one
  // runs, unless it names other sources for the same bytes.
  void Handle(const updatemanager::v2::CMMessages& message);

  updatemanager::v2::UpdateStatus Status();
  UmStep step() const { return step_; }

 private:
  class JobOperation;
  struct Progress {
    uint64_t done = 0;
    uint64_t total = 0;
  };

  void HandlePrepare(const updatemanager::v2::PrepareUpdate& command);
  // Looks the input up; makes the step durable; begins its job. False: it could not be made durable, and nothing
  // changed. What is no command is then taken again until it can be; CM repeats its commands by itself.
  bool Take(UmInput input, const std::string& error);
  // Writes nothing when the record says the same already.
  absl::Status Save();
  // The check could not be made for want of room, which says nothing of the new version.
  void CheckAgainLater(uint64_t generation, const std::string& error);
  void BeginJob(UmJob job);
  // After whatever is running.
  void StartWork(std::function<void()> work);
  void RunJob(UmJob job, const std::vector<Artifact>& artifacts, JobOperation& operation, uint64_t generation);
  void FinishJob(uint64_t generation, UmInput input, const std::string& error);
  void RefreshInventory();
  void LookAgainLater();
  void LookAgain();
  void TakeInventory(absl::StatusOr<std::vector<InstalledComponent>> inventory);
  void SendNow();
  void SendSoon();

  EventLoop& loop_;
  Plugin& plugin_;
  const UpdateManagerOptions options_;
  const PrepareReader read_prepare_;
  Workers& workers_;
  DurableRecord record_file_;
  record::v1::UmRecord record_;
  std::string last_saved_;
  UmStep step_ = UmStep::kIdle;
  std::vector<InstalledComponent> inventory_;
  // While it is not empty the inventory is asked for again, less and less often.
  std::string inventory_error_;
  bool look_again_pending_ = false;
  absl::Duration look_again_after_ = kFirstLookAgain;
  // Of the last step that could not be made durable.
  std::string unsaved_error_;
  // For the Prepare job that begins next, and of the one that began last.
  std::vector<Artifact> pending_artifacts_;
  std::vector<Artifact> preparing_;
  SendStatus send_;
  bool send_pending_ = false;

  std::unique_ptr<Worker> worker_;
  // Results of an older generation are ignored.
  uint64_t generation_ = 0;
  std::shared_ptr<JobOperation> operation_;
  // Guards what the worker reports in between.
  std::mutex progress_mutex_;
  std::map<std::string, Progress> progress_;
  std::string activity_;
  // Keeps tasks in the loop from touching a destroyed manager.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace tandem::um

#endif  // TANDEM_UM_UPDATE_MANAGER_H_
