#include "um-plugins/mcu/mcu_plugin.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "um-plugins/mcu/image_upload.h"
#include "um-plugins/mcu/mcu_image_check.h"
#include "um-plugins/mcu/mcu_version.h"

namespace tandem::plugins {
namespace {

// The inventory is asked for while others wait.
constexpr absl::Duration kInventoryTimeout = absl::Seconds(3);
constexpr int kMaxKnown = 4;
// The hash of no image.
constexpr char kDoesNotBoot[] = "does not boot";

// "2.0 (0a1b2c3d)".
std::string NameOf(const record::v1::McuRecord::Image& image) {
  return absl::StrCat(image.version(), " (", HexEncode(image.hash()).substr(0, 8), ")");
}

void Close(record::v1::McuRecord& record) {
  record.clear_target();
  record.clear_origin();
  record.clear_test_boots();
  record.clear_failed();
}

void Remember(record::v1::McuRecord& record, const record::v1::McuRecord::Image& image) {
  auto& known = *record.mutable_known();
  for (int i = known.size() - 1; i >= 0; --i) {
    if (known[i].hash() == image.hash()) known.DeleteSubrange(i, 1);
  }
  while (known.size() >= kMaxKnown) known.DeleteSubrange(0, 1);
  *record.add_known() = image;
}

const record::v1::McuRecord::Image* Find(const record::v1::McuRecord& record, const std::string& hash) {
  for (const auto& image : record.known()) {
    if (image.hash() == hash) return &image;
  }
  return nullptr;
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
  if (const auto info = smp::ReadBootInfo(device->client()); info.ok() && info->has_value()) {
    slots.attempts_left = (*info)->attempts_left.value_or(0);
  }
  component.slots = slots;
  return std::vector<um::InstalledComponent>{std::move(component)};
}

// ---- Prepare ----

absl::Status McuPlugin::Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) {
  if (artifacts.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("prepare ", component_id_, ": one artifact is needed, not ", artifacts.size()));
  }
  const um::Artifact& artifact = artifacts[0];
  if (!artifact.component_id.empty() && artifact.component_id != component_id_) {
    return absl::InvalidArgumentError(
        absl::StrCat("prepare ", component_id_, ": the artifact is for ", artifact.component_id));
  }
  return Annotate(PrepareImage(artifact, operation), absl::StrCat("prepare ", component_id_, " ", artifact.version));
}

absl::Status McuPlugin::PrepareImage(const um::Artifact& artifact, um::Operation& operation) {
  ASSIGN_OR_RETURN(Record record, LoadRecord());
  // A record that says so: no update is open, whatever the device does.
  Close(record);
  RETURN_IF_ERROR(SaveRecord(record));
  const std::unique_ptr<McuDevice> device = Device(&operation);
  operation.ReportActivity("asking the device what it runs");
  ASSIGN_OR_RETURN(McuState state, device->WaitForState());
  if (!state.Settled()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the device runs ", VersionOf(record, state.active),
                     state.active.confirmed ? ", but another image is pending" : ", which is not confirmed",
                     "; nothing may be written beside it. Reset it, or confirm what it should run"));
  }
  Remember(record, ImageOf(record, state.active));
  *record.mutable_running() = ImageOf(record, state.active);

  ASSIGN_OR_RETURN(Record::Image image, FindOnDevice(record, state, artifact));
  if (image.hash().empty()) {
    ASSIGN_OR_RETURN(image, FetchAndCheck(artifact, *device, state, operation));
  }
  // Another copy of what runs would change nothing, and cost the way back. With no update open, Start() and Apply()
  // find it done.
  if (image.hash() == state.active.hash) {
    if (!SameMcuVersion(VersionOf(record, state.active), artifact.version)) {
      return absl::FailedPreconditionError(absl::StrCat("the device runs exactly this image, and its version is ",
                                                        VersionOf(record, state.active),
                                                        "; correct the version in the release"));
    }
    image.set_version(artifact.version);
    Remember(record, image);
    *record.mutable_running() = image;
    RETURN_IF_ERROR(SaveRecord(record));
    operation.ReportProgress(component_id_, artifact.size, artifact.size);
    return DropStaged();
  }
  // The hash tag stands at an image's end: a half-written slot may still show that of the image before.
  if (!state.OtherIs(image.hash()) || (record.has_unfinished() && record.unfinished() != image.hash())) {
    record.set_unfinished(image.hash());
    RETURN_IF_ERROR(SaveRecord(record));
    RETURN_IF_ERROR(Upload(artifact, image.hash(), *device, operation));
    ASSIGN_OR_RETURN(state, device->WaitForState());
    if (!state.OtherIs(image.hash())) {
      return absl::DataLossError("the device does not show the image after its upload; its flash may be worn out");
    }
  }
  operation.ReportProgress(component_id_, artifact.size, artifact.size);
  record.clear_unfinished();
  *record.mutable_target() = image;
  *record.mutable_origin() = record.running();
  Remember(record, image);
  RETURN_IF_ERROR(SaveRecord(record));
  return DropStaged();
}

absl::StatusOr<McuPlugin::Record::Image> McuPlugin::FindOnDevice(const Record& record, const McuState& state,
                                                                 const um::Artifact& artifact) {
  for (const smp::ImageSlot* slot : {&state.active, state.other.has_value() ? &*state.other : nullptr}) {
    if (slot == nullptr || slot->hash.empty()) continue;
    if (slot != &state.active && record.has_unfinished()) continue;
    Record::Image image = ImageOf(record, *slot);
    // Bytes that are asked for without a digest are those of the version before.
    const bool same = artifact.sha256.empty() ? SameMcuVersion(image.version(), artifact.version)
                                              : image.file_sha256() == artifact.sha256;
    if (!same) continue;
    if (!artifact.sha256.empty()) {
      // It must be checked again, and refused with the reason.
      if (image.security_counter() < artifact.security_version) continue;
      image.set_security_version(artifact.security_version);
    }
    if (slot != &state.active) image.set_version(artifact.version);
    return image;
  }
  if (artifact.sha256.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no source is known for it, and the device holds ",
                     state.other.has_value() ? VersionOf(record, *state.other) : "nothing else"));
  }
  return Record::Image();
}

absl::StatusOr<McuPlugin::Record::Image> McuPlugin::FetchAndCheck(const um::Artifact& artifact, McuDevice& device,
                                                                  const McuState& state, um::Operation& operation) {
  ImageDemands demands{.hardware_id = config_.mcu().hardware_id(),
                       .security_version = artifact.security_version,
                       .image = config_.mcu().image(),
                       .slots = state.slots};
  if (!config_.mcu().any_image_version()) demands.version = artifact.version;
  ASSIGN_OR_RETURN(demands.slot_size, smp::ReadSlotSize(device.client(), config_.mcu().image()));
  if (demands.slot_size.has_value() && artifact.size > *demands.slot_size) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the image has ", artifact.size, " bytes, and the device's slot takes ", *demands.slot_size));
  }
  ASSIGN_OR_RETURN(const std::optional<smp::BootInfo> boot, smp::ReadBootInfo(device.client()));
  if (boot.has_value()) demands.device_counter = boot->security_counter;

  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   dependencies_.fs.Open(StagedPath(), FileSystem::OpenMode::kCreate));
  RETURN_IF_ERROR(Stage(artifact, *file, operation));
  ASSIGN_OR_RETURN(const CheckedImage checked, CheckMcuImage(*file, artifact.size, demands));
  Record::Image image;
  image.set_hash(checked.hash);
  image.set_version(artifact.version);
  image.set_file_sha256(artifact.sha256);
  image.set_security_version(artifact.security_version);
  image.set_security_counter(checked.security_counter);
  return image;
}

absl::Status McuPlugin::Stage(const um::Artifact& artifact, File& file, um::Operation& operation) {
  operation.ReportActivity("fetching the image");
  // Left over from an artifact that was longer.
  ASSIGN_OR_RETURN(const uint64_t have, file.Size());
  if (have > artifact.size) RETURN_IF_ERROR(file.Truncate(artifact.size));
  DurableRecord progress(dependencies_.fs, JoinPath(config_.state_dir(), "stage.rec"));
  const config::v1::Tls& tls = config_.artifact_tls();
  const StageRequest request{.urls = artifact.urls,
                             .headers = artifact.headers,
                             .ca_file = tls.ca(),
                             .certificate_file = tls.certificate(),
                             .key_file = tls.key(),
                             .sha256 = artifact.sha256,
                             .size = artifact.size,
                             .chunk_size = artifact.chunk_size,
                             .chunk_digests = artifact.chunk_digests};
  return stager_.Stage(request, file, progress,
                       {.progress = {},
                        .cancelled = [&] { return operation.Cancelled(); },
                        .activity = [&](const std::string& text) { operation.ReportActivity(text); }});
}

absl::Status McuPlugin::Upload(const um::Artifact& artifact, const std::string& hash, McuDevice& device,
                               um::Operation& operation) {
  operation.ReportActivity("uploading the image");
  // Its bytes may come from a Prepare() before this one; they were checked now.
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   dependencies_.fs.Open(StagedPath(), FileSystem::OpenMode::kReadOnly));
  const config::v1::McuPlugin& mcu = config_.mcu();
  return smp::UploadImage(
      device.client(),
      {.file = *file, .size = artifact.size, .sha256 = artifact.sha256, .hash = hash, .image = mcu.image()},
      [&](uint64_t done) { operation.ReportProgress(component_id_, done, artifact.size); },
      {.erase_timeout = DurationOr(mcu.has_erase_timeout(), mcu.erase_timeout(), absl::Seconds(60))});
}

absl::Status McuPlugin::DropStaged() {
  DurableRecord progress(dependencies_.fs, JoinPath(config_.state_dir(), "stage.rec"));
  RETURN_IF_ERROR(progress.Clear());
  return dependencies_.fs.Remove(StagedPath());
}

// ---- Switch ----

absl::Status McuPlugin::GiveUp(Record& record, const absl::Status& why) {
  record.set_failed(true);
  // The next Prepare() of the same image writes it again: the flash may have been at fault.
  record.set_unfinished(kDoesNotBoot);
  RETURN_IF_ERROR(SaveRecord(record));
  return why;
}

absl::StatusOr<McuState> McuPlugin::BootTarget(Record& record, McuDevice& device, um::Operation& operation) {
  const uint32_t attempts = config_.mcu().test_attempts() == 0 ? kMcuTestAttempts : config_.mcu().test_attempts();
  const std::string& target = record.target().hash();
  while (true) {
    operation.ReportActivity("asking the device what it runs");
    ASSIGN_OR_RETURN(const McuState state, device.WaitForState());
    if (state.active.hash == target) return state;
    if (!state.OtherIs(target)) {
      return GiveUp(record, absl::FailedPreconditionError(
                                absl::StrCat("image ", NameOf(record.target()), " is not on the device any more")));
    }
    if (record.test_boots() >= attempts) {
      return GiveUp(record, absl::FailedPreconditionError(absl::StrCat("boot of image ", NameOf(record.target()),
                                                                       " failed, the MCU fell back to ",
                                                                       NameOf(ImageOf(record, state.active)))));
    }
    // First the count: a unit that dies in each boot must come to an end, too.
    record.set_test_boots(record.test_boots() + 1);
    RETURN_IF_ERROR(SaveRecord(record));
    if (!state.other->pending) RETURN_IF_ERROR(smp::TestImage(device.client(), target));
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
    if (state->Settled() && (!record.has_target() || state->active.hash != record.target().hash())) {
      *record.mutable_running() = ImageOf(record, state->active);
      Close(record);
      RETURN_IF_ERROR(SaveRecord(record));
      return um::RevertResult::kReverted;
    }
    if (resets == kMaxRevertResets) {
      return absl::FailedPreconditionError(absl::StrCat(
          what, ": the device still runs ", NameOf(ImageOf(record, state->active)), " after ", resets, " resets"));
    }
    RETURN_IF_ERROR(Annotate(StepBack(record, *state, *device), what));
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
