#include "bootloader/sim/sim_unit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "bootloader/core/flash_record_store.h"
#include "bootloader/sim/disk_model.h"
#include "bootloader/sim/flash_model.h"
#include "common/status/status.h"

namespace tandem::boot::sim {
namespace {

// Small enough to be copied a million times, large enough to be torn in many places.
constexpr uint32_t kNorSector = 128;
constexpr uint32_t kNorSlot = 2 * kNorSector;
constexpr uint32_t kNorWrite = 64;
constexpr uint32_t kDiskBlock = 512;
constexpr uint32_t kDiskSlot = 3 * kDiskBlock;
constexpr uint32_t kDiskSlots = 2 * static_cast<uint32_t>(kRecordCopyDistance);

// Every byte depends on version and place, and is neither erased value.
uint8_t ImageByte(uint32_t version, uint32_t at) { return static_cast<uint8_t>(1 + (version * 37 + at * 11) % 253); }

std::string ImageBytes(uint32_t version, uint32_t size) {
  std::string bytes(size, '\0');
  for (uint32_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(ImageByte(version, i));
  return bytes;
}

uint32_t VersionOf(const std::string& bytes) {
  constexpr uint32_t kVersions = 8;
  for (uint32_t version = 1; version <= kVersions; ++version) {
    if (static_cast<uint8_t>(bytes[0]) != ImageByte(version, 0)) continue;
    if (bytes == ImageBytes(version, static_cast<uint32_t>(bytes.size()))) return version;
  }
  return 0;
}

absl::Status ToStatus(FlashResult result) {
  if (result == FlashResult::kOk) return absl::OkStatus();
  return absl::InternalError(FlashResultText(result));
}

// FlashRecordStore, with the mistakes that a store can have.
class NorStore {
 public:
  NorStore(Flash& flash, Broken broken) : flash_(flash), store_(flash, 0, kNorSector), broken_(broken) {}

  LoadedRecord Load() {
    const LoadedRecord loaded = store_.Load();
    if (broken_ != Broken::kTakesOlderCopy || loaded.state != RecordState::kValid) return loaded;
    EncodedRecord other{};
    BootRecord older;
    const auto copy = static_cast<uint8_t>(1 - loaded.copy);
    if (flash_.Read(copy * kNorSector, other) != FlashResult::kOk || Decode(other, older) != CopyState::kValid) {
      return loaded;
    }
    return {RecordState::kValid, older, copy};
  }

  absl::Status Save(LoadedRecord loaded, BootRecord record) {
    // The copy whose turn it is not.
    if (broken_ == Broken::kOverwritesNewestCopy) loaded.copy = static_cast<uint8_t>(1 - loaded.copy);
    if (broken_ == Broken::kLosesCounter && record.trial != Slot::kNone) record.security_counter = 0;
    return ToStatus(store_.Save(loaded, record));
  }

 private:
  Flash& flash_;
  FlashRecordStore store_;
  const Broken broken_;
};

// What the MCU's application does when it is asked for a change.
class FlashBootControl final : public PolicyBootControl {
 public:
  explicit FlashBootControl(NorStore& store) : store_(store) {}

 protected:
  absl::StatusOr<BootRecord> LoadRecord() override {
    const LoadedRecord loaded = store_.Load();
    if (loaded.state == RecordState::kLost) return absl::DataLossError("the boot record is lost");
    return loaded.record;
  }
  absl::Status ChangeRecord(const Change& change) override {
    ASSIGN_OR_RETURN(BootRecord record, LoadRecord());
    const LoadedRecord loaded = store_.Load();
    RETURN_IF_ERROR(change(record));
    if (record == loaded.record) return absl::OkStatus();
    ++record.sequence;
    return store_.Save(loaded, record);
  }

 private:
  NorStore& store_;
};

class NorUnit final : public SimUnit {
 public:
  NorUnit(const Medium& medium, Broken broken, Power& power)
      : flash_({.size = 2 * kNorSector + 2 * kNorSlot,
                .sector_size = kNorSector,
                .program_size = medium.granularity,
                .erased = medium.erased},
               power),
        store_(flash_, broken),
        control_(store_) {}

  LoadedRecord LoadRecord() override { return store_.Load(); }
  absl::Status SaveRecord(const LoadedRecord& loaded, const BootRecord& record) override {
    return store_.Save(loaded, record);
  }
  BootControl& control() override { return control_; }

  absl::Status WriteImage(Slot slot, uint32_t version, bool /*sync*/) override {
    const std::string image = ImageBytes(version, kNorSlot);
    const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(image.data()), image.size());
    for (uint32_t at = 0; at < kNorSlot; at += kNorWrite) {
      if (at % kNorSector == 0) RETURN_IF_ERROR(ToStatus(flash_.Erase(SlotAt(slot) + at)));
      RETURN_IF_ERROR(ToStatus(flash_.Program(SlotAt(slot) + at, bytes.subspan(at, kNorWrite))));
    }
    return absl::OkStatus();
  }

  uint32_t ReadImage(Slot slot) override {
    return VersionOf(std::string(reinterpret_cast<const char*>(flash_.bytes().data()) + SlotAt(slot), kNorSlot));
  }

  std::string Save() const override { return {flash_.bytes().begin(), flash_.bytes().end()}; }
  void Restore(const std::string& saved) override { flash_.Restore({saved.begin(), saved.end()}); }
  void Reset() override {}

 private:
  static uint32_t SlotAt(Slot slot) { return 2 * kNorSector + (slot == Slot::kA ? 0 : kNorSlot); }

  FlashModel flash_;
  NorStore store_;
  FlashBootControl control_;
};

class EmmcUnit final : public SimUnit {
 public:
  EmmcUnit(const Medium& medium, Power& power)
      : disk_(kDiskSlots + 2 * kDiskSlot, medium.granularity, power), store_(disk_, "disk"), control_(disk_, "disk") {}

  LoadedRecord LoadRecord() override {
    absl::StatusOr<LoadedRecord> loaded = store_.Load();
    return loaded.ok() ? *loaded : LoadedRecord();
  }
  absl::Status SaveRecord(const LoadedRecord& loaded, const BootRecord& record) override {
    return store_.Save(loaded, record);
  }
  BootControl& control() override { return control_; }

  absl::Status WriteImage(Slot slot, uint32_t version, bool sync) override {
    const std::string image = ImageBytes(version, kDiskSlot);
    ASSIGN_OR_RETURN(std::unique_ptr<File> device, disk_.Open("disk", FileSystem::OpenMode::kReadWrite));
    for (uint32_t at = 0; at < kDiskSlot; at += kDiskBlock) {
      RETURN_IF_ERROR(device->WriteAt(SlotAt(slot) + at, std::string_view(image).substr(at, kDiskBlock)));
    }
    return sync ? device->Sync() : absl::OkStatus();
  }

  // Of the medium: what the bootloader would find.
  uint32_t ReadImage(Slot slot) override { return VersionOf(disk_.durable().substr(SlotAt(slot), kDiskSlot)); }

  std::string Save() const override { return disk_.durable(); }
  void Restore(const std::string& saved) override { disk_.Restore(saved); }
  void Reset() override { disk_.DropUnsynced(); }

 private:
  static uint32_t SlotAt(Slot slot) { return kDiskSlots + (slot == Slot::kA ? 0 : kDiskSlot); }

  DiskModel disk_;
  BootRecordStore store_;
  RecordBootControl control_;
};

}  // namespace

std::string BrokenName(Broken broken) {
  switch (broken) {
    case Broken::kNothing:
      return "nothing";
    case Broken::kOverwritesNewestCopy:
      return "overwrites-newest-copy";
    case Broken::kDoesNotCount:
      return "does-not-count";
    case Broken::kArmsBeforeImage:
      return "arms-before-image";
    case Broken::kKeepsOldConfirmed:
      return "keeps-old-confirmed";
    case Broken::kConfirmsUnchecked:
      return "confirms-unchecked";
    case Broken::kDoesNotSyncImage:
      return "does-not-sync-image";
    case Broken::kTakesOlderCopy:
      return "takes-older-copy";
    case Broken::kLosesCounter:
      return "loses-counter";
    case Broken::kForgetsConfirm:
      return "forgets-confirm";
    case Broken::kForgetsCancel:
      return "forgets-cancel";
    case Broken::kBootsDecayed:
      break;
  }
  return "boots-decayed";
}

std::string Medium::Name() const {
  if (kind == Kind::kEmmc) return absl::StrCat("emmc/", granularity);
  return absl::StrFormat("nor/%d/%02x", granularity, erased);
}

std::vector<Medium> AllMedia() {
  std::vector<Medium> media;
  for (const uint8_t erased : {uint8_t{0xff}, uint8_t{0x00}}) {
    for (const uint32_t unit : {1, 2, 4, 8, 16}) media.push_back({Medium::Kind::kNor, unit, erased});
  }
  for (const uint32_t granularity : {16, 512}) media.push_back({Medium::Kind::kEmmc, granularity, 0});
  return media;
}

std::unique_ptr<SimUnit> MakeSimUnit(const Medium& medium, Broken broken, Power& power) {
  power.On(std::nullopt);
  std::unique_ptr<SimUnit> unit;
  if (medium.kind == Medium::Kind::kNor) {
    unit = std::make_unique<NorUnit>(medium, broken, power);
  } else {
    unit = std::make_unique<EmmcUnit>(medium, power);
  }
  // A unit fresh from its maker: one image, and no record yet.
  if (!unit->WriteImage(Slot::kA, /*version=*/1, /*sync=*/true).ok()) return nullptr;
  return unit;
}

}  // namespace tandem::boot::sim
