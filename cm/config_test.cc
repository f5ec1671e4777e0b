#include "cm/config.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

using ::testing::HasSubstr;

constexpr char kGood[] = R"(
unit_id: gw-17
namespace: acme
state_dir: /var/lib/tandem/cm
trust: {key_set: /etc/tandem/keys.json}
um_server: {unix_socket: /run/tandem/um.sock}
nodes: [{node_id: rootfs}]
)";

class CmConfigTest : public testing::Test {
 protected:
  absl::StatusOr<config::v1::CmConfig> Load(const std::string& yaml) {
    std::string path = (std::filesystem::temp_directory_path() / "cm_XXXXXX").string();
    const int fd = mkstemp(path.data());
    EXPECT_GE(fd, 0);
    std::ofstream(path) << yaml;
    auto config = LoadCmConfig(path);
    std::filesystem::remove(path);
    close(fd);
    return config;
  }
  std::string ErrorOf(const std::string& yaml) {
    const auto config = Load(yaml);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << config.status();
    return std::string(config.status().message());
  }
};

TEST_F(CmConfigTest, FillsInWhatIsNotGiven) {
  const auto config = Load(kGood);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->local_api().unix_socket(), "/run/tandem/cm.sock");
  EXPECT_EQ(config->boot_id_file(), "/proc/sys/kernel/random/boot_id");
}

TEST_F(CmConfigTest, SaysWhatIsMissing) {
  EXPECT_THAT(ErrorOf("unit_id: a\nnamespace: b\n"), HasSubstr("\"state_dir\" is missing"));
}

TEST_F(CmConfigTest, RefusesNamesThatDoNotFitATopic) {
  EXPECT_THAT(ErrorOf(std::string(kGood) + "hardware: x\nrollback_window: 1h\n" +
                      "boot_id_file: /x\nlog: {level: info}\n" + "preconditions: [{watchdog: {}}]\n"),
              HasSubstr("preconditions"));
  std::string yaml = kGood;
  yaml.replace(yaml.find("gw-17"), 5, "gw/17");
  EXPECT_THAT(ErrorOf(yaml), HasSubstr("unit_id"));
}

TEST_F(CmConfigTest, RefusesATrialDeadlineThatTheGateCannotMeet) {
  EXPECT_THAT(ErrorOf(std::string(kGood) + "health: {grace: 20m}\n"), HasSubstr("trial_deadline is 15m"));
}

TEST_F(CmConfigTest, RefusesTwoNodesOfOneNameAndAnotherComputerWithoutAWayIn) {
  std::string yaml = kGood;
  yaml.replace(yaml.find("[{node_id: rootfs}]"), 19, "[{node_id: a}, {node_id: a}]");
  EXPECT_THAT(ErrorOf(yaml), HasSubstr("stands twice"));
  yaml = kGood;
  yaml.replace(yaml.find("[{node_id: rootfs}]"), 19, "[{node_id: a, computer: ecu2}]");
  EXPECT_THAT(ErrorOf(yaml), HasSubstr("um_server.listen"));
}

}  // namespace
}  // namespace tandem::cm
