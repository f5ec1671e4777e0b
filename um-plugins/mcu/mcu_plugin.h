// Firmware of a microcontroller with MCUboot (or a bootloader like it) that is managed over SMP, such as any Zephyr
// device.
//
// The new image is uploaded into the slot that does not run, tested (booted once), and confirmed when the whole unit
// commits. MCUboot's test is one-shot: whoever resets the device meanwhile gets the old image back. So the plugin looks
// before each answer, and sets the test again: `test_attempts` times in a row, anew after each time that it was seen
// running, and kMcuTestRounds times that in all.
//
// What holds after a crash at any point, of the device too: the running slot was never written; an image that has not
// run is never confirmed; McuRecord (state_dir/mcu.rec) says which image the update leads to and from, and is written
// before the device is told to boot it. What runs is always asked of the device.
#ifndef TANDEM_UM_PLUGINS_MCU_MCU_PLUGIN_H_
#define TANDEM_UM_PLUGINS_MCU_MCU_PLUGIN_H_

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
#include "um-plugins/mcu/mcu_device.h"
#include "um-plugins/mcu/smp_transport.h"
#include "um/plugin.h"

namespace tandem::plugins {

// Boots in a row in which a new image does not come up, before its update has failed.
inline constexpr uint32_t kMcuTestAttempts = 3;
// So many times as many boots in all, however often it comes up: an image that answers once and then dies must come to
// an end, and a good one must outlast the ignition cycles of a long trial.
inline constexpr uint32_t kMcuTestRounds = 10;
// Resets until the old image must run again; more than any trial has boots.
inline constexpr int kMaxRevertResets = 8;

class McuPlugin : public um::Plugin {
 public:
  // All references must outlive the plugin.
  struct Dependencies {
    FileSystem& fs;
    Clock& clock;
    HttpFetcher& fetcher;
    // Opens the line to the device, anew for each method.
    smp::Connect connect;
    // Runs the reset command.
    std::function<absl::Status(const Command&)> run;
  };

  // `config.mcu()` must have its required fields; `config.state_dir()` must exist.
  McuPlugin(Dependencies dependencies, config::v1::UmConfig config);

  // A device that does not answer has the version that was last seen running confirmed; UNAVAILABLE when none was.
  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override;
  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override;
  absl::StatusOr<um::StartResult> Start(um::Operation& operation) override;
  absl::StatusOr<um::RebootCheck> CheckAfterReboot(um::Operation& operation) override;
  absl::Status Apply(um::Operation& operation) override;
  absl::StatusOr<um::RevertResult> Revert(um::Operation& operation) override;
  // The device's security counter rises to what the release says, where the device has one.
  absl::Status Seal() override;

 private:
  using Record = record::v1::McuRecord;

  absl::StatusOr<Record> LoadRecord();
  absl::Status SaveRecord(const Record& record);
  // For people and releases.
  std::string VersionOf(const Record& record, const smp::ImageSlot& slot) const;
  Record::Image ImageOf(const Record& record, const smp::ImageSlot& slot) const;
  std::unique_ptr<McuDevice> Device(const um::Operation* operation);
  std::string StagedPath() const { return JoinPath(config_.state_dir(), "image.bin"); }

  // OK with an empty hash: the running image is the wanted one.
  absl::Status PrepareImage(const um::Artifact& artifact, um::Operation& operation);
  // The image that the device has already and that is the artifact; empty hash: none.
  absl::StatusOr<Record::Image> FindOnDevice(const Record& record, const McuState& state, const um::Artifact& artifact);
  absl::StatusOr<Record::Image> FetchAndCheck(const um::Artifact& artifact, McuDevice& device, const McuState& state,
                                              um::Operation& operation);
  absl::Status Stage(const um::Artifact& artifact, File& file, um::Operation& operation);
  absl::Status Upload(const um::Artifact& artifact, const std::string& hash, McuDevice& device,
                      um::Operation& operation);
  absl::Status DropStaged();

  // The target runs, or the error says why not.
  absl::StatusOr<McuState> BootTarget(Record& record, McuDevice& device, um::Operation& operation);
  // The target came up: what takes it away from now on is not its fault.
  absl::Status NoteRunning(Record& record);
  absl::Status GiveUp(Record& record, const absl::Status& why);
  // One step towards the old image.
  absl::Status StepBack(const Record& record, const McuState& state, McuDevice& device);

  Dependencies dependencies_;
  const config::v1::UmConfig config_;
  const std::string component_id_;
  Stager stager_;
  DurableRecord record_;
};

// INVALID_ARGUMENT when the configuration is wrong. Looks at nothing else.
absl::Status CheckMcuConfig(const config::v1::UmConfig& config);

// The plugin over the machine's files, clock, network and lines. The errors of CheckMcuConfig().
absl::StatusOr<std::unique_ptr<um::Plugin>> MakeMcuPlugin(const config::v1::UmConfig& config);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_MCU_MCU_PLUGIN_H_
