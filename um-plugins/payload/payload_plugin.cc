#include "um-plugins/payload/payload_plugin.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/config/yaml_config.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "um/reserve.h"

namespace tandem::plugins {
namespace {

constexpr char kVersions[] = "versions";
constexpr char kStaging[] = "staging";
constexpr char kCurrent[] = "current";
constexpr char kPayload[] = "payload";
constexpr size_t kDigestSuffix = 9;

// "1.2-0a1b2c3d" -> "1.2"; what was not named by us is its own version.
std::string VersionOf(const std::string& name) {
  if (name.size() <= kDigestSuffix || name[name.size() - kDigestSuffix] != '-') return name;
  const std::string digits = name.substr(name.size() - kDigestSuffix + 1);
  const bool hex = std::all_of(digits.begin(), digits.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
  });
  return hex ? name.substr(0, name.size() - kDigestSuffix) : name;
}

// A version becomes a file name, so it must not lead elsewhere.
absl::Status CheckVersion(const std::string& version) {
  const bool plain = std::all_of(version.begin(), version.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("._+-~:").find(c) != std::string::npos;
  });
  if (plain && !version.empty() && version[0] != '.' && version.size() <= 200) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("version \"", version, "\" cannot be a folder's name: use letters, digits and ._+-~:"));
}

}  // namespace

PayloadPlugin::PayloadPlugin(Dependencies dependencies, config::v1::UmConfig config)
    : dependencies_(std::move(dependencies)),
      config_(std::move(config)),
      stager_(dependencies_.fetcher, dependencies_.clock),
      record_(dependencies_.fs, JoinPath(config_.state_dir(), "payload.rec")) {}

// ---- What is there ----

absl::StatusOr<PayloadPlugin::Record> PayloadPlugin::LoadRecord() {
  Record record;
  // The copy before the newest has the same names, at most a flag less; and each step looks at the symlinks.
  const absl::StatusOr<std::string> bytes = record_.ReadOrRestorePrevious();
  if (absl::IsNotFound(bytes.status())) return record;
  RETURN_IF_ERROR(bytes.status());
  if (!record.ParseFromString(*bytes))
    return absl::DataLossError(absl::StrCat(record_.path(), " cannot be understood"));
  return record;
}

absl::Status PayloadPlugin::SaveRecord(const Record& record) { return record_.Write(record.SerializeAsString()); }

absl::StatusOr<const PayloadPlugin::Config*> PayloadPlugin::FindConfig(const std::string& component_id) const {
  for (const Config& config : config_.payload().components()) {
    if (config.component_id() == component_id) return &config;
  }
  return absl::InvalidArgumentError(absl::StrCat("no component ", component_id, " is configured here"));
}

absl::StatusOr<std::string> PayloadPlugin::Active(const Config& config) {
  const absl::StatusOr<std::string> target = dependencies_.fs.ReadSymlink(JoinPath(config.folder(), kCurrent));
  if (absl::IsNotFound(target.status())) return std::string();
  RETURN_IF_ERROR(Annotate(target.status(), absl::StrCat("find the active version of ", config.component_id())));
  return target->substr(target->rfind('/') + 1);
}

absl::StatusOr<std::vector<um::InstalledComponent>> PayloadPlugin::Inventory() {
  std::vector<um::InstalledComponent> components;
  for (const Config& config : config_.payload().components()) {
    ASSIGN_OR_RETURN(const std::string active, Active(config));
    components.push_back({.id = config.component_id(), .type = config.component_type(), .version = VersionOf(active)});
  }
  return components;
}

// ---- Prepare ----

absl::Status PayloadPlugin::Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) {
  std::set<std::string> seen;
  for (const um::Artifact& artifact : artifacts) {
    RETURN_IF_ERROR(FindConfig(artifact.component_id).status());
    if (!seen.insert(artifact.component_id).second) {
      return absl::InvalidArgumentError(absl::StrCat("two artifacts for component ", artifact.component_id));
    }
  }
  Record record;
  for (const um::Artifact& artifact : artifacts) {
    ASSIGN_OR_RETURN(Record::Component component,
                     Annotate(PrepareComponent(artifact, operation),
                              absl::StrCat("prepare ", artifact.component_id, " ", artifact.version)));
    *record.add_components() = std::move(component);
  }
  record.set_prepared(true);
  return SaveRecord(record);
}

absl::StatusOr<PayloadPlugin::Record::Component> PayloadPlugin::PrepareComponent(const um::Artifact& artifact,
                                                                                 um::Operation& operation) {
  ASSIGN_OR_RETURN(const Config* const config, FindConfig(artifact.component_id));
  RETURN_IF_ERROR(CheckVersion(artifact.version));
  for (const char* const name : {kVersions, kStaging}) {
    // Whoever reads the payload is seldom root, and the umask is not the release's business.
    RETURN_IF_ERROR(dependencies_.fs.MakeSharedFolders(JoinPath(config->folder(), name)));
    // Power may have gone between the two steps of that.
    RETURN_IF_ERROR(dependencies_.fs.ShareWithAll(JoinPath(config->folder(), name)));
  }
  Record::Component component;
  component.set_component_id(artifact.component_id);
  ASSIGN_OR_RETURN(*component.mutable_previous(), Active(*config));
  ASSIGN_OR_RETURN(*component.mutable_target(), NameOf(*config, artifact));
  // The version before the active one is kept until here, and room is needed now.
  RETURN_IF_ERROR(RemoveAllBut(JoinPath(config->folder(), kVersions), {component.previous(), component.target()}));
  RETURN_IF_ERROR(RemoveAllBut(JoinPath(config->folder(), kStaging), {component.target()}));

  ASSIGN_OR_RETURN(const bool complete, IsComplete(*config, artifact, component.target(), operation));
  if (!complete) {
    if (component.target() == component.previous()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the active version is damaged and cannot be replaced by itself; install another version"));
    }
    component.set_wrote_target(true);
    RETURN_IF_ERROR(Bring(*config, artifact, component.target(), operation));
  }
  operation.ReportProgress(artifact.component_id, artifact.size, artifact.size);
  return component;
}

absl::StatusOr<std::string> PayloadPlugin::NameOf(const Config& config, const um::Artifact& artifact) {
  if (!artifact.sha256.empty()) {
    return absl::StrCat(artifact.version, "-", HexEncode(artifact.sha256).substr(0, kDigestSuffix - 1));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, dependencies_.fs.List(JoinPath(config.folder(), kVersions)));
  for (const std::string& name : names) {
    if (VersionOf(name) == artifact.version) return name;
  }
  return absl::NotFoundError("no source is known for it, and it is not kept here");
}

absl::Status PayloadPlugin::RemoveAllBut(const std::string& folder, const std::vector<std::string>& keep) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, dependencies_.fs.List(folder));
  for (const std::string& name : names) {
    if (std::find(keep.begin(), keep.end(), name) != keep.end()) continue;
    RETURN_IF_ERROR(dependencies_.fs.RemoveTree(JoinPath(folder, name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> PayloadPlugin::IsComplete(const Config& config, const um::Artifact& artifact,
                                               const std::string& name, um::Operation& operation) {
  const std::string folder = JoinPath(JoinPath(config.folder(), kVersions), name);
  if (!dependencies_.fs.Exists(folder)) return false;
  // An unpacked version has no digest of its own; it was renamed here only after all of it was durable.
  if (config.unpack() || artifact.sha256.empty()) return true;
  absl::StatusOr<std::unique_ptr<File>> file =
      dependencies_.fs.Open(JoinPath(folder, kPayload), FileSystem::OpenMode::kReadOnly);
  if (absl::IsNotFound(file.status())) return false;
  RETURN_IF_ERROR(file.status());
  DurableRecord unused(dependencies_.fs, JoinPath(config_.state_dir(), "unused.rec"));
  const absl::Status status = stager_.Stage({.sha256 = artifact.sha256, .size = artifact.size}, **file, unused,
                                            {.cancelled = [&] { return operation.Cancelled(); }});
  if (absl::IsNotFound(status)) return false;
  RETURN_IF_ERROR(status);
  return true;
}

absl::Status PayloadPlugin::Bring(const Config& config, const um::Artifact& artifact, const std::string& name,
                                  um::Operation& operation) {
  FileSystem& fs = dependencies_.fs;
  const std::string versions = JoinPath(config.folder(), kVersions);
  const std::string staging = JoinPath(config.folder(), kStaging);
  const std::string folder = JoinPath(staging, name);
  const std::string payload = JoinPath(folder, kPayload);
  DurableRecord progress(fs, JoinPath(config_.state_dir(), absl::StrCat("stage-", config.component_id(), ".rec")));
  // What is there under that name is damaged.
  RETURN_IF_ERROR(fs.RemoveTree(JoinPath(versions, name)));
  if (!fs.Exists(payload)) RETURN_IF_ERROR(progress.Clear());
  RETURN_IF_ERROR(fs.MakeSharedFolders(folder));
  RETURN_IF_ERROR(fs.ShareWithAll(folder));
  {
    ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(payload, FileSystem::OpenMode::kCreate));
    RETURN_IF_ERROR(fs.ShareWithAll(payload));
    ASSIGN_OR_RETURN(const uint64_t have, file->Size());
    ASSIGN_OR_RETURN(const uint64_t room, um::RoomBesideReserve(fs, folder, config_.reserve_bytes()));
    if (artifact.size > have && artifact.size - have > room) {
      return absl::ResourceExhaustedError(absl::StrCat(artifact.size, " bytes do not fit into ", config.folder(),
                                                       ", which has ", room, " left beside the reserve"));
    }
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
    const StageObserver observer{
        .progress = [&](uint64_t done) { operation.ReportProgress(artifact.component_id, done, artifact.size); },
        .cancelled = [&] { return operation.Cancelled(); },
        .activity = [&](const std::string& text) { operation.ReportActivity(text); }};
    RETURN_IF_ERROR(stager_.Stage(request, *file, progress, observer));
  }
  RETURN_IF_ERROR(fs.SyncFolder(folder));
  std::string complete = folder;
  if (config.unpack()) {
    operation.ReportActivity(absl::StrCat("unpacking ", config.component_id()));
    complete = absl::StrCat(folder, ".unpacked");
    RETURN_IF_ERROR(fs.RemoveTree(complete));
    RETURN_IF_ERROR(fs.MakeSharedFolders(complete));
    ASSIGN_OR_RETURN(const uint64_t room, um::RoomBesideReserve(fs, complete, config_.reserve_bytes()));
    if (const absl::Status unpacked = dependencies_.unpack(payload, complete, room); !unpacked.ok()) {
      // Half a tree is of no use, and may take all the room that there is.
      if (const absl::Status removed = fs.RemoveTree(complete); !removed.ok()) {
        LogWarning("half a tree is left", {{"path", complete}, {"error", ToPersonText(removed)}});
      }
      return unpacked;
    }
  }
  // First the new name, then the loss of the old one.
  RETURN_IF_ERROR(fs.Rename(complete, JoinPath(versions, name)));
  RETURN_IF_ERROR(fs.SyncFolder(versions));
  RETURN_IF_ERROR(fs.SyncFolder(staging));
  RETURN_IF_ERROR(progress.Clear());
  return RemoveAllBut(staging, {});
}

// ---- Switch ----

absl::Status PayloadPlugin::Switch(const Config& config, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string active, Active(config));
  if (active == name) return absl::OkStatus();
  const std::string link = JoinPath(config.folder(), kCurrent);
  if (!name.empty()) return dependencies_.fs.SwitchSymlink(JoinPath(kVersions, name), link);
  RETURN_IF_ERROR(dependencies_.fs.Remove(link));
  return dependencies_.fs.SyncFolder(config.folder());
}

absl::Status PayloadPlugin::Reload(const Config& config, const std::string& name, um::Operation& operation) {
  if (config.reload_command().empty()) return absl::OkStatus();
  operation.ReportActivity(absl::StrCat("reloading ", config.component_id()));
  Command command{.argv = {config.reload_command().begin(), config.reload_command().end()}};
  command.timeout = DurationOr(config.has_reload_timeout(), config.reload_timeout(), absl::Seconds(30));
  command.environment = {{"TANDEM_CURRENT", JoinPath(config.folder(), kCurrent)}, {"TANDEM_VERSION", VersionOf(name)}};
  return Annotate(dependencies_.run(command),
                  absl::StrCat("reload ", config.component_id(), " with version ", VersionOf(name)));
}

absl::StatusOr<um::StartResult> PayloadPlugin::Start(um::Operation& operation) {
  ASSIGN_OR_RETURN(Record record, LoadRecord());
  if (!record.prepared()) return absl::FailedPreconditionError("start: no update is prepared");
  record.set_started(true);
  RETURN_IF_ERROR(SaveRecord(record));
  // All symlinks first: a reload may look at more than one component.
  for (const Record::Component& component : record.components()) {
    ASSIGN_OR_RETURN(const Config* const config, FindConfig(component.component_id()));
    RETURN_IF_ERROR(Annotate(Switch(*config, component.target()), absl::StrCat("start ", component.component_id())));
  }
  for (const Record::Component& component : record.components()) {
    ASSIGN_OR_RETURN(const Config* const config, FindConfig(component.component_id()));
    RETURN_IF_ERROR(Reload(*config, component.target(), operation));
  }
  return um::StartResult::kRunning;
}

absl::Status PayloadPlugin::Apply(um::Operation&) {
  ASSIGN_OR_RETURN(const Record record, LoadRecord());
  for (const Record::Component& component : record.components()) {
    ASSIGN_OR_RETURN(const Config* const config, FindConfig(component.component_id()));
    ASSIGN_OR_RETURN(const std::string active, Active(*config));
    if (active == component.target()) continue;
    return absl::FailedPreconditionError(absl::StrCat("apply ", component.component_id(), ": ", VersionOf(active),
                                                      " is active instead of ", VersionOf(component.target())));
  }
  return SaveRecord(Record());
}

absl::StatusOr<um::RevertResult> PayloadPlugin::Revert(um::Operation& operation) {
  ASSIGN_OR_RETURN(const Record record, LoadRecord());
  for (const Record::Component& component : record.components()) {
    ASSIGN_OR_RETURN(const Config* const config, FindConfig(component.component_id()));
    RETURN_IF_ERROR(Annotate(Switch(*config, component.previous()), absl::StrCat("revert ", component.component_id())));
  }
  for (const Record::Component& component : record.components()) {
    // Nothing was active before: there is nothing to load.
    if (!record.started() || component.previous().empty()) continue;
    ASSIGN_OR_RETURN(const Config* const config, FindConfig(component.component_id()));
    RETURN_IF_ERROR(Reload(*config, component.previous(), operation));
  }
  for (const Record::Component& component : record.components()) {
    if (!component.wrote_target()) continue;
    ASSIGN_OR_RETURN(const Config* const config, FindConfig(component.component_id()));
    const std::string versions = JoinPath(config->folder(), kVersions);
    RETURN_IF_ERROR(dependencies_.fs.RemoveTree(JoinPath(versions, component.target())));
    RETURN_IF_ERROR(dependencies_.fs.SyncFolder(versions));
  }
  for (const Config& config : config_.payload().components()) {
    RETURN_IF_ERROR(dependencies_.fs.RemoveTree(JoinPath(config.folder(), kStaging)));
  }
  RETURN_IF_ERROR(SaveRecord(Record()));
  return um::RevertResult::kReverted;
}

}  // namespace tandem::plugins
