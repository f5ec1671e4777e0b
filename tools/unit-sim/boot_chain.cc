#include "tools/unit-sim/boot_chain.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tools/unit-sim/uboot_machine.h"

namespace tandem::sim {
namespace {

absl::Status ProvisionRecord(const std::string& path) {
  FileSystem& fs = FileSystem::Real();
  return fs.Exists(path) ? absl::OkStatus() : boot::BootRecordStore(fs, path).Create(boot::BootRecord());
}

// Whoever boots by a boot record: decides, and writes before the jump.
absl::StatusOr<boot::Decision> DecideByRecord(const std::string& path) {
  boot::BootRecordStore store(FileSystem::Real(), path);
  ASSIGN_OR_RETURN(const boot::LoadedRecord loaded, store.Load());
  boot::Decision decision = boot::Decide(loaded);
  if (decision.write) RETURN_IF_ERROR(store.Save(loaded, decision.record));
  return decision;
}

// A bootloader that is part of this program, with the real policy.
class RecordBootChain : public BootChain {
 public:
  explicit RecordBootChain(std::string record) : record_(std::move(record)) {}

  absl::Status Provision() override { return ProvisionRecord(record_); }

  absl::StatusOr<BootChoice> Choose(const std::function<void(const std::string&)>&) override {
    ASSIGN_OR_RETURN(const boot::Decision decision, DecideByRecord(record_));
    return BootChoice{.slot = decision.slot,
                      .reason = boot::ReasonText(decision.reason),
                      .trial = decision.reason == boot::BootReason::kTrial,
                      .attempts_left = decision.record.attempts_left,
                      .cmdline = absl::StrCat("tandem.slot=", boot::SlotName(decision.slot))};
  }

  absl::Status MarkUnbootable(boot::Slot slot) override {
    return boot::RecordBootControl(FileSystem::Real(), record_).MarkUnbootable(slot);
  }

 private:
  const std::string record_;
};

class UbootBootChain : public BootChain {
 public:
  explicit UbootBootChain(const Config& config)
      : config_(config), environment_(JoinPath(config.unit, "fw_env.config")) {}

  absl::Status Provision() override {
    RETURN_IF_ERROR(ProvisionRecord(config_.uboot->record));
    if (FileSystem::Real().Exists(config_.uboot->disk)) return absl::OkStatus();
    return FormatUbootDisk(Machine(boot::Slot::kA), boot::VariablesFromRecord({}));
  }

  absl::StatusOr<BootChoice> Choose(const std::function<void(const std::string&)>& console) override {
    for (int failed = 0; failed < config_.max_failed_boots; ++failed) {
      ASSIGN_OR_RETURN(const boot::Decision rom, DecideByRecord(config_.uboot->record));
      if (rom.slot == boot::Slot::kNone) {
        return BootChoice{.reason = absl::StrCat("ROM: ", boot::ReasonText(rom.reason)), .cmdline = {}};
      }
      const absl::StatusOr<boot::Slot> slot = BootUboot(Machine(rom.slot), config_.uboot->timeout);
      if (slot.ok()) return Describe(rom, *slot);
      console(absl::StrCat("ROM: bootloader copy ", boot::SlotName(rom.slot), " (", boot::ReasonText(rom.reason),
                           ") did not boot: ", ToPersonText(slot.status()), "; reset"));
    }
    return BootChoice{.reason = "ROM: no copy of the bootloader boots", .cmdline = {}};
  }

  absl::Status MarkUnbootable(boot::Slot slot) override { return Environment().MarkUnbootable(slot); }

 private:
  UbootMachine Machine(boot::Slot copy) const {
    const UbootChainConfig& uboot = *config_.uboot;
    return {.firmware = copy == boot::Slot::kA ? uboot.copy_a : uboot.copy_b,
            .disk = uboot.disk,
            .scripts = uboot.scripts,
            .folder = config_.unit};
  }
  boot::UbootBootControl Environment() const { return {FileSystem::Real(), environment_}; }

  absl::StatusOr<BootChoice> Describe(const boot::Decision& rom, boot::Slot slot) {
    ASSIGN_OR_RETURN(const boot::BootState state, Environment().Read());
    const bool slot_on_trial = state.trial == slot;
    const bool copy_on_trial = rom.reason == boot::BootReason::kTrial;
    return BootChoice{
        .slot = slot,
        .reason = absl::StrCat("U-Boot copy ", boot::SlotName(rom.slot), copy_on_trial ? " (trial)" : "", ", ",
                               boot::ReasonText(slot_on_trial             ? boot::BootReason::kTrial
                                                : state.trial.has_value() ? boot::BootReason::kTrialFailed
                                                                          : boot::BootReason::kActive)),
        .trial = slot_on_trial || copy_on_trial,
        .attempts_left = copy_on_trial && !slot_on_trial ? rom.record.attempts_left : state.attempts_left,
        .cmdline = absl::StrCat("rauc.slot=", boot::SlotName(slot), " tandem.bootloader=", boot::SlotName(rom.slot))};
  }

  const Config& config_;
  const std::string environment_;
};

}  // namespace

std::unique_ptr<BootChain> MakeBootChain(const Config& config) {
  if (config.uboot.has_value()) return std::make_unique<UbootBootChain>(config);
  return std::make_unique<RecordBootChain>(config.boot_record);
}

}  // namespace tandem::sim
