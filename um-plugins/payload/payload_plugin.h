// Files in versioned folders behind a symlink: models, configuration, applications.
//
//   {folder}/versions/{version}-{first 8 hex digits of the SHA-256}/payload      or the unpacked tar
//   {folder}/current -> versions/...
//
// The symlink is the truth about what is active. A folder below versions/ is complete: it is made elsewhere and
// renamed. What holds after a crash at any point: each `current` points to a whole version, the old or the new one; the
// running update (state_dir/payload.rec) is finished by the next Start(), or taken back by the next Revert(), for all
// components.
#ifndef TANDEM_UM_PLUGINS_PAYLOAD_PAYLOAD_PLUGIN_H_
#define TANDEM_UM_PLUGINS_PAYLOAD_PAYLOAD_PLUGIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/image/stager.h"
#include "common/net/http_fetcher.h"
#include "common/process/run_command.h"
#include "common/storage/durable_record.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "tandem/config/v1/um.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "um/plugin.h"

namespace tandem::plugins {

class PayloadPlugin : public um::Plugin {
 public:
  // All references must outlive the plugin.
  struct Dependencies {
    FileSystem& fs;
    Clock& clock;
    HttpFetcher& fetcher;
    // Runs a reload command.
    std::function<absl::Status(const Command&)> run;
    // Unpacks an archive into an existing folder, durably, to at most so many bytes.
    std::function<absl::Status(const std::string& archive, const std::string& folder, uint64_t max_bytes)> unpack;
  };

  // `config.payload()` must have its required fields; `config.state_dir()` must exist.
  PayloadPlugin(Dependencies dependencies, config::v1::UmConfig config);

  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override;
  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override;
  absl::StatusOr<um::StartResult> Start(um::Operation& operation) override;
  absl::Status Apply(um::Operation& operation) override;
  absl::StatusOr<um::RevertResult> Revert(um::Operation& operation) override;

 private:
  using Config = config::v1::PayloadComponent;
  using Record = record::v1::PayloadRecord;

  absl::StatusOr<Record> LoadRecord();
  absl::Status SaveRecord(const Record& record);
  absl::StatusOr<const Config*> FindConfig(const std::string& component_id) const;

  // The name below versions/ that is active; empty when there is none.
  absl::StatusOr<std::string> Active(const Config& config);
  // The name that the artifact gets, or has already when only its version is known.
  absl::StatusOr<std::string> NameOf(const Config& config, const um::Artifact& artifact);
  absl::Status RemoveAllBut(const std::string& folder, const std::vector<std::string>& keep);
  absl::StatusOr<Record::Component> PrepareComponent(const um::Artifact& artifact, um::Operation& operation);
  // True when the version is there; reads a payload file back.
  absl::StatusOr<bool> IsComplete(const Config& config, const um::Artifact& artifact, const std::string& name,
                                  um::Operation& operation);
  absl::Status Bring(const Config& config, const um::Artifact& artifact, const std::string& name,
                     um::Operation& operation);
  absl::Status Switch(const Config& config, const std::string& name);
  absl::Status Reload(const Config& config, const std::string& name, um::Operation& operation);

  Dependencies dependencies_;
  const config::v1::UmConfig config_;
  Stager stager_;
  DurableRecord record_;
};

// INVALID_ARGUMENT when the configuration is wrong. Looks at nothing else.
absl::Status CheckPayloadConfig(const config::v1::UmConfig& config);

// The plugin over the machine's files, clock and network. The errors of CheckPayloadConfig().
absl::StatusOr<std::unique_ptr<um::Plugin>> MakePayloadPlugin(const config::v1::UmConfig& config);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_PAYLOAD_PAYLOAD_PLUGIN_H_
