// What is booted from one of two slots, A and B: a root file system, the bootloader itself. The new image goes into the
// slot that does not run, is booted on trial, and is confirmed when the whole unit commits.
//
// What holds after a crash at any point: the running slot was never written; the other slot is bootable only after all
// of its bytes were read back and checked; SlotsRecord (state_dir/slots.rec) says what each slot holds, and is written
// before the bytes change and after they are verified.
#ifndef TANDEM_UM_PLUGINS_SLOTS_SLOT_PLUGIN_H_
#define TANDEM_UM_PLUGINS_SLOTS_SLOT_PLUGIN_H_

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
#include "tandem/config/v1/tls.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "um-plugins/slots/boot_stages.h"
#include "um/plugin.h"

namespace tandem::plugins {

// Boots of a slot on trial before the bootloader goes back.
inline constexpr uint32_t kTrialAttempts = 3;
// How often a system on trial that passed its own check is given its boots again. Bounded, because a system may pass
// the check and yet never be committed (its CM is dead): the watchdog must use up its boots in the end.
inline constexpr uint32_t kMaxRearms = 1;

struct SlotPluginOptions {
  std::string component_id;
  std::string component_type;
  // Of the plugin's records; must exist.
  std::string state_dir;
  // Block devices or files.
  std::string slot_a;
  std::string slot_b;
  // The running slot is the word on the kernel's command line that begins with one of these, such as "rauc.slot=".
  std::string cmdline_file = "/proc/cmdline";
  std::vector<std::string> slot_keys;
  // Tells one boot from the next.
  std::string boot_id_file = "/proc/sys/kernel/random/boot_id";
  // Holds the version that runs; may be empty.
  std::string version_file;
  // Of what the unit's maker put into the slot that runs at first.
  std::string factory_version;
  // Read the whole slot back and check its digest before it is confirmed.
  bool verify_before_confirm = false;
  // Read the whole slot back from the medium after it was written, before it is put on trial.
  bool read_back = false;
  // Boots that a slot is given again once it has run and passed its check. More than kTrialAttempts for a stage that is
  // also used up by the failed boots of a later one, so that each failure is found at its own stage.
  uint32_t proven_attempts = kTrialAttempts;
  // Servers that artifacts come from.
  config::v1::Tls artifact_tls;
};

class SlotPlugin : public um::Plugin {
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
    std::function<absl::Status()> check = {};
    // All boot stages of this computer; null: this is the only one.
    BootStages* stages = nullptr;
    // Called before a slot is written (true) and after (false), for a medium that protects itself.
    std::function<absl::Status(boot::Slot slot, bool writable)> set_writable = {};
  };

  SlotPlugin(Dependencies dependencies, SlotPluginOptions options);
  ~SlotPlugin() override;

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
  // Whether the artifact can be written there: the slot is free, and large enough.
  absl::Status CheckFits(boot::Slot slot, const um::Artifact& artifact);
  // Does `work` while the slot may be written.
  absl::Status Unlocked(boot::Slot slot, absl::FunctionRef<absl::Status()> work);
  // True when the slot is on trial and has not run yet.
  absl::StatusOr<bool> IsUnproven();
  absl::Status Write(boot::Slot slot, const um::Artifact& artifact, um::Operation& operation);
  // The new system runs: checks it and gives it its boots back, a bounded number of times.
  absl::Status CheckAndRearm(Slots& slots, boot::Slot slot);

  Dependencies dependencies_;
  const SlotPluginOptions options_;
  Stager stager_;
  DurableRecord record_;
};

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_SLOTS_SLOT_PLUGIN_H_
