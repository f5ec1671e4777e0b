#include "bootloader/boot_control/uboot_test_environment.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace tandem::boot {
namespace {

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

UbootTestEnvironment::UbootTestEnvironment(const Variables& variables) {
  std::string name = (std::filesystem::temp_directory_path() / "tandem-env-XXXXXX").string();
  folder_ = mkdtemp(name.data());
  config_ = folder_ + "/fw_env.config";
  WriteBytes(EncodeEnvironment(variables, 1, kSize) + EncodeEnvironment(variables, 0, kSize));
  WriteConfig("# device offset size\n" + folder_ + "/env.img 0x0 0x400\n" + folder_ + "/env.img 0x400 0x400\n");
}

UbootTestEnvironment::~UbootTestEnvironment() { std::filesystem::remove_all(folder_); }

std::string UbootTestEnvironment::ReadBytes() const {
  std::ifstream file(folder_ + "/env.img", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void UbootTestEnvironment::WriteBytes(const std::string& bytes) const { WriteFile(folder_ + "/env.img", bytes); }
void UbootTestEnvironment::WriteConfig(const std::string& text) const { WriteFile(config_, text); }

}  // namespace tandem::boot
