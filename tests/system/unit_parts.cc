#include "tests/system/unit_parts.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

constexpr size_t kPayloadBytes = 200 << 10;

std::string PayloadOf(const std::string& component, const std::string& version) {
  std::string bytes = absl::StrCat(component, " ", version, "\n");
  while (bytes.size() < kPayloadBytes) bytes += bytes;
  return bytes;
}

class PayloadParts : public UnitParts {
 public:
  explicit PayloadParts(absl::Duration reload) : reload_(reload) {}

  void Make(const std::string& unit) override {
    unit_ = unit;
    for (const char* component : {"settings", "detector"}) {
      const std::string data = absl::StrCat(unit_, "/data/", component);
      std::filesystem::create_directories(data + "/versions/1.0");
      std::ofstream(data + "/versions/1.0/payload", std::ios::binary) << PayloadOf(component, "1.0");
      std::filesystem::create_symlink("versions/1.0", data + "/current");
    }
  }

  std::vector<UnitPart> Parts() const override {
    std::vector<UnitPart> parts;
    int priority = 10;
    for (const auto& [node, component, type] :
         {std::tuple("settings", "settings", "config"), std::tuple("models", "detector", "model")}) {
      parts.push_back(
          {node, priority,
           absl::StrCat("    payload:\n      components:\n        - component_id: ", component,
                        "\n          component_type: ", type, "\n          folder: ", unit_, "/data/", component,
                        "\n          reload_command: [sh, -c, \"sleep ", absl::ToDoubleSeconds(reload_), "\"]\n")});
      priority += 10;
    }
    return parts;
  }

  std::string BootSelector() const override { return absl::StrCat("boot_record: ", unit_, "/boot.rec"); }
  std::string SimulatorConfig() const override { return ""; }

  std::vector<TestComponent> Components(const std::string& version) override {
    return {{.id = "settings",
             .type = "config",
             .version = version,
             .plane = release::v1::CONFIG,
             .content = PayloadOf("settings", version)},
            {.id = "detector",
             .type = "model",
             .version = version,
             .plane = release::v1::MODEL,
             .content = PayloadOf("detector", version)}};
  }

 private:
  const absl::Duration reload_;
  std::string unit_;
};

}  // namespace

std::shared_ptr<UnitParts> MakePayloadParts(absl::Duration reload) { return std::make_shared<PayloadParts>(reload); }

std::string BootOptions(const std::string& unit) {
  return absl::StrCat("      cmdline_file: ", unit, "/run/cmdline\n      boot_id_file: ", unit,
                      "/run/boot_id\n      reboot_command: [", TANDEM_BINARIES, "/tandem-unit-sim, reboot, --unit, ",
                      unit, "]\n      factory_version: \"1.0\"\n");
}

void CheckSetUp(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "test set-up: " << status << std::endl;
  std::abort();
}

}  // namespace tandem
