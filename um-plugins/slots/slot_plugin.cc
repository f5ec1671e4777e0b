#include "um-plugins/slots/slot_plugin.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::plugins {
namespace {

using boot::Slot;
using boot::SlotName;

record::v1::SlotsRecord::Slot& Entry(record::v1::SlotsRecord& slots, Slot slot) {
  return slot == Slot::kA ? *slots.mutable_a() : *slots.mutable_b();
}

// No update is running any more.
void Close(record::v1::SlotsRecord& slots) {
  slots.clear_origin();
  slots.clear_target();
  slots.clear_armed_boot_id();
  slots.clear_wrote_target();
  slots.clear_rearms();
}

}  // namespace

SlotPlugin::SlotPlugin(Dependencies dependencies, SlotPluginOptions options)
    : dependencies_(std::move(dependencies)),
      options_(std::move(options)),
      stager_(dependencies_.fetcher, dependencies_.clock),
      record_(dependencies_.fs, JoinPath(options_.state_dir, "slots.rec")) {
  if (dependencies_.stages != nullptr)
    dependencies_.stages->Add(options_.component_id, [this] { return IsUnproven(); });
}

SlotPlugin::~SlotPlugin() {
  if (dependencies_.stages != nullptr) dependencies_.stages->Remove(options_.component_id);
}

// ---- What is there ----

absl::StatusOr<Slot> SlotPlugin::RunningSlot() {
  const std::string& path = options_.cmdline_file;
  ASSIGN_OR_RETURN(const std::string cmdline, Annotate(dependencies_.fs.ReadFile(path), "find the running slot"));
  for (absl::string_view word : absl::StrSplit(cmdline, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    for (const std::string& key : options_.slot_keys) {
      if (!absl::ConsumePrefix(&word, key)) continue;
      return Annotate(boot::ParseSlot(std::string(word)), absl::StrCat("find the running slot in ", path));
    }
  }
  return absl::FailedPreconditionError(
      absl::StrCat("find the running slot: ", path, " has no ", absl::StrJoin(options_.slot_keys, " and no ")));
}

absl::StatusOr<std::string> SlotPlugin::BootId() {
  ASSIGN_OR_RETURN(const std::string text,
                   Annotate(dependencies_.fs.ReadFile(options_.boot_id_file), "read the boot id"));
  return std::string(absl::StripAsciiWhitespace(text));
}

std::string SlotPlugin::SlotPath(Slot slot) const { return slot == Slot::kA ? options_.slot_a : options_.slot_b; }

absl::StatusOr<SlotPlugin::Slots> SlotPlugin::LoadSlots() {
  Slots slots;
  // Older is good enough for the slot that runs, and what it says about the other one is checked against the bytes.
  const absl::StatusOr<std::string> bytes = record_.ReadOrRestorePrevious();
  if (absl::IsNotFound(bytes.status())) return slots;
  RETURN_IF_ERROR(bytes.status());
  if (!slots.ParseFromString(*bytes)) return absl::DataLossError(absl::StrCat(record_.path(), " cannot be understood"));
  return slots;
}

absl::Status SlotPlugin::SaveSlots(const Slots& slots) { return record_.Write(slots.SerializeAsString()); }

absl::StatusOr<Slot> SlotPlugin::Target(const Slots& slots) {
  if (slots.target().empty()) return absl::FailedPreconditionError("no update is prepared");
  return boot::ParseSlot(slots.target());
}

absl::StatusOr<bool> SlotPlugin::AppliedAlready(const Slots& slots, Slot running) {
  if (!slots.target().empty()) return false;
  ASSIGN_OR_RETURN(const boot::BootState state, dependencies_.boot.Read());
  return state.confirmed == running && !state.trial.has_value();
}

std::string SlotPlugin::RunningVersion(Slots& slots, Slot running) {
  const std::string& entry = Entry(slots, running).version();
  const std::string installed = entry.empty() ? options_.factory_version : entry;
  if (options_.version_file.empty()) return installed;
  const absl::StatusOr<std::string> file = dependencies_.fs.ReadFile(options_.version_file);
  if (!file.ok()) {
    LogWarning("the running system does not tell its version", {{"error", std::string(file.status().message())}});
    return installed;
  }
  std::string says(absl::StripAsciiWhitespace(*file));
  if (says != installed) {
    LogWarning("the running system is not what was installed",
               {{"slot", SlotName(running)}, {"installed", installed}, {"runs", says}});
  }
  return says;
}

absl::StatusOr<std::vector<um::InstalledComponent>> SlotPlugin::Inventory() {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  ASSIGN_OR_RETURN(const boot::BootState boot, dependencies_.boot.Read());
  ASSIGN_OR_RETURN(Slots slots, LoadSlots());
  um::InstalledComponent component{
      .id = options_.component_id, .type = options_.component_type, .version = RunningVersion(slots, running)};
  component.slots = um::SlotState{.running = SlotName(running),
                                  .confirmed = SlotName(boot.confirmed),
                                  .trial = boot.trial.has_value() ? SlotName(*boot.trial) : "",
                                  .attempts_left = boot.attempts_left};
  return std::vector<um::InstalledComponent>{std::move(component)};
}

// ---- Prepare ----

absl::Status SlotPlugin::Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) {
  if (artifacts.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("prepare ", options_.component_id, ": one artifact is needed, not ", artifacts.size()));
  }
  const um::Artifact& artifact = artifacts[0];
  if (!artifact.component_id.empty() && artifact.component_id != options_.component_id) {
    return absl::InvalidArgumentError(
        absl::StrCat("prepare ", options_.component_id, ": the artifact is for ", artifact.component_id));
  }
  return Annotate(PrepareSlot(artifact, operation),
                  absl::StrCat("prepare ", options_.component_id, " ", artifact.version));
}

absl::Status SlotPlugin::PrepareSlot(const um::Artifact& artifact, um::Operation& operation) {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  const Slot target = Other(running);
  ASSIGN_OR_RETURN(Slots slots, LoadSlots());
  ASSIGN_OR_RETURN(const boot::BootState boot, dependencies_.boot.Read());
  if (boot.confirmed != running) {
    return absl::FailedPreconditionError(absl::StrCat("slot ", SlotName(running), " runs, but is not confirmed"));
  }
  // Another copy of what runs would change nothing, and cost the way back.
  if (const Slots::Slot& own = Entry(slots, running);
      own.complete() && !own.sha256().empty() && own.sha256() == artifact.sha256 && own.size() == artifact.size) {
    const std::string version = RunningVersion(slots, running);
    if (version != artifact.version) {
      return absl::FailedPreconditionError(absl::StrCat(
          "slot ", SlotName(running), " runs exactly these bytes, and their version is ", version,
          "; correct the version in the release", options_.version_file.empty() ? "" : " or in the image"));
    }
    // With no update open, Start() and Apply() find it done.
    Close(slots);
    operation.ReportProgress(options_.component_id, own.size(), own.size());
    return SaveSlots(slots);
  }
  Slots::Slot& entry = Entry(slots, target);
  slots.set_origin(SlotName(running));
  slots.set_target(SlotName(target));
  slots.clear_armed_boot_id();

  // Nobody has written the running slot since the factory did, so that a later update may come back to it.
  if (Slots::Slot& factory = Entry(slots, running); factory.version().empty()) {
    factory.set_version(options_.factory_version);
    factory.set_complete(!factory.version().empty());
  }

  // Bytes that are asked for without a digest are those of the version before, which was good enough then.
  const bool any_bytes = artifact.sha256.empty();
  const uint64_t security_version = any_bytes ? entry.security_version() : artifact.security_version;
  if (security_version < boot.security_counter) {
    return absl::FailedPreconditionError(absl::StrCat("its security_version is ", security_version,
                                                      ", and this computer boots none below ", boot.security_counter));
  }
  if (entry.complete() && entry.version() == artifact.version &&
      (any_bytes || (entry.sha256() == artifact.sha256 && entry.size() == artifact.size))) {
    ASSIGN_OR_RETURN(const bool holds, Holds(target, entry, operation));
    if (holds) {
      if (!any_bytes) entry.set_security_version(artifact.security_version);
      operation.ReportProgress(options_.component_id, entry.size(), entry.size());
      return SaveSlots(slots);
    }
  }
  if (any_bytes) {
    return absl::NotFoundError(absl::StrCat("no source is known for it, and slot ", SlotName(target), " holds ",
                                            entry.complete() ? entry.version() : "nothing complete"));
  }

  // The way back is not given up for an image that cannot be written.
  RETURN_IF_ERROR(
      Annotate(Unlocked(target, [&] { return CheckFits(target, artifact); }), absl::StrCat("slot ", SlotName(target))));

  // From here until the image is whole nobody may boot or believe the slot.
  entry.set_version(artifact.version);
  entry.set_sha256(artifact.sha256);
  entry.set_size(artifact.size);
  entry.set_security_version(artifact.security_version);
  entry.set_complete(false);
  slots.set_wrote_target(true);
  RETURN_IF_ERROR(SaveSlots(slots));
  RETURN_IF_ERROR(dependencies_.boot.MarkUnbootable(target));
  RETURN_IF_ERROR(Annotate(Unlocked(target, [&] { return Write(target, artifact, operation); }),
                           absl::StrCat("write slot ", SlotName(target))));
  if (options_.read_back) {
    ASSIGN_OR_RETURN(const bool holds, Holds(target, entry, operation));
    if (!holds) {
      return absl::DataLossError(absl::StrCat("slot ", SlotName(target), " does not keep what was written to it"));
    }
  }
  entry.set_complete(true);
  return SaveSlots(slots);
}

absl::Status SlotPlugin::CheckFits(Slot slot, const um::Artifact& artifact) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   dependencies_.fs.Open(SlotPath(slot), FileSystem::OpenMode::kReadWriteAlone));
  ASSIGN_OR_RETURN(const uint64_t capacity, file->Size());
  // A file in place of a device, as in the demo, grows.
  if (capacity >= artifact.size || file->Truncate(artifact.size).ok()) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("it has ", capacity, " bytes, the artifact ", artifact.size));
}

absl::StatusOr<bool> SlotPlugin::Holds(Slot slot, const Slots::Slot& content, um::Operation& operation) {
  // The factory's bytes have no digest; their entry is replaced before the slot is first written.
  if (content.sha256().empty()) return true;
  operation.ReportActivity(absl::StrCat("checking slot ", SlotName(slot)));
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, dependencies_.fs.Open(SlotPath(slot), FileSystem::OpenMode::kReadOnly));
  DurableRecord unused(dependencies_.fs, JoinPath(options_.state_dir, "unused.rec"));
  const absl::Status status = stager_.Stage({.sha256 = content.sha256(), .size = content.size()}, *file, unused,
                                            {.cancelled = [&] { return operation.Cancelled(); }});
  if (absl::IsNotFound(status)) return false;
  RETURN_IF_ERROR(status);
  return true;
}

absl::Status SlotPlugin::Unlocked(Slot slot, absl::FunctionRef<absl::Status()> work) {
  if (!dependencies_.set_writable) return work();
  RETURN_IF_ERROR(dependencies_.set_writable(slot, true));
  const absl::Status done = work();
  const absl::Status locked = dependencies_.set_writable(slot, false);
  return done.ok() ? locked : done;
}

absl::Status SlotPlugin::Write(Slot slot, const um::Artifact& artifact, um::Operation& operation) {
  operation.ReportActivity(absl::StrCat("writing slot ", SlotName(slot)));
  ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                   dependencies_.fs.Open(SlotPath(slot), FileSystem::OpenMode::kReadWriteAlone));
  // One record per slot: the progress in one says nothing about the other.
  DurableRecord progress(dependencies_.fs,
                         JoinPath(options_.state_dir, absl::StrCat("stage-", SlotName(slot), ".rec")));
  const config::v1::Tls& tls = options_.artifact_tls;
  const StageRequest request{.urls = artifact.urls,
                             .headers = artifact.headers,
                             .ca_file = tls.ca(),
                             .certificate_file = tls.certificate(),
                             .key_file = tls.key(),
                             .sha256 = artifact.sha256,
                             .size = artifact.size,
                             .chunk_size = artifact.chunk_size,
                             .chunk_digests = artifact.chunk_digests};
  return stager_.Stage(
      request, *file, progress,
      {.progress = [&](uint64_t done) { operation.ReportProgress(options_.component_id, done, artifact.size); },
       .cancelled = [&] { return operation.Cancelled(); },
       .activity = [&](const std::string& text) { operation.ReportActivity(text); }});
}

// ---- Switch ----

absl::StatusOr<um::StartResult> SlotPlugin::Start(um::Operation& operation) {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  ASSIGN_OR_RETURN(Slots slots, LoadSlots());
  ASSIGN_OR_RETURN(const bool applied, AppliedAlready(slots, running));
  if (applied) return um::StartResult::kRunning;
  ASSIGN_OR_RETURN(const Slot target, Target(slots));
  if (running == target) {
    RETURN_IF_ERROR(CheckAndRearm(slots, target));
    return um::StartResult::kRunning;
  }
  if (!Entry(slots, target).complete()) {
    return absl::FailedPreconditionError(
        absl::StrCat("start ", options_.component_id, ": slot ", SlotName(target), " is not complete"));
  }
  if (dependencies_.stages != nullptr) {
    RETURN_IF_ERROR(
        Annotate(dependencies_.stages->MayArm(options_.component_id), absl::StrCat("start ", options_.component_id)));
  }
  // First the boot id: once the trial is armed, any reset may be the one that counts.
  ASSIGN_OR_RETURN(const std::string boot_id, BootId());
  slots.set_armed_boot_id(boot_id);
  slots.clear_rearms();
  RETURN_IF_ERROR(SaveSlots(slots));
  RETURN_IF_ERROR(dependencies_.boot.SetTrial(target, kTrialAttempts));
  operation.ReportActivity(absl::StrCat("slot ", SlotName(target), " is booted next"));
  return um::StartResult::kNeedsReboot;
}

absl::Status SlotPlugin::CheckAndRearm(Slots& slots, Slot slot) {
  ASSIGN_OR_RETURN(const boot::BootState state, dependencies_.boot.Read());
  if (state.trial != slot && state.confirmed != slot) {
    return absl::FailedPreconditionError(absl::StrCat("slot ", SlotName(slot), " runs, but is not on trial"));
  }
  if (dependencies_.check) {
    RETURN_IF_ERROR(Annotate(dependencies_.check(), absl::StrCat("check of slot ", SlotName(slot))));
  }
  if (state.trial != slot || state.attempts_left >= options_.proven_attempts || slots.rearms() >= kMaxRearms) {
    return absl::OkStatus();
  }
  slots.set_rearms(slots.rearms() + 1);
  RETURN_IF_ERROR(SaveSlots(slots));
  return dependencies_.boot.RearmAttempts(slot, options_.proven_attempts);
}

absl::StatusOr<bool> SlotPlugin::IsUnproven() {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  ASSIGN_OR_RETURN(const boot::BootState state, dependencies_.boot.Read());
  return state.trial.has_value() && *state.trial != running && state.attempts_left > 0;
}

absl::StatusOr<um::RebootCheck> SlotPlugin::CheckAfterReboot(um::Operation&) {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  ASSIGN_OR_RETURN(Slots slots, LoadSlots());
  ASSIGN_OR_RETURN(const bool applied, AppliedAlready(slots, running));
  if (applied) return um::RebootCheck::kRunning;
  ASSIGN_OR_RETURN(const Slot target, Target(slots));
  if (running == target) {
    RETURN_IF_ERROR(CheckAndRearm(slots, target));
    return um::RebootCheck::kRunning;
  }
  ASSIGN_OR_RETURN(const boot::BootState state, dependencies_.boot.Read());
  ASSIGN_OR_RETURN(const std::string boot_id, BootId());
  if (boot_id == slots.armed_boot_id() && state.trial == target && state.attempts_left > 0) {
    return um::RebootCheck::kNotYet;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("boot of slot ", SlotName(target), " failed, fell back to ", SlotName(running)));
}

absl::Status SlotPlugin::Reboot() { return Annotate(dependencies_.reboot(), "reboot"); }

absl::Status SlotPlugin::Apply(um::Operation& operation) {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  ASSIGN_OR_RETURN(Slots slots, LoadSlots());
  ASSIGN_OR_RETURN(const bool applied, AppliedAlready(slots, running));
  if (applied) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Slot target, Target(slots));
  if (running != target) {
    return absl::FailedPreconditionError(absl::StrCat("apply ", options_.component_id, ": slot ", SlotName(running),
                                                      " runs instead of ", SlotName(target)));
  }
  if (options_.verify_before_confirm) {
    ASSIGN_OR_RETURN(const bool intact, Holds(target, Entry(slots, target), operation));
    if (!intact) {
      return absl::DataLossError(
          absl::StrCat("apply ", options_.component_id, ": slot ", SlotName(target), " no longer matches its digest"));
    }
  }
  RETURN_IF_ERROR(dependencies_.boot.Confirm(target));
  Close(slots);
  return SaveSlots(slots);
}

absl::Status SlotPlugin::Seal() {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  ASSIGN_OR_RETURN(Slots slots, LoadSlots());
  ASSIGN_OR_RETURN(const boot::BootState state, dependencies_.boot.Read());
  if (state.confirmed != running || state.trial.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("seal ", options_.component_id, ": slot ", SlotName(running), " runs, but is not confirmed"));
  }
  const uint64_t version = Entry(slots, running).security_version();
  if (version <= state.security_counter) return absl::OkStatus();
  return Annotate(dependencies_.boot.RaiseSecurityCounter(version), absl::StrCat("seal ", options_.component_id));
}

absl::StatusOr<um::RevertResult> SlotPlugin::Revert(um::Operation&) {
  ASSIGN_OR_RETURN(const Slot running, RunningSlot());
  ASSIGN_OR_RETURN(Slots slots, LoadSlots());
  ASSIGN_OR_RETURN(const boot::BootState state, dependencies_.boot.Read());
  if (running != state.confirmed) {
    // The slot that runs is the one to leave.
    RETURN_IF_ERROR(dependencies_.boot.CancelTrial());
    return um::RevertResult::kNeedsReboot;
  }
  if (!slots.target().empty() && slots.target() == SlotName(running)) {
    LogWarning("the slot to leave is confirmed already and stays; an update of its own may take it back",
               {{"component", options_.component_id}, {"slot", std::string(SlotName(running))}});
    Close(slots);
    RETURN_IF_ERROR(SaveSlots(slots));
    return um::RevertResult::kReverted;
  }
  RETURN_IF_ERROR(dependencies_.boot.CancelTrial());
  if (slots.target().empty()) return um::RevertResult::kReverted;
  ASSIGN_OR_RETURN(const Slot target, Target(slots));
  // What this update wrote has failed; what was there before it is as good as it was.
  if (slots.wrote_target()) RETURN_IF_ERROR(dependencies_.boot.MarkUnbootable(target));
  Close(slots);
  RETURN_IF_ERROR(SaveSlots(slots));
  return um::RevertResult::kReverted;
}

}  // namespace tandem::plugins
