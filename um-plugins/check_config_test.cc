// tandem-um --check-config: what would keep it from starting is said before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/process/run_command.h"
#include "common/storage/file_system.h"
#include "tests/support/test_documents.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class CheckConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/check_config_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    ASSERT_TRUE(fs_.WriteFileAtomically(At("keyset.json"), TestMaker("acme").KeySetEnvelope()).ok());
    good_ = absl::StrReplaceAll(R"(cm: unix:/run/um.sock
log: {level: info}
ums:
  - node_id: os
    state_dir: FOLDER/os
    key_set: FOLDER/keyset.json
    namespace: acme
    unit_id: gw-17
    rootfs:
      component_type: os-image
      slot_a: /dev/a
      slot_b: /dev/b
      boot_record: /dev/boot
  - node_id: models
    state_dir: FOLDER/models
    payload:
      components:
        - {component_id: detector, component_type: model, folder: FOLDER/detector}
  - node_id: motor
    state_dir: FOLDER/motor
    mcu:
      component_type: motor-mcu
      serial: {path: /dev/ttyACM0, baud: 1000000}
)",
                                {{"FOLDER", folder_}});
  }
  void TearDown() override { EXPECT_TRUE(fs_.RemoveTree(folder_).ok()); }

  std::string At(const std::string& name) const { return JoinPath(folder_, name); }

  // What the check says when `from` stands as `to` in a good configuration.
  CommandResult Check(const std::string& from, const std::string& to) {
    EXPECT_THAT(good_, HasSubstr(from));
    EXPECT_TRUE(fs_.WriteFileAtomically(At("um.yaml"), absl::StrReplaceAll(good_, {{from, to}})).ok());
    return RunCommand({.argv = {TANDEM_UM, "--check-config", "--config", At("um.yaml")}}).value();
  }
  void ExpectRefused(const std::string& from, const std::string& to, const std::string& because) {
    const CommandResult result = Check(from, to);
    EXPECT_EQ(result.exit_code, 2) << to;
    EXPECT_THAT(result.error_output, HasSubstr(because));
    EXPECT_THAT(result.error_output, HasSubstr(At("um.yaml")));
  }

  FileSystem& fs_ = FileSystem::Real();
  std::string folder_;
  std::string good_;
};

TEST_F(CheckConfigTest, AGoodOneIsGoodAndLeavesNothingBehind) {
  const CommandResult result = Check("level: info", absl::StrCat("level: debug, file: ", At("um.log")));
  EXPECT_EQ(result.exit_code, 0) << result.error_output;
  EXPECT_THAT(result.output, HasSubstr("good"));
  for (const char* const name : {"os", "models", "um.log"}) EXPECT_FALSE(fs_.Exists(At(name))) << name;
}

TEST_F(CheckConfigTest, RefusesWhatTheStartWouldRefuse) {
  ExpectRefused("/dev/b\n", "/dev/a\n", "UM os: rootfs: slot_a and slot_b are the same");
  ExpectRefused("      component_type: os-image\n", "", "\"rootfs.component_type\" is missing");
  ExpectRefused("component_type: model, ", "", "\"component_type\" is missing");
  ExpectRefused("node_id: models", "node_id: os", "\"os\" stands twice");
  ExpectRefused(At("models"), At("os"), "is used by two UMs");
  ExpectRefused("level: info", "level: loud", "log level \"loud\" is unknown");
  ExpectRefused("cm: unix:/run/um.sock", "cm: cm.local:8089", "needs tls");
  ExpectRefused("cm: unix:/run/um.sock", "cm: cm.local:8089\ntls: {ca: /none, certificate: /none, key: /none}",
                "/none");
}

TEST_F(CheckConfigTest, RefusesADeviceThatTwoThingsWouldWrite) {
  ExpectRefused("boot_record: /dev/boot", "boot_record: /dev/a",
                "UM os: rootfs.boot_record is /dev/a, which is also UM os: rootfs.slot_a");
  ExpectRefused("slot_b: /dev/b", "slot_b: /dev/../dev/a", "which is also UM os: rootfs.slot_a");
  const std::string bootloader = R"(  - node_id: loader
    state_dir: FOLDER/loader
    bootloader: {component_type: u-boot, copy_a: /dev/c, copy_b: /dev/b, boot_record: /dev/d, rom_fallback: ROM}
  - node_id: models
)";
  ExpectRefused("  - node_id: models\n", absl::StrReplaceAll(bootloader, {{"FOLDER", folder_}}),
                "UM loader: bootloader.copy_b is /dev/b, which is also UM os: rootfs.slot_b");
}

TEST_F(CheckConfigTest, RefusesAMicrocontrollerThatCannotBeReached) {
  const std::string serial = "serial: {path: /dev/ttyACM0, baud: 1000000}";
  ExpectRefused("      component_type: motor-mcu\n", "", "\"mcu.component_type\" is missing");
  ExpectRefused("      " + serial + "\n", "", "UM motor: mcu: it has no device; add serial, unix_socket or udp");
  ExpectRefused("baud: 1000000", "baud: 1000001", "baud 1000001 is no rate of a tty");
  ExpectRefused(serial, "serial: {baud: 115200}", "serial needs a path");
  ExpectRefused(serial, "udp: 10.0.0.7", "has no port; SMP's is 1337");
  ExpectRefused(serial, "udp: \"a/b\"", "is not host:port");
  ExpectRefused(serial, "unix_socket: \"\"", "unix_socket is empty");
  ExpectRefused(serial, serial + "\n      boot_timeout: 0s", "boot_timeout must be longer than 0s");
  ExpectRefused(serial, serial + "\n      test_attempts: 1000", "test_attempts must be at most 100");
}

TEST_F(CheckConfigTest, RefusesAKeySetThatIsNone) {
  ExpectRefused("/keyset.json", "/none.json", "UM os: key_set: ");
  ExpectRefused("namespace: acme", "namespace: other", "UM os: key_set ");
  ExpectRefused("    unit_id: gw-17\n", "", "needs namespace and unit_id");
  ASSERT_TRUE(fs_.WriteFileAtomically(At("keyset.json"), "{}").ok());
  ExpectRefused("level: info", "level: error", "UM os: key_set ");
}

}  // namespace
}  // namespace tandem
