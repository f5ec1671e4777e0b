#include "tools/mock-um/mock_plugin.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::mock {

using config::v1::MockPhase;
using record::v1::MockUmRecord;

MockPlugin::MockPlugin(FileSystem& fs, Stager& stager, config::v1::MockUm config)
    : fs_(fs), stager_(stager), config_(std::move(config)), file_(fs, JoinPath(config_.state_dir(), "mock.rec")) {}

absl::StatusOr<std::unique_ptr<MockPlugin>> MockPlugin::Load(FileSystem& fs, Stager& stager,
                                                             config::v1::MockUm config) {
  auto plugin = std::unique_ptr<MockPlugin>(new MockPlugin(fs, stager, std::move(config)));
  RETURN_IF_ERROR(fs.MakeFolders(plugin->config_.state_dir()));
  const absl::StatusOr<std::string> bytes = plugin->file_.Read();
  if (bytes.ok() && plugin->record_.ParseFromString(*bytes)) return plugin;
  if (!bytes.ok() && !absl::IsNotFound(bytes.status())) return bytes.status();
  for (const config::v1::MockComponent& component : plugin->config_.components()) {
    MockUmRecord::Component& installed = *plugin->record_.add_components();
    installed.set_component_id(component.component_id());
    installed.set_component_type(component.component_type());
    installed.set_version(component.version());
  }
  RETURN_IF_ERROR(plugin->Save());
  return plugin;
}

absl::Status MockPlugin::Save() { return file_.Write(record_.SerializeAsString()); }

absl::Status MockPlugin::Begin(const std::string& name, const MockPhase& phase, um::Operation& operation) {
  if (auto& crashes = (*record_.mutable_crashes())[name]; crashes < phase.crash_before()) {
    ++crashes;
    RETURN_IF_ERROR(Save());
    kill(getpid(), SIGKILL);
  }
  const absl::Duration delay = DurationOr(phase.has_delay(), phase.delay(), absl::ZeroDuration());
  for (absl::Duration waited; waited < delay; waited += absl::Milliseconds(20)) {
    if (operation.Cancelled()) return absl::CancelledError(absl::StrCat(name, " was cancelled"));
    Clock::Real().Sleep(absl::Milliseconds(20));
  }
  if (phase.fail().empty()) return absl::OkStatus();
  auto& failures = (*record_.mutable_failures())[name];
  if (phase.fail_times() != 0 && failures >= phase.fail_times()) return absl::OkStatus();
  ++failures;
  RETURN_IF_ERROR(Save());
  return absl::InternalError(phase.fail());
}

absl::Status MockPlugin::End(const std::string& name, const MockPhase& phase) {
  auto& crashes = (*record_.mutable_crashes())[name + ".after"];
  const bool crash = crashes < phase.crash_after();
  if (crash) ++crashes;
  RETURN_IF_ERROR(Save());
  if (crash) kill(getpid(), SIGKILL);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<um::InstalledComponent>> MockPlugin::Inventory() {
  std::vector<um::InstalledComponent> inventory;
  for (const MockUmRecord::Component& component : record_.components()) {
    inventory.push_back({.id = component.component_id(),
                         .type = component.component_type(),
                         .version = config_.claims_version().empty() ? component.version() : config_.claims_version(),
                         .slots = {}});
  }
  return inventory;
}

absl::Status MockPlugin::Download(const um::Artifact& artifact, um::Operation& operation) {
  const std::string path = JoinPath(config_.state_dir(), artifact.component_id + ".bin");
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(path, FileSystem::OpenMode::kCreate));
  DurableRecord progress(fs_, path + ".rec");
  return stager_.Stage(
      {.urls = artifact.urls,
       .headers = artifact.headers,
       .ca_file = {},
       .certificate_file = {},
       .key_file = {},
       .sha256 = artifact.sha256,
       .size = artifact.size,
       .chunk_size = artifact.chunk_size,
       .chunk_digests = artifact.chunk_digests},
      *file, progress,
      {.progress = [&](uint64_t done) { operation.ReportProgress(artifact.component_id, done, artifact.size); },
       .cancelled = [&] { return operation.Cancelled(); },
       .activity = [&](const std::string& text) { operation.ReportActivity(text); }});
}

absl::Status MockPlugin::Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) {
  RETURN_IF_ERROR(Begin("prepare", config_.prepare(), operation));
  for (const um::Artifact& artifact : artifacts) {
    if (config_.download() && !artifact.urls.empty()) RETURN_IF_ERROR(Download(artifact, operation));
    bool known = false;
    for (MockUmRecord::Component& component : *record_.mutable_components()) {
      if (component.component_id() != artifact.component_id) continue;
      component.set_staged(artifact.version);
      known = true;
    }
    if (!known) return absl::NotFoundError(absl::StrCat("component ", artifact.component_id, " is not this UM's"));
  }
  record_.set_switched(false);
  record_.set_rebooted(false);
  return End("prepare", config_.prepare());
}

absl::StatusOr<um::StartResult> MockPlugin::Start(um::Operation& operation) {
  RETURN_IF_ERROR(Begin("start", config_.start(), operation));
  if (!record_.switched()) {
    for (MockUmRecord::Component& component : *record_.mutable_components()) {
      if (component.staged().empty()) continue;
      component.set_previous(component.version());
      component.set_version(component.staged());
    }
    record_.set_switched(true);
  }
  RETURN_IF_ERROR(End("start", config_.start()));
  return config_.start().reboot() && !record_.rebooted() ? um::StartResult::kNeedsReboot : um::StartResult::kRunning;
}

absl::StatusOr<um::RebootCheck> MockPlugin::CheckAfterReboot(um::Operation& operation) {
  RETURN_IF_ERROR(Begin("check", config_.check(), operation));
  if (config_.start().reboot() && !record_.rebooted()) return um::RebootCheck::kNotYet;
  RETURN_IF_ERROR(End("check", config_.check()));
  return um::RebootCheck::kRunning;
}

absl::Status MockPlugin::Apply(um::Operation& operation) {
  RETURN_IF_ERROR(Begin("apply", config_.apply(), operation));
  for (MockUmRecord::Component& component : *record_.mutable_components()) component.clear_staged();
  record_.set_switched(false);
  return End("apply", config_.apply());
}

absl::StatusOr<um::RevertResult> MockPlugin::Revert(um::Operation& operation) {
  RETURN_IF_ERROR(Begin("revert", config_.revert(), operation));
  for (MockUmRecord::Component& component : *record_.mutable_components()) {
    if (record_.switched() && !component.staged().empty()) component.set_version(component.previous());
    component.clear_staged();
  }
  const bool was_switched = record_.switched();
  record_.set_switched(false);
  RETURN_IF_ERROR(End("revert", config_.revert()));
  return config_.revert().reboot() && was_switched ? um::RevertResult::kNeedsReboot : um::RevertResult::kReverted;
}

absl::Status MockPlugin::Reboot() {
  record_.set_rebooted(true);
  RETURN_IF_ERROR(Save());
  LogInfo("reboots: the process ends", {{"um", config_.node_id()}});
  _exit(0);
}

}  // namespace tandem::mock
