#include "um-plugins/mcu/mcu_plugin.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "um-plugins/mcu/mcu_record.h"
#include "um-plugins/mcu/mcu_version.h"

namespace tandem::plugins {
namespace {

// The inventory is asked for while others wait: this is for all of its questions.
constexpr absl::Duration kInventoryTimeout = absl::Seconds(3);
// The hash of no image.
constexpr char kDoesNotBoot[] = "does not boot";

// The device has said no; not merely that it cannot now, or nothing at all.
bool IsRefusal(const absl::Status& status) {
  return !status.ok() && !absl::IsDeadlineExceeded(status) && !absl::IsCancelled(status) &&
         !absl::IsUnavailable(status);
}

}  // namespace

McuPlugin::McuPlugin(Dependencies dependencies, config::v1::UmConfig config)
    : dependencies_(std::move(dependencies)),
      config_(std::move(config)),
      component_id_(config_.mcu().component_id().empty() ? config_.node_id() : config_.mcu().component_id()),
      stager_(dependencies_.fetcher, dependencies_.clock),
      record_(dependencies_.fs, JoinPath(config_.state_dir(), "mcu.rec")) {}

// ---- What is there ----

absl::StatusOr<McuPlugin::Record> McuPlugin::LoadRecord() {
  Record record;
  // The copy before the newest names the same images; what the device does is asked of the device.
  const absl::StatusOr<std::string> bytes = record_.ReadOrRestorePrevious();
  if (absl::IsNotFound(bytes.status())) return record;
  RETURN_IF_ERROR(bytes.status());
  if (!record.ParseFromString(*bytes))
    return absl::DataLossError(absl::StrCat(record_.path(), " cannot be understood"));
  return record;
}

absl::Status McuPlugin::SaveRecord(const Record& record) { return record_.Write(record.SerializeAsString()); }

std::string McuPlugin::VersionOf(const Record& record, const smp::ImageSlot& slot) const {
  if (const Record::Image* const image = Find(record, slot.hash); image != nullptr) return image->version();
  const std::string& factory = config_.mcu().factory_version();
  // As people spell it.
  return slot.version.empty() || SameMcuVersion(slot.version, factory) ? factory : slot.version;
}

McuPlugin::Record::Image McuPlugin::ImageOf(const Record& record, const smp::ImageSlot& slot) const {
  if (const Record::Image* const image = Find(record, slot.hash); image != nullptr) return *image;
  Record::Image image;
  image.set_hash(slot.hash);
  image.set_version(VersionOf(record, slot));
  return image;
}

std::unique_ptr<McuDevice> McuPlugin::Device(const um::Operation* operation) {
  const config::v1::McuPlugin& mcu = config_.mcu();
  McuDeviceOptions options{
      .image = mcu.image(),
      .answer_timeout = DurationOr(mcu.has_answer_timeout(), mcu.answer_timeout(), absl::Seconds(10)),
      .boot_timeout = DurationOr(mcu.has_boot_timeout(), mcu.boot_timeout(), absl::Minutes(2))};
  if (operation != nullptr) options.cancelled = [operation] { return operation->Cancelled(); };
  if (!mcu.reset_command().empty()) {
    options.reset = [this] {
      return dependencies_.run({.argv = {config_.mcu().reset_command().begin(), config_.mcu().reset_command().end()}});
    };
  }
  return std::make_unique<McuDevice>(dependencies_.connect, dependencies_.clock, std::move(options));
}

absl::StatusOr<std::vector<um::InstalledComponent>> McuPlugin::Inventory() {
  ASSIGN_OR_RETURN(const Record record, LoadRecord());
  um::InstalledComponent component{.id = component_id_, .type = config_.mcu().component_type()};
  const std::unique_ptr<McuDevice> device = Device(nullptr);
  const absl::Duration end = dependencies_.clock.Monotonic() + kInventoryTimeout;
  const absl::StatusOr<McuState> state = device->ReadState(kInventoryTimeout);
  if (!state.ok()) {
    component.version = record.has_running() ? record.running().version() : config_.mcu().factory_version();
    if (component.version.empty()) return Annotate(state.status(), component_id_);
    LogWarning("the device does not tell what runs; the last that was seen is reported",
               {{"component", component_id_},
                {"version", component.version},
                {"error", std::string(state.status().message())}});
    return std::vector<um::InstalledComponent>{std::move(component)};
  }
  component.version = VersionOf(record, state->active);
  const std::string active = absl::StrCat(state->active.slot);
  um::SlotState slots{.running = active};
  if (state->active.confirmed) {
    slots.confirmed = active;
  } else {
    slots.trial = active;
    if (state->other.has_value()) slots.confirmed = absl::StrCat(state->other->slot);
  }
  if (state->other.has_value() && state->other->pending) slots.trial = absl::StrCat(state->other->slot);
  // Only devices with our boot group know more; for others a trial has the one boot that runs.
  const absl::Duration left = end - dependencies_.clock.Monotonic();
  if (const auto info = smp::ReadBootInfo(device->client(), left); info.ok() && info->has_value()) {
    slots.attempts_left = (*info)->attempts_left.value_or(0);
  }
  component.slots = slots;
  return std::vector<um::InstalledComponent>{std::move(component)};
}

// ---- Switch ----

absl::Status McuPlugin::GiveUp(Record& record, const absl::Status& why) {
  record.set_failed(true);
  // The next Prepare() of the same image writes it again: the flash may have been at fault.
  record.set_unfinished(kDoesNotBoot);
  RETURN_IF_ERROR(SaveRecord(record));
  return why;
}

absl::Status McuPlugin::NoteRunning(Record& record) {
  if (record.seen_running_at() == record.test_boots()) return absl::OkStatus();
  record.set_seen_running_at(record.test_boots());
  return SaveRecord(record);
}

absl::StatusOr<McuState> McuPlugin::BootTarget(Record& record, McuDevice& device, um::Operation& operation) {
  const uint32_t attempts = config_.mcu().test_attempts() == 0 ? kMcuTestAttempts : config_.mcu().test_attempts();
  const std::string& target = record.target().hash();
  while (true) {
    operation.ReportActivity("asking the device what it runs");
    ASSIGN_OR_RETURN(const McuState state, device.WaitForState());
    if (state.active.hash == target) {
      RETURN_IF_ERROR(NoteRunning(record));
      return state;
    }
    if (!state.OtherIs(target)) {
      return GiveUp(record, absl::FailedPreconditionError(
                                absl::StrCat("image ", NameOf(record.target()), " is not on the device any more")));
    }
    if (record.test_boots() - record.seen_running_at() >= attempts ||
        record.test_boots() >= attempts * kMcuTestRounds) {
      return GiveUp(record, absl::FailedPreconditionError(absl::StrCat("boot of image ", NameOf(record.target()),
                                                                       " failed, the MCU fell back to ",
                                                                       NameOf(ImageOf(record, state.active)))));
    }
    // First the count: a unit that dies in each boot must come to an end, too.
    record.set_test_boots(record.test_boots() + 1);
    RETURN_IF_ERROR(SaveRecord(record));
    if (!state.other->pending) {
      const absl::Status tested = smp::TestImage(device.client(), target);
      if (IsRefusal(tested)) return GiveUp(record, tested);
      RETURN_IF_ERROR(tested);
    }
    operation.ReportActivity(absl::StrCat("booting ", record.target().version(), ", attempt ", record.test_boots()));
    RETURN_IF_ERROR(device.Reset().status());
  }
}

absl::StatusOr<um::StartResult> McuPlugin::Start(um::Operation& operation) {
  ASSIGN_OR_RETURN(Record record, LoadRecord());
  if (!record.has_target()) {
    // Applied, or it ran from the beginning.
    if (record.has_running()) return um::StartResult::kRunning;
    return absl::FailedPreconditionError(absl::StrCat("start ", component_id_, ": no update is prepared"));
  }
  if (record.failed()) {
    record.clear_failed();
    record.clear_test_boots();
    record.clear_seen_running_at();
    RETURN_IF_ERROR(SaveRecord(record));
  }
  const std::unique_ptr<McuDevice> device = Device(&operation);
  RETURN_IF_ERROR(Annotate(BootTarget(record, *device, operation).status(), absl::StrCat("start ", component_id_)));
  return um::StartResult::kRunning;
}

absl::StatusOr<um::RebootCheck> McuPlugin::CheckAfterReboot(um::Operation& operation) {
  ASSIGN_OR_RETURN(Record record, LoadRecord());
  if (!record.has_target()) return um::RebootCheck::kRunning;
  const std::unique_ptr<McuDevice> device = Device(&operation);
  RETURN_IF_ERROR(Annotate(BootTarget(record, *device, operation).status(), absl::StrCat("check ", component_id_)));
  return um::RebootCheck::kRunning;
}

absl::Status McuPlugin::Apply(um::Operation& operation) {
  ASSIGN_OR_RETURN(Record record, LoadRecord());
  if (!record.has_target()) return absl::OkStatus();
  const std::unique_ptr<McuDevice> device = Device(&operation);
  const std::string what = absl::StrCat("apply ", component_id_);
  ASSIGN_OR_RETURN(McuState state, Annotate(BootTarget(record, *device, operation), what));
  if (!state.active.confirmed) {
    // The running image of another core has no other name than its hash.
    RETURN_IF_ERROR(Annotate(config_.mcu().image() == 0 ? smp::ConfirmRunningImage(device->client())
                                                        : smp::ConfirmImage(device->client(), record.target().hash()),
                             what));
    ASSIGN_OR_RETURN(state, Annotate(device->WaitForState(), what));
  }
  if (state.active.hash != record.target().hash() || !state.active.confirmed) {
    return absl::FailedPreconditionError(absl::StrCat(what, ": the device did not keep the confirmation, and runs ",
                                                      NameOf(ImageOf(record, state.active))));
  }
  *record.mutable_running() = record.target();
  Close(record);
  return SaveRecord(record);
}

absl::Status McuPlugin::StepBack(const Record& record, const McuState& state, McuDevice& device) {
  const bool pending = state.other.has_value() && state.other->pending;
  // What shall run: the image that is beside the one on trial, or the running one, whose successor is only pending.
  const bool leave = state.active.hash == record.target().hash() || !state.active.confirmed;
  const std::string keep = leave ? (state.other.has_value() ? state.other->hash : "") : state.active.hash;
  if (keep.empty()) {
    return absl::FailedPreconditionError("the device has no other image to go back to");
  }
  // Devices that allow it need no trial to fail for it; from the others the reset is enough, unless the new image has
  // confirmed itself.
  const bool aimed = leave && pending;
  const absl::Status confirmed = aimed ? absl::OkStatus() : smp::ConfirmImage(device.client(), keep);
  if (absl::IsDeadlineExceeded(confirmed) || absl::IsCancelled(confirmed)) return confirmed;
  if (!confirmed.ok() && leave && state.active.confirmed) {
    const absl::Status tested = smp::TestImage(device.client(), keep);
    if (!tested.ok()) return Annotate(tested, "the new image has confirmed itself");
  }
  return device.Reset().status();
}

absl::StatusOr<um::RevertResult> McuPlugin::Revert(um::Operation& operation) {
  // Without one it was lost, and the update's Start() may have been before that: the device tells.
  const bool lost = absl::IsNotFound(record_.ReadOrRestorePrevious().status());
  ASSIGN_OR_RETURN(Record record, LoadRecord());
  const std::string what = absl::StrCat("revert ", component_id_);
  RETURN_IF_ERROR(DropStaged());
  // The device was not told to boot anything: it need not even be there.
  if (!lost && record.test_boots() == 0) {
    Close(record);
    RETURN_IF_ERROR(SaveRecord(record));
    return um::RevertResult::kReverted;
  }
  const std::unique_ptr<McuDevice> device = Device(&operation);
  for (int resets = 0;; ++resets) {
    operation.ReportActivity("going back to the image before");
    const absl::StatusOr<McuState> state =
        record.has_target() ? device->WaitForState() : device->ReadState(kInventoryTimeout);
    if (!state.ok() && !record.has_target()) {
      LogWarning("the device cannot be asked; no update of it was begun",
                 {{"component", component_id_}, {"error", std::string(state.status().message())}});
      return um::RevertResult::kReverted;
    }
    RETURN_IF_ERROR(Annotate(state.status(), what));
    const bool left = !record.has_target() || state->active.hash != record.target().hash();
    const bool stays = state->Settled() && !left && resets == kMaxRevertResets;
    if (stays) LogWarning("the new image is confirmed and cannot be left; it stays", {{"component", component_id_}});
    if (stays || (state->Settled() && left)) {
      *record.mutable_running() = ImageOf(record, state->active);
      Close(record);
      RETURN_IF_ERROR(SaveRecord(record));
      return um::RevertResult::kReverted;
    }
    if (resets == kMaxRevertResets) {
      return absl::FailedPreconditionError(absl::StrCat(
          what, ": the device still runs ", NameOf(ImageOf(record, state->active)), " after ", resets, " resets"));
    }
    absl::Status back = StepBack(record, *state, *device);
    // A confirmed image that the device will not leave now, it may leave after a reset.
    if (absl::IsFailedPrecondition(back) && state->Settled()) back = device->Reset().status();
    RETURN_IF_ERROR(Annotate(back, what));
  }
}

absl::Status McuPlugin::Seal() {
  ASSIGN_OR_RETURN(const Record record, LoadRecord());
  const uint64_t counter = record.running().security_version();
  if (counter == 0) return absl::OkStatus();
  const std::string what = absl::StrCat("seal ", component_id_);
  const std::unique_ptr<McuDevice> device = Device(nullptr);
  ASSIGN_OR_RETURN(const McuState state, Annotate(device->WaitForState(), what));
  if (!state.Settled() || state.active.hash != record.running().hash()) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, ": ", NameOf(record.running()), " does not run, or is not confirmed"));
  }
  ASSIGN_OR_RETURN(const std::optional<smp::BootInfo> boot, Annotate(smp::ReadBootInfo(device->client()), what));
  // MCUboot raises its counter itself, from the confirmed image.
  if (!boot.has_value() || boot->security_counter.value_or(0) >= counter) return absl::OkStatus();
  const absl::Status raised = smp::RaiseSecurityCounter(device->client(), counter);
  return absl::IsUnimplemented(raised) ? absl::OkStatus() : Annotate(raised, what);
}

}  // namespace tandem::plugins
