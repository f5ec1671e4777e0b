// The part that every BootControl has in common: what a change does to a boot record is decided by bootloader/core; a
// store keeps the record.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_POLICY_BOOT_CONTROL_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_POLICY_BOOT_CONTROL_H_

#include <functional>
#include <mutex>
#include <string>

#include "bootloader/boot_control/boot_control.h"
#include "bootloader/core/slot_policy.h"

namespace tandem::boot {

class PolicyBootControl : public BootControl {
 public:
  absl::StatusOr<BootState> Read() final;
  absl::Status MarkUnbootable(Slot slot) final;
  absl::Status SetTrial(Slot slot, uint32_t attempts) final;
  absl::Status RearmAttempts(Slot slot, uint32_t attempts) final;
  absl::Status Confirm(Slot slot) final;
  absl::Status CancelTrial() final;
  absl::Status RaiseSecurityCounter(uint64_t value) final;

 protected:
  // Changes the record; a refusal is returned as it is.
  using Change = std::function<absl::Status(BootRecord& record)>;

  // Both are called one at a time. DATA_LOSS when nothing readable is there.
  virtual absl::StatusOr<BootRecord> LoadRecord() = 0;
  // Loads the record, changes it, and makes it durable when `change` is OK and changed anything.
  virtual absl::Status ChangeRecord(const Change& change) = 0;

 private:
  absl::Status ChangeNow(const std::string& what, const std::function<ChangeResult(BootRecord&)>& change);

  std::mutex mutex_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_POLICY_BOOT_CONTROL_H_
