#include "um/update_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/text/clean_message.h"

namespace tandem::um {

namespace umv2 = updatemanager::v2;

namespace {

constexpr uint32_t kRecordFormat = 1;
// A plugin whose Reboot() came back is asked again after this long whether the new version runs.
constexpr absl::Duration kRebootRecheck = absl::Seconds(60);
constexpr absl::Duration kSaveRetry = absl::Seconds(2);

umv2::UpdateState ToWire(WireState state) {
  switch (state) {
    case WireState::kIdle:
      return umv2::IDLE;
    case WireState::kPrepared:
      return umv2::PREPARED;
    case WireState::kUpdated:
      return umv2::UPDATED;
    case WireState::kFailed:
      return umv2::FAILED;
  }
  return umv2::FAILED;
}

record::v1::UmTarget ToRecord(const Artifact& artifact) {
  record::v1::UmTarget target;
  target.set_component_id(artifact.component_id);
  target.set_component_type(artifact.component_type);
  target.set_version(artifact.version);
  target.set_sha256(artifact.sha256);
  target.set_size(artifact.size);
  return target;
}

// A signature covers a type, and perhaps no id: an image of one type must not reach a component of another.
absl::Status CheckOwned(const std::vector<Artifact>& artifacts, const std::vector<InstalledComponent>& inventory) {
  for (const Artifact& artifact : artifacts) {
    const bool owned = std::ranges::any_of(inventory, [&](const InstalledComponent& installed) {
      return artifact.component_type == installed.type &&
             (artifact.component_id.empty() || artifact.component_id == installed.id);
    });
    if (!owned) {
      return absl::InvalidArgumentError(absl::StrCat("this UM has no component ", artifact.component_id, " of type \"",
                                                     artifact.component_type, "\""));
    }
  }
  return absl::OkStatus();
}

// The same bytes for the same components, to be had from elsewhere.
bool OnlySourcesDiffer(const std::vector<Artifact>& artifacts, const std::vector<Artifact>& before) {
  const bool same_bytes = std::ranges::equal(artifacts, before, [](const Artifact& a, const Artifact& b) {
    return a.component_id == b.component_id && a.component_type == b.component_type && a.version == b.version &&
           a.sha256 == b.sha256 && a.size == b.size;
  });
  const bool same_sources = std::ranges::equal(artifacts, before, [](const Artifact& a, const Artifact& b) {
    return a.urls == b.urls && a.headers == b.headers;
  });
  return same_bytes && !same_sources;
}

// They ask for what the record says is prepared.
bool AreTargets(const std::vector<Artifact>& artifacts,
                const google::protobuf::RepeatedPtrField<record::v1::UmTarget>& targets) {
  return std::ranges::equal(artifacts, targets, [](const Artifact& a, const record::v1::UmTarget& b) {
    return a.component_id == b.component_id() && a.component_type == b.component_type() && a.version == b.version() &&
           a.sha256 == b.sha256() && a.size == b.size();
  });
}

// For people, where the plugin says nothing.
std::string ActivityOf(UmStep step) {
  switch (step) {
    case UmStep::kReverting:
      return "going back";
    case UmStep::kRebooting:
      return "rebooting";
    case UmStep::kChecking:
      return "checking the new version";
    default:
      return "";
  }
}

}  // namespace

// What the worker sees of a job; outlives the job when it is cancelled.
class UpdateManager::JobOperation : public Operation, public std::enable_shared_from_this<JobOperation> {
 public:
  explicit JobOperation(UpdateManager& manager) : manager_(manager) {}

  void ReportProgress(const std::string& component_id, uint64_t done, uint64_t total) override {
    {
      std::lock_guard lock(manager_.progress_mutex_);
      manager_.progress_[component_id] = {.done = done, .total = total};
    }
    Announce();
  }

  void ReportActivity(const std::string& text) override {
    {
      std::lock_guard lock(manager_.progress_mutex_);
      manager_.activity_ = text;
    }
    Announce();
  }

  bool Cancelled() const override { return cancelled_; }
  void Cancel() { cancelled_ = true; }

 private:
  // One pending announcement is enough.
  void Announce() {
    if (announced_.exchange(true)) return;
    manager_.loop_.Post([this, alive = std::weak_ptr<bool>(manager_.alive_), self = shared_from_this()] {
      if (alive.expired()) return;
      announced_ = false;
      manager_.SendSoon();
    });
  }

  UpdateManager& manager_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> announced_ = false;
};

UpdateManager::UpdateManager(EventLoop& loop, FileSystem& fs, Plugin& plugin, UpdateManagerOptions options,
                             PrepareReader read_prepare, Workers& workers)
    : loop_(loop),
      plugin_(plugin),
      options_(std::move(options)),
      read_prepare_(std::move(read_prepare)),
      workers_(workers),
      record_file_(fs, JoinPath(options_.state_dir, "um.rec")) {}

UpdateManager::~UpdateManager() {
  if (operation_ != nullptr) operation_->Cancel();
  // The worker reads alive_ until it ends.
  if (worker_ != nullptr) worker_->Join();
  alive_.reset();
}

absl::Status UpdateManager::Recover() {
  absl::StatusOr<std::string> bytes = record_file_.Read();
  // Only a damaged record leaves its previous copy behind: it was set aside, and then the power went.
  if (absl::IsNotFound(bytes.status()) && record_file_.ReadPrevious().ok()) {
    bytes = absl::DataLossError("it was set aside as damaged before");
  }
  if (bytes.ok()) {
    last_saved_ = *bytes;
    if (!record_.ParseFromString(*bytes)) bytes = absl::DataLossError("the record is not a UmRecord");
  }
  if (absl::IsNotFound(bytes.status())) {
    record_.set_format(kRecordFormat);
    step_ = UmStep::kIdle;
  } else if (absl::IsDataLoss(bytes.status())) {
    LogError("record damaged; asking for a revert",
             {{"um", options_.node_id}, {"error", ToPersonText(bytes.status())}});
    record_.Clear();
    record_.set_format(kRecordFormat);
    record_.set_error(CleanText(absl::StrCat("record damaged: ", bytes.status().message())));
    step_ = UmStep::kFailed;
    RETURN_IF_ERROR(Save());
  } else if (!bytes.ok()) {
    return Annotate(bytes.status(), absl::StrCat("UM ", options_.node_id));
  } else {
    const std::optional<UmStep> step = ParseUmStep(record_.step());
    if (!step.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("UM ", options_.node_id, ": ", record_file_.path(), " was written by a newer version (step \"",
                       record_.step(), "\"); run that version, or remove the file to give the update up"));
    }
    step_ = *step;
  }
  RefreshInventory();
  if (step_ != UmStep::kIdle)
    LogInfo("goes on after a restart", {{"um", options_.node_id}, {"step", std::string(Name(step_))}});
  Take(UmInput::kRestarted, record_.error());
  return absl::OkStatus();
}

void UpdateManager::Connected(SendStatus send) {
  send_ = std::move(send);
  SendNow();
}

void UpdateManager::Disconnected() { send_ = nullptr; }

void UpdateManager::Handle(const umv2::CMMessages& message) {
  switch (message.CMMessage_case()) {
    case umv2::CMMessages::kPrepareUpdate:
      return HandlePrepare(message.prepare_update());
    case umv2::CMMessages::kStartUpdate:
      Take(UmInput::kStartCommand, "");
      return;
    case umv2::CMMessages::kApplyUpdate:
      Take(UmInput::kApplyCommand, "");
      return;
    case umv2::CMMessages::kRevertUpdate:
      Take(UmInput::kRevertCommand, "");
      return;
    case umv2::CMMessages::kSealUpdate:
      // Sealed already: nothing to do, and the status says so.
      if (!record_.unsealed()) return SendNow();
      Take(UmInput::kSealCommand, "");
      return;
    case umv2::CMMessages::CMMESSAGE_NOT_SET:
      LogWarning("CM sent a command that this version does not know", {{"um", options_.node_id}});
      return SendNow();
  }
}

void UpdateManager::HandlePrepare(const umv2::PrepareUpdate& command) {
  if (!FindUmTransition(step_, UmInput::kPrepareCommand).has_value()) return SendNow();
  absl::StatusOr<std::vector<Artifact>> artifacts = read_prepare_(command);
  if (step_ == UmStep::kPreparing) {
    // After a restart of CM the old URLs may be dead. Anything else must wait until this is reverted.
    if (!artifacts.ok() || !OnlySourcesDiffer(*artifacts, preparing_)) return SendNow();
    pending_artifacts_ = *std::move(artifacts);
    Take(UmInput::kPrepareCommand, "");
    return;
  }
  // What it has is what it is asked for, or it cannot tell; another version is prepared anew.
  if (step_ == UmStep::kPrepared && (!artifacts.ok() || AreTargets(*artifacts, record_.targets()))) return SendNow();
  if (artifacts.ok()) {
    const absl::Status owned =
        inventory_error_.empty() ? CheckOwned(*artifacts, inventory_) : absl::FailedPreconditionError(inventory_error_);
    if (!owned.ok()) artifacts = owned;
  }
  const UmStep step_before = step_;
  const record::v1::UmRecord record_before = record_;
  // A Prepare that could not be written down leaves no trace: CM would take its targets for work under way.
  const auto take = [&](UmInput input, const std::string& error) {
    if (Take(input, error)) return;
    step_ = step_before;
    record_ = record_before;
    SendNow();
  };
  record_.clear_targets();
  record_.set_boot_switches(0);
  if (!artifacts.ok()) {
    LogError("update refused", {{"um", options_.node_id}, {"error", ToPersonText(artifacts.status())}});
    for (const auto& component : command.components()) {
      record::v1::UmTarget* target = record_.add_targets();
      target->set_component_id(component.component_id());
      target->set_component_type(component.component_type());
      target->set_version(component.version());
    }
    step_ = UmStep::kPreparing;
    return take(UmInput::kJobFailed, ToPersonText(artifacts.status()));
  }
  for (const Artifact& artifact : *artifacts) *record_.add_targets() = ToRecord(artifact);
  {
    std::lock_guard lock(progress_mutex_);
    progress_.clear();
  }
  pending_artifacts_ = *std::move(artifacts);
  take(UmInput::kPrepareCommand, "");
}

bool UpdateManager::Take(UmInput input, const std::string& error) {
  const std::optional<UmTransition> row = FindUmTransition(step_, input);
  if (!row.has_value()) {
    LogDebug("command does not fit",
             {{"um", options_.node_id}, {"step", std::string(Name(step_))}, {"input", std::string(Name(input))}});
    SendNow();
    return true;
  }
  const UmStep before = step_;
  const record::v1::UmRecord record_before = record_;
  step_ = row->to;
  record_.set_error(CleanText(error));
  if (row->job == UmJob::kReboot) record_.set_boot_switches(record_.boot_switches() + 1);
  if (step_ != before && row->job != UmJob::kReboot && row->job != UmJob::kCheck) record_.set_boot_switches(0);
  if (step_ == UmStep::kIdle) record_.clear_targets();
  if (input == UmInput::kJobDone && before == UmStep::kApplying) record_.set_unsealed(true);
  if (input == UmInput::kJobDone && before == UmStep::kSealing) record_.set_unsealed(false);
  // Written ahead: a job never begins before the step that explains it is on disk.
  if (const absl::Status saved = Save(); !saved.ok()) {
    LogError("cannot write the record; the step is not taken",
             {{"um", options_.node_id}, {"error", ToPersonText(saved)}});
    step_ = before;
    record_ = record_before;
    unsaved_error_ = absl::StrCat("cannot write the record: ", saved.message());
    SendNow();
    const bool is_command = input == UmInput::kPrepareCommand || input == UmInput::kStartCommand ||
                            input == UmInput::kApplyCommand || input == UmInput::kRevertCommand ||
                            input == UmInput::kSealCommand;
    if (!is_command) {
      loop_.PostAfter(kSaveRetry, [this, alive = std::weak_ptr<bool>(alive_), generation = generation_, input, error] {
        if (!alive.expired() && generation == generation_) Take(input, error);
      });
    }
    return false;
  }
  unsaved_error_.clear();
  if (step_ != before) {
    LogInfo("step", {{"um", options_.node_id},
                     {"from", std::string(Name(before))},
                     {"to", std::string(Name(step_))},
                     {"because", std::string(Name(input))},
                     {"error", error.empty() ? "-" : error}});
  }
  if (row->job != UmJob::kNone) {
    BeginJob(row->job);
  } else {
    std::lock_guard lock(progress_mutex_);
    activity_.clear();
  }
  SendNow();
  return true;
}

absl::Status UpdateManager::Save() {
  record_.set_step(std::string(Name(step_)));
  std::string bytes = record_.SerializeAsString();
  if (bytes == last_saved_) return absl::OkStatus();
  RETURN_IF_ERROR(record_file_.Write(bytes));
  last_saved_ = std::move(bytes);
  return absl::OkStatus();
}

void UpdateManager::CheckAgainLater(uint64_t generation, const std::string& error) {
  unsaved_error_ = error;
  SendNow();
  loop_.PostAfter(kSaveRetry, [this, alive = std::weak_ptr<bool>(alive_), generation] {
    if (alive.expired() || generation != generation_) return;
    unsaved_error_.clear();
    BeginJob(UmJob::kCheck);
  });
}

void UpdateManager::BeginJob(UmJob job) {
  if (job == UmJob::kReboot && record_.boot_switches() > kMaxReboots) {
    const uint64_t generation = ++generation_;
    loop_.Post([this, alive = std::weak_ptr<bool>(alive_), generation] {
      if (!alive.expired()) {
        FinishJob(generation, UmInput::kJobFailed, absl::StrCat("rebooted ", kMaxReboots, " times without the switch"));
      }
    });
    return;
  }
  if (operation_ != nullptr) operation_->Cancel();
  operation_ = std::make_shared<JobOperation>(*this);
  if (job == UmJob::kPrepare) preparing_ = std::exchange(pending_artifacts_, {});
  const uint64_t generation = ++generation_;
  StartWork([this, job, generation, operation = operation_, artifacts = preparing_] {
    RunJob(job, artifacts, *operation, generation);
  });
}

// The job before may take a moment to notice that it is cancelled; its successor waits for it, the event thread does
// not.
void UpdateManager::StartWork(std::function<void()> work) {
  worker_ = workers_.Start([work = std::move(work), before = std::shared_ptr<Worker>(std::move(worker_))]() mutable {
    if (before != nullptr) before->Join();
    before.reset();
    work();
  });
}

void UpdateManager::RunJob(UmJob job, const std::vector<Artifact>& artifacts, JobOperation& operation,
                           uint64_t generation) {
  UmInput input = UmInput::kJobDone;
  absl::Status status;
  switch (job) {
    case UmJob::kNone:
      break;
    case UmJob::kPrepare:
      status = plugin_.Prepare(artifacts, operation);
      break;
    case UmJob::kStart:
      if (absl::StatusOr<StartResult> result = plugin_.Start(operation); !result.ok()) {
        status = result.status();
      } else if (*result == StartResult::kNeedsReboot) {
        input = UmInput::kJobNeedsReboot;
      }
      break;
    case UmJob::kReboot:
      status = plugin_.Reboot();
      // The restart of this process, or the recheck below, leads on.
      if (status.ok()) input = UmInput::kRestarted;
      break;
    case UmJob::kCheck:
      if (absl::StatusOr<RebootCheck> result = plugin_.CheckAfterReboot(operation); !result.ok()) {
        status = result.status();
      } else if (*result == RebootCheck::kNotYet) {
        input = UmInput::kJobNeedsReboot;
      }
      break;
    case UmJob::kApply:
      status = plugin_.Apply(operation);
      break;
    case UmJob::kSeal:
      status = plugin_.Seal();
      break;
    case UmJob::kRevert:
      if (absl::StatusOr<RevertResult> result = plugin_.Revert(operation); !result.ok()) {
        status = result.status();
      } else if (*result == RevertResult::kNeedsReboot) {
        input = UmInput::kJobNeedsReboot;
      }
      break;
  }
  if (!status.ok()) input = UmInput::kJobFailed;
  absl::StatusOr<std::vector<InstalledComponent>> inventory = plugin_.Inventory();
  auto finish = [this, alive = std::weak_ptr<bool>(alive_), generation, input,
                 error = status.ok() ? std::string() : ToPersonText(status),
                 no_room = job == UmJob::kCheck && absl::IsResourceExhausted(status),
                 inventory = std::move(inventory)]() mutable {
    if (alive.expired() || generation != generation_) return;
    TakeInventory(std::move(inventory));
    if (no_room) return CheckAgainLater(generation, error);
    FinishJob(generation, input, error);
  };
  if (input == UmInput::kRestarted) {
    loop_.PostAfter(kRebootRecheck, std::move(finish));
  } else {
    loop_.Post(std::move(finish));
  }
}

void UpdateManager::FinishJob(uint64_t generation, UmInput input, const std::string& error) {
  if (generation != generation_) return;
  if (!error.empty())
    LogWarning("job failed", {{"um", options_.node_id}, {"step", std::string(Name(step_))}, {"error", error}});
  Take(input, error);
}

void UpdateManager::RefreshInventory() { TakeInventory(plugin_.Inventory()); }

void UpdateManager::TakeInventory(absl::StatusOr<std::vector<InstalledComponent>> inventory) {
  if (inventory.ok()) {
    inventory_ = *std::move(inventory);
    if (!inventory_error_.empty()) LogInfo("inventory is there again", {{"um", options_.node_id}});
    inventory_error_.clear();
    look_again_after_ = kFirstLookAgain;
    return;
  }
  const std::string error = absl::StrCat("inventory: ", inventory.status().message());
  if (error != inventory_error_) LogError("inventory failed", {{"um", options_.node_id}, {"error", error}});
  inventory_error_ = error;
  LookAgainLater();
}

// Whatever does not answer now, such as a device that starts more slowly than this computer, may do so later.
void UpdateManager::LookAgainLater() {
  if (std::exchange(look_again_pending_, true)) return;
  loop_.PostAfter(look_again_after_, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    look_again_pending_ = false;
    // A job ends with a look of its own.
    if (!inventory_error_.empty() && !IsWorking(step_)) LookAgain();
  });
  look_again_after_ = std::min(2 * look_again_after_, kLastLookAgain);
}

void UpdateManager::LookAgain() {
  StartWork([this, generation = generation_] {
    auto take = [this, alive = std::weak_ptr<bool>(alive_), generation, inventory = plugin_.Inventory()]() mutable {
      if (alive.expired() || generation != generation_) return;
      TakeInventory(std::move(inventory));
      SendSoon();
    };
    loop_.Post(std::move(take));
  });
}

umv2::UpdateStatus UpdateManager::Status() {
  umv2::UpdateStatus status;
  status.set_node_id(options_.node_id);
  status.set_priority(options_.priority);
  status.set_update_state(ToWire(WireStateOf(step_)));
  status.set_switches_boot(plugin_.SwitchesBoot());
  status.set_working(IsWorking(step_));
  status.set_unsealed(record_.unsealed());
  status.set_tells_running(true);
  const std::string& error = !unsaved_error_.empty()   ? unsaved_error_
                             : record_.error().empty() ? inventory_error_
                                                       : record_.error();
  if (!error.empty()) status.mutable_error()->set_message(error);
  for (const InstalledComponent& installed : inventory_) {
    umv2::ComponentStatus* component = status.add_components();
    component->set_component_id(installed.id);
    component->set_component_type(installed.type);
    component->set_version(installed.version);
    component->set_state(umv2::INSTALLED);
    if (installed.slots.has_value()) {
      component->mutable_slots()->set_running(installed.slots->running);
      component->mutable_slots()->set_confirmed(installed.slots->confirmed);
      component->mutable_slots()->set_trial(installed.slots->trial);
      component->mutable_slots()->set_attempts_left(installed.slots->attempts_left);
    }
  }
  std::lock_guard lock(progress_mutex_);
  status.set_activity(activity_.empty() ? ActivityOf(step_) : activity_);
  for (const record::v1::UmTarget& target : record_.targets()) {
    umv2::ComponentStatus* component = status.add_components();
    component->set_component_id(target.component_id());
    component->set_component_type(target.component_type());
    component->set_version(target.version());
    component->set_state(step_ == UmStep::kFailed ? umv2::ERROR : umv2::INSTALLING);
    if (step_ == UmStep::kFailed) component->mutable_error()->set_message(record_.error());
    if (auto found = progress_.find(target.component_id()); found != progress_.end()) {
      component->set_bytes_done(found->second.done);
      component->set_bytes_total(found->second.total);
    }
  }
  CleanTexts(status);
  return status;
}

void UpdateManager::SendNow() {
  if (send_) send_(Status());
}

void UpdateManager::SendSoon() {
  if (send_pending_) return;
  send_pending_ = true;
  loop_.PostAfter(options_.progress_interval, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    send_pending_ = false;
    SendNow();
  });
}

}  // namespace tandem::um
