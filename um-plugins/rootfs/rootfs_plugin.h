// The root file system in two slots, A and B: the new image goes into the slot that does not run, is booted on trial,
// and is confirmed when the whole unit commits.
//
// What holds after a crash at any point: the running slot was never written; the other slot is bootable only after all
// of its bytes were read back and checked; SlotsRecord (state_dir/slots.rec) says what each slot holds, and is written
// before the bytes change and after they are verified.
#ifndef TANDEM_UM_PLUGINS_ROOTFS_ROOTFS_PLUGIN_H_
#define TANDEM_UM_PLUGINS_ROOTFS_ROOTFS_PLUGIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bootloader/boot_control/boot_control.h"
#include "common/image/stager.h"
#include "common/net/http_fetcher.h"
#include "common/storage/durable_record.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "tandem/config/v1/um.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "um/plugin.h"

namespace tandem::plugins {

// Boots of a slot on trial before the bootloader goes back.
inline constexpr uint32_t kTrialAttempts = 3;
// How often a system on trial that passed its own check is given its boots again. Bounded, because a system may pass
// the check and yet never be committed (its CM is dead): the watchdog must use up its boots in the end.
inline constexpr uint32_t kMaxRearms = 1;

class RootfsPlugin : public um::Plugin {
 public:
  // All references must outlive the plugin.
  struct Dependencies {
    FileSystem& fs;
    Clock& clock;
    HttpFetcher& fetcher;
    boot::BootControl& boot;
    // Restarts the computer; may return before it happens.
    std::function<absl::Status()> reboot;
    // Checks the system that runs, after its first boot.
    std::function<absl::Status()> check;
  };

  // `config.rootfs()` must have its required fields; `config.state_dir()` must exist.
  RootfsPlugin(Dependencies dependencies, config::v1::UmConfig config);

  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override;
  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override;
  absl::StatusOr<um::StartResult> Start(um::Operation& operation) override;
  absl::StatusOr<um::RebootCheck> CheckAfterReboot(um::Operation& operation) override;
  absl::Status Apply(um::Operation& operation) override;
  absl::StatusOr<um::RevertResult> Revert(um::Operation& operation) override;
  // The boot record's security counter rises to what the running slot's release says.
  absl::Status Seal() override;
  absl::Status Reboot() override;
  bool SwitchesBoot() const override { return true; }

 private:
  using Slots = record::v1::SlotsRecord;

  // FAILED_PRECONDITION when the kernel's command line does not tell.
  absl::StatusOr<boot::Slot> RunningSlot();
  absl::StatusOr<std::string> BootId();
  std::string SlotPath(boot::Slot slot) const;

  absl::StatusOr<Slots> LoadSlots();
  absl::Status SaveSlots(const Slots& slots);
  // What the running system says of itself where it can be asked, or else what was installed there.
  std::string RunningVersion(Slots& slots, boot::Slot running);
  // The slot that `slots` names as the target; FAILED_PRECONDITION when no update is prepared.
  static absl::StatusOr<boot::Slot> Target(const Slots& slots);

  // Apply() has ended, whether or not anybody wrote that down before a crash: no update is open, and what runs is
  // confirmed.
  absl::StatusOr<bool> AppliedAlready(const Slots& slots, boot::Slot running);

  // Writes nothing when the running slot has the artifact's bytes: OK when its version is the artifact's, too;
  // FAILED_PRECONDITION when it calls itself otherwise, because no copy of the same bytes could change that.
  absl::Status PrepareSlot(const um::Artifact& artifact, um::Operation& operation);
  // True when the slot holds these bytes, read back; an error only when that cannot be told.
  absl::StatusOr<bool> Holds(boot::Slot slot, const Slots::Slot& content, um::Operation& operation);
  absl::Status Write(boot::Slot slot, const um::Artifact& artifact, um::Operation& operation);
  // The new system runs: checks it and gives it its boots back, a bounded number of times.
  absl::Status CheckAndRearm(Slots& slots, boot::Slot slot);

  Dependencies dependencies_;
  const config::v1::UmConfig config_;
  const std::string component_id_;
  Stager stager_;
  DurableRecord record_;
};

// INVALID_ARGUMENT when the configuration is wrong. Looks at nothing else.
absl::Status CheckRootfsConfig(const config::v1::UmConfig& config);

// The plugin over the machine's files, clock and network. The errors of CheckRootfsConfig().
absl::StatusOr<std::unique_ptr<um::Plugin>> MakeRootfsPlugin(const config::v1::UmConfig& config);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_ROOTFS_ROOTFS_PLUGIN_H_
