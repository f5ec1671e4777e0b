// A BootControl in memory, with the bootloader's side of it, that fails where a test wants it to.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_FAKE_BOOT_CONTROL_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_FAKE_BOOT_CONTROL_H_

#include <cstdint>
#include <map>
#include <mutex>

#include "bootloader/boot_control/policy_boot_control.h"

namespace tandem::boot {

class FakeBootControl : public PolicyBootControl {
 public:
  // ---- For tests ----

  // What the bootloader does at a reset: the slot it jumps to, with the real policy.
  Decision Boot();
  // The n-th change from now (1: the next) fails with `status` and changes nothing.
  void FailCall(uint64_t n, absl::Status status);
  // The n-th change from now fails after it was made, as when the power goes right after the write.
  void FailAfterCall(uint64_t n, absl::Status status);
  uint64_t calls() const;
  void SetRecord(const BootRecord& record);

 protected:
  absl::StatusOr<BootRecord> LoadRecord() override;
  absl::Status ChangeRecord(const Change& change) override;

 private:
  mutable std::mutex mutex_;
  BootRecord record_;
  uint64_t calls_ = 0;
  std::map<uint64_t, absl::Status> failures_;
  std::map<uint64_t, absl::Status> late_failures_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_FAKE_BOOT_CONTROL_H_
