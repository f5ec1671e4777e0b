// A redundant U-Boot environment in a file, for tests.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_TEST_ENVIRONMENT_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_TEST_ENVIRONMENT_H_

#include <cstddef>
#include <string>

#include "bootloader/boot_control/uboot_variables.h"

namespace tandem::boot {

// A folder with env.img (both copies, the first at 0) and fw_env.config; removed at the end.
class UbootTestEnvironment {
 public:
  static constexpr size_t kSize = 0x400;

  explicit UbootTestEnvironment(const Variables& variables = {});
  ~UbootTestEnvironment();
  UbootTestEnvironment(const UbootTestEnvironment&) = delete;
  UbootTestEnvironment& operator=(const UbootTestEnvironment&) = delete;

  const std::string& config() const { return config_; }
  std::string ReadBytes() const;
  void WriteBytes(const std::string& bytes) const;
  void WriteConfig(const std::string& text) const;
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  std::string config_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_TEST_ENVIRONMENT_H_
