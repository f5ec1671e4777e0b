#include "bootloader/sim/disk_model.h"

#include "absl/strings/str_cat.h"

namespace tandem::boot::sim {
namespace {

// With more unsynced writes than that, the older ones survive whole.
constexpr size_t kMaxReordered = 4;

absl::Status PowerIsOff() { return absl::InternalError("the power is off"); }
absl::Status NoFiles() { return absl::UnimplementedError("it is a device, without files"); }

}  // namespace

class DiskModel::Device final : public File {
 public:
  explicit Device(DiskModel& disk) : disk_(disk) {}

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) override {
    if (!disk_.power_.on()) return PowerIsOff();
    if (offset > disk_.seen_.size()) return std::string();
    return disk_.seen_.substr(offset, size);
  }
  absl::Status WriteAt(uint64_t offset, std::string_view data) override { return disk_.WriteAt(offset, data); }
  absl::Status Sync() override { return disk_.Sync(); }
  absl::StatusOr<uint64_t> Size() override { return disk_.seen_.size(); }
  absl::Status Truncate(uint64_t) override { return NoFiles(); }
  absl::Status DropCache() override { return absl::OkStatus(); }

 private:
  DiskModel& disk_;
};

void DiskModel::Restore(const std::string& durable) {
  durable_ = durable;
  seen_ = durable_;
  unsynced_.clear();
}

absl::StatusOr<std::unique_ptr<File>> DiskModel::Open(const std::string&, OpenMode) {
  return std::make_unique<Device>(*this);
}

absl::Status DiskModel::WriteAt(uint64_t offset, std::string_view data) {
  if (!power_.on()) return PowerIsOff();
  if (offset > seen_.size() || data.size() > seen_.size() - offset) {
    return absl::ResourceExhaustedError(absl::StrCat("the device ends at ", seen_.size()));
  }
  unsynced_.push_back({offset, std::string(data)});
  if (const std::optional<uint32_t> way = power_.Change(Ways())) {
    Lose(*way);
    return PowerIsOff();
  }
  seen_.replace(offset, data.size(), data);
  return absl::OkStatus();
}

absl::Status DiskModel::Sync() {
  if (!power_.on()) return PowerIsOff();
  if (const std::optional<uint32_t> way = power_.Change(Ways())) {
    Lose(*way);
    return PowerIsOff();
  }
  Restore(seen_);
  return absl::OkStatus();
}

// Every subset of the newest writes, and the newest torn at every step.
uint32_t DiskModel::Ways() const {
  if (unsynced_.empty()) return 1;
  const size_t reordered = std::min(unsynced_.size(), kMaxReordered);
  const auto torn = static_cast<uint32_t>(unsynced_.back().bytes.size() / granularity_);
  return (1U << reordered) + 2 * torn;
}

void DiskModel::Keep(const Write& write, uint64_t length) {
  durable_.replace(write.offset, length, write.bytes, 0, length);
}

void DiskModel::Lose(uint32_t way) {
  const size_t reordered = std::min(unsynced_.size(), kMaxReordered);
  const size_t certain = unsynced_.size() - reordered;
  for (size_t i = 0; i < certain; ++i) Keep(unsynced_[i], unsynced_[i].bytes.size());
  const uint32_t subsets = 1U << reordered;
  if (way < subsets) {
    for (size_t i = 0; i < reordered; ++i) {
      const Write& write = unsynced_[certain + i];
      if ((way & (1U << i)) != 0) Keep(write, write.bytes.size());
    }
  } else if (!unsynced_.empty()) {
    // The newest is torn; those before it are all there, or all lost.
    const uint32_t torn = (way - subsets) / 2;
    for (size_t i = certain; (way - subsets) % 2 == 0 && i + 1 < unsynced_.size(); ++i) {
      Keep(unsynced_[i], unsynced_[i].bytes.size());
    }
    Keep(unsynced_.back(), uint64_t{torn} * granularity_);
  }
  Restore(std::string(durable_));
}

absl::StatusOr<std::string> DiskModel::ReadFile(const std::string&, uint64_t) { return NoFiles(); }
absl::Status DiskModel::WriteFileAtomically(const std::string&, std::string_view) { return NoFiles(); }
absl::Status DiskModel::Rename(const std::string&, const std::string&) { return NoFiles(); }
absl::Status DiskModel::Remove(const std::string&) { return NoFiles(); }
absl::Status DiskModel::RemoveTree(const std::string&) { return NoFiles(); }
absl::Status DiskModel::MakeFolders(const std::string&) { return NoFiles(); }
absl::Status DiskModel::ShareWithAll(const std::string&) { return NoFiles(); }
absl::Status DiskModel::SyncFolder(const std::string&) { return absl::OkStatus(); }
absl::Status DiskModel::SwitchSymlink(const std::string&, const std::string&) { return NoFiles(); }
absl::StatusOr<std::string> DiskModel::ReadSymlink(const std::string&) { return NoFiles(); }
bool DiskModel::Exists(const std::string&) { return true; }
absl::StatusOr<std::vector<std::string>> DiskModel::List(const std::string&) { return NoFiles(); }
absl::StatusOr<uint64_t> DiskModel::FreeSpace(const std::string&) { return NoFiles(); }

}  // namespace tandem::boot::sim
