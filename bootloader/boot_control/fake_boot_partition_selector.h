// A BootPartitionSelector in memory that fails where a test wants it to.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_FAKE_BOOT_PARTITION_SELECTOR_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_FAKE_BOOT_PARTITION_SELECTOR_H_

#include "bootloader/boot_control/mmc_boot_control.h"

namespace tandem::boot {

// Outlives the BootControl that owns the selector.
struct FakeMmc {
  Slot selected = Slot::kA;
  absl::Status select_fails;
  // The eMMC says that it did, and did not.
  bool forgets = false;
  int selects = 0;
};

class FakeBootPartitionSelector : public BootPartitionSelector {
 public:
  explicit FakeBootPartitionSelector(FakeMmc& mmc) : mmc_(mmc) {}

  absl::StatusOr<Slot> Selected() override { return mmc_.selected; }
  absl::Status Select(Slot copy) override {
    ++mmc_.selects;
    if (mmc_.select_fails.ok() && !mmc_.forgets) mmc_.selected = copy;
    return mmc_.select_fails;
  }

 private:
  FakeMmc& mmc_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_FAKE_BOOT_PARTITION_SELECTOR_H_
