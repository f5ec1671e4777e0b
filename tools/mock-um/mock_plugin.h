// A plugin whose behaviour in each phase is written in a YAML file; its pretended installation survives restarts.
#ifndef TANDEM_TOOLS_MOCK_UM_MOCK_PLUGIN_H_
#define TANDEM_TOOLS_MOCK_UM_MOCK_PLUGIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/image/stager.h"
#include "common/storage/durable_record.h"
#include "tandem/config/v1/mock_um.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "um/plugin.h"

namespace tandem::mock {

class MockPlugin : public um::Plugin {
 public:
  // `fs` and `stager` must outlive it.
  static absl::StatusOr<std::unique_ptr<MockPlugin>> Load(FileSystem& fs, Stager& stager, config::v1::MockUm config);

  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override;
  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override;
  absl::StatusOr<um::StartResult> Start(um::Operation& operation) override;
  absl::StatusOr<um::RebootCheck> CheckAfterReboot(um::Operation& operation) override;
  absl::Status Apply(um::Operation& operation) override;
  absl::StatusOr<um::RevertResult> Revert(um::Operation& operation) override;
  absl::Status Reboot() override;
  bool SwitchesBoot() const override { return config_.switches_boot(); }

 private:
  MockPlugin(FileSystem& fs, Stager& stager, config::v1::MockUm config);

  // Delay, crash and failure of a phase, as configured.
  absl::Status Begin(const std::string& name, const config::v1::MockPhase& phase, um::Operation& operation);
  absl::Status End(const std::string& name, const config::v1::MockPhase& phase);
  absl::Status Save();
  absl::Status Download(const um::Artifact& artifact, um::Operation& operation);

  FileSystem& fs_;
  Stager& stager_;
  const config::v1::MockUm config_;
  DurableRecord file_;
  record::v1::MockUmRecord record_;
};

}  // namespace tandem::mock

#endif  // TANDEM_TOOLS_MOCK_UM_MOCK_PLUGIN_H_
