// McuPlugin's Prepare(): the image is found, fetched, checked and uploaded beside the one that runs.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"
#include "um-plugins/mcu/image_upload.h"
#include "um-plugins/mcu/mcu_image_check.h"
#include "um-plugins/mcu/mcu_plugin.h"
#include "um-plugins/mcu/mcu_record.h"
#include "um-plugins/mcu/mcu_version.h"
#include "um/reserve.h"

namespace tandem::plugins {
namespace {

// The hash tag stands at an image's end: a half-written slot may still show that of the image before, and a damaged
// image its own. One that is whole costs a device that knows it only a question.
bool CanBeBelieved(const record::v1::McuRecord& record, const smp::ImageSlot& other) {
  return !record.has_unfinished() && other.bootable.value_or(true);
}

}  // namespace

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
  if (!state.OtherIs(image.hash()) || !CanBeBelieved(record, *state.other)) {
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
    if (slot != &state.active && !CanBeBelieved(record, *slot)) continue;
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
  ASSIGN_OR_RETURN(const uint64_t room,
                   um::RoomBesideReserve(dependencies_.fs, config_.state_dir(), config_.reserve_bytes()));
  if (artifact.size > have && artifact.size - have > room) {
    return absl::ResourceExhaustedError(absl::StrCat("the image has ", artifact.size, " bytes; ", config_.state_dir(),
                                                     " has room for ", room, " beside the reserve"));
  }
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

}  // namespace tandem::plugins
