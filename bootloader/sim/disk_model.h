// An eMMC-like block device with a write cache, as the one file of a FileSystem: what was not synced may be lost,
// reordered or torn when the power goes.
#ifndef TANDEM_BOOTLOADER_SIM_DISK_MODEL_H_
#define TANDEM_BOOTLOADER_SIM_DISK_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bootloader/sim/power.h"
#include "common/storage/file_system.h"

namespace tandem::boot::sim {

// Only Open() works, for any path: it is the device. `granularity`: a torn write keeps a multiple of it.
class DiskModel final : public FileSystem {
 public:
  // Zeros. `power` must outlive it.
  DiskModel(uint32_t size, uint32_t granularity, Power& power)
      : granularity_(granularity), power_(power), seen_(size, '\0'), durable_(size, '\0') {}

  // What a power cut has left.
  const std::string& durable() const { return durable_; }
  // Power is off, or everything is synced: this is what is there.
  void Restore(const std::string& durable);
  // What was not synced is lost as a power cut between two changes would lose it.
  void DropUnsynced() { Restore(durable_); }

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;

  absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t limit) override;
  absl::Status WriteFileAtomically(const std::string& path, std::string_view content) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status MakeFolders(const std::string& path) override;
  absl::Status ShareWithAll(const std::string& path) override;
  absl::Status SyncFolder(const std::string& path) override;
  absl::Status SwitchSymlink(const std::string& target, const std::string& link) override;
  absl::StatusOr<std::string> ReadSymlink(const std::string& link) override;
  bool Exists(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override;
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override;

 private:
  class Device;
  struct Write {
    uint64_t offset = 0;
    std::string bytes;
  };

  absl::Status WriteAt(uint64_t offset, std::string_view data);
  absl::Status Sync();
  // In how many ways what is unsynced may survive.
  uint32_t Ways() const;
  void Lose(uint32_t way);
  void Keep(const Write& write, uint64_t length);

  const uint32_t granularity_;
  Power& power_;
  std::string seen_;
  std::string durable_;
  std::vector<Write> unsynced_;
};

}  // namespace tandem::boot::sim

#endif  // TANDEM_BOOTLOADER_SIM_DISK_MODEL_H_
