#include <fcntl.h>
#include <linux/mmc/ioctl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/mmc_boot_control.h"
#include "common/status/status.h"

namespace tandem::boot {
namespace {

// JESD84-B51, 6.10.4 (commands) and 7.4 (EXT_CSD).
constexpr uint32_t kSwitch = 6;
constexpr uint32_t kSendExtCsd = 8;
constexpr size_t kExtCsdSize = 512;
constexpr size_t kPartitionConfig = 179;
constexpr uint32_t kWriteByte = 3;
constexpr uint32_t kCommandSetNormal = 1;
constexpr uint8_t kBootPartitionBits = 0x38;
constexpr int kBootPartitionShift = 3;
// Of linux/mmc/core.h, which programs do not get: response types as the driver wants them.
constexpr unsigned kR1bAndAddressed = 0x49d;
constexpr unsigned kDataRead = 0xb5;

class Device {
 public:
  explicit Device(const std::string& path) : path_(path), fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {}
  ~Device() {
    if (fd_ >= 0) close(fd_);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  absl::StatusOr<uint8_t> ReadPartitionConfig() {
    std::array<uint8_t, kExtCsdSize> bytes{};
    mmc_ioc_cmd command{};
    command.opcode = kSendExtCsd;
    command.flags = kDataRead;
    command.blksz = kExtCsdSize;
    command.blocks = 1;
    mmc_ioc_cmd_set_data(command, bytes.data());
    RETURN_IF_ERROR(Send(command, "read EXT_CSD"));
    return bytes[kPartitionConfig];
  }

  absl::Status WritePartitionConfig(uint8_t value) {
    mmc_ioc_cmd command{};
    command.write_flag = 1;
    command.opcode = kSwitch;
    command.arg = (kWriteByte << 24) | (kPartitionConfig << 16) | (uint32_t{value} << 8) | kCommandSetNormal;
    command.flags = kR1bAndAddressed;
    return Send(command, "write PARTITION_CONFIG");
  }

 private:
  absl::Status Send(mmc_ioc_cmd& command, const char* what) {
    if (fd_ < 0 || ioctl(fd_, MMC_IOC_CMD, &command) < 0) {
      return ErrnoStatus(errno, absl::StrCat(what, " of ", path_));
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const int fd_;
};

}  // namespace

absl::StatusOr<Slot> MmcPartitionSelector::Selected() {
  ASSIGN_OR_RETURN(const uint8_t value, Device(device_).ReadPartitionConfig());
  switch ((value & kBootPartitionBits) >> kBootPartitionShift) {
    case 1:
      return Slot::kA;
    case 2:
      return Slot::kB;
    default:
      return absl::FailedPreconditionError(
          absl::StrCat(device_, " is not configured to boot from one of its boot partitions (PARTITION_CONFIG 0x",
                       absl::Hex(value), "); set it up once with: mmc bootpart enable 1 1 ", device_));
  }
}

absl::Status MmcPartitionSelector::Select(Slot copy) {
  Device device(device_);
  ASSIGN_OR_RETURN(const uint8_t value, device.ReadPartitionConfig());
  const unsigned partition = copy == Slot::kA ? 1 : 2;
  return device.WritePartitionConfig(
      static_cast<uint8_t>((value & ~kBootPartitionBits) | (partition << kBootPartitionShift)));
}

}  // namespace tandem::boot
