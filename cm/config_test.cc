#include "cm/config.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "common/log/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/certificates.h"
#include "tests/support/test_documents.h"

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

TEST_F(CmConfigTest, CountsTheRowOfSuccessesAgainstTheTrialDeadline) {
  EXPECT_THAT(ErrorOf(std::string(kGood) + "health:\n  probes:\n    - {name: web, http: {url: \"http://127.0.0.1\"}, "
                                           "interval: 10m, successes_needed: 10}\n"),
              HasSubstr("the health gate needs 1h30m5s before it can pass"));
}

TEST_F(CmConfigTest, RefusesAWatchdogShorterThanTheGrace) {
  EXPECT_THAT(ErrorOf(std::string(kGood) + "health: {grace: 1m}\nwatchdog: {device: /dev/watchdog}\n"),
              HasSubstr("watchdog.timeout is 30s, shorter than the health gate's grace of 1m"));
  EXPECT_TRUE(Load(std::string(kGood) + "health: {grace: 1m}\nwatchdog: {device: /dev/watchdog, timeout: 1m}\n").ok());
}

TEST_F(CmConfigTest, AttributesAreTextByName) {
  const absl::StatusOr<config::v1::CmConfig> config =
      Load(std::string(kGood) + "attributes: {region: eu-1, customer: \"A & B\", \"line.no_2\": 7}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->attributes().at("region"), "eu-1");
  EXPECT_EQ(config->attributes().at("customer"), "A & B");
  EXPECT_EQ(config->attributes().at("line.no_2"), "7");
  std::string many = "attributes:\n";
  for (int i = 0; i < 33; ++i) absl::StrAppend(&many, "  a", i, ": x\n");
  EXPECT_THAT(ErrorOf(std::string(kGood) + many), HasSubstr("more than 32"));
}

TEST_F(CmConfigTest, RefusesWhatCannotWorkWithItsLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"cloud: {mqtt: {url: \"mqtt://broker:1883\"}}", "allowed on loopback only"},
      {"cloud: {mqtt: {url: \"mqtt://localhost.evil.com\"}}", "allowed on loopback only"},
      {"cloud: {mqtt: {url: \"http://x\"}}", "must be mqtts://host:8883"},
      {"cloud: {mqtt: {url: \"mqtts://b:8883\", keepalive: 0s}}", "below 1s"},
      {"cloud: {mqtt: {url: \"mqtts://b:8883\", heartbeat: 9s}}", "heartbeat is below 10s"},
      {"attributes: {\"a b\": x}", "attribute \"a b\""},
      {"attributes: {\"\": x}", "attribute \"\""},
      {"attributes: {region: [eu]}", "\"attributes.region\" must be text"},
      {"attributes: {region: eu, region: us}", "given twice"},
      {"attributes: [region]", "must be a mapping of names to text"},
      {absl::StrCat("attributes: {region: ", std::string(257, 'x'), "}"), "more than 256 bytes"},
      {"cloud: {mqtt: {url: \"mqtts://b:8883\", tls: {key: k}}}", "certificate and key"},
      {"log: {level: blah}", "log.level is \"blah\"; use debug"},
      {"artifacts: {listen: 0.0.0.0}", "has no port"},
      {"artifacts: {listen: \"0.0.0.0:8443\"}", "add tls"},
      {"artifacts: {listen: \"0.0.0.0:8443\", tls: {certificate: c, key: k}}", "add public_url"},
      {"artifacts: {listen: \"10.0.0.1:1\", tls: {certificate: c}}", "belong together"},
      {"artifacts: {public_url: gw}", "must begin with http"},
      {"budgets: {prepare: 0s}", "budgets.prepare must be more than 0s"},
      {"budgets: {revert: 0s}", "budgets.revert must be more than 0s"},
      {"budgets: {start: -1s}", "must be a duration"},
      {"diagnostics: {concurrent: 65}", "diagnostics.concurrent is 65; it must be from 1 to 64"},
      {"diagnostics: {process_limit: 1}", "it must be from 2"},
      {"diagnostics: {memory_limit_bytes: 100}", "diagnostics.memory_limit_bytes is 100"},
      {"diagnostics: {output_limit_bytes: 10}", "diagnostics.output_limit_bytes is 10"},
      {"diagnostics: {disk_limit_bytes: 10}", "diagnostics.disk_limit_bytes is 10"},
      {"stability: {interval: 500ms}", "stability.interval is below 1s"},
      {"safe_mode: {lasting: 0s}", "safe_mode.lasting is below 1s"},
      {"safe_mode: {failed_starts: 1}", "a single power cut would do"},
      {"safe_mode: {flag_file: safe}", "must be an absolute path"},
  };
  for (const auto& [yaml, text] : cases) {
    const std::string error = ErrorOf(std::string(kGood) + yaml + "\n");
    EXPECT_THAT(error, HasSubstr(text)) << yaml;
    EXPECT_THAT(error, HasSubstr(":8: ")) << yaml;
  }
  std::string yaml = kGood;
  for (const char* server :
       {"{listen: \"0.0.0.0:1\"}", "{listen: \"0.0.0.0:1\", tls: {ca: a, key: k}}", "{listen: x}"}) {
    yaml = kGood;
    yaml.replace(yaml.find("{unix_socket: /run/tandem/um.sock}"), 34, server);
    EXPECT_THAT(ErrorOf(yaml), HasSubstr(":6: um_server.listen")) << server;
  }
}

TEST_F(CmConfigTest, TakesEveryLogLevelThatTheLogTakes) {
  for (const char* level : {"debug", "info", "warning", "error"}) {
    EXPECT_TRUE(Load(std::string(kGood) + "log: {level: " + level + "}\n").ok()) << level;
    EXPECT_TRUE(InitLog({.level = level}).ok()) << level;
  }
}

TEST_F(CmConfigTest, ChecksTheFilesThatAreNamed) {
  const TestMaker maker("acme");
  const TestCertificates certificates = *TestCertificates::Make();
  std::string folder = (std::filesystem::temp_directory_path() / "cm_files_XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::ofstream(folder + "/keys.json") << maker.KeySetEnvelope();
  std::ofstream(folder + "/garbage") << "x";
  config::v1::CmConfig config;
  config.set_namespace_("acme");
  config.mutable_trust()->set_key_set(folder + "/keys.json");
  config::v1::Tls* tls = config.mutable_cloud()->mutable_mqtt()->mutable_tls();
  tls->set_ca(certificates.ca());
  EXPECT_TRUE(CheckFiles(config, {}).ok()) << CheckFiles(config, {});
  for (const char* ca : {"/nowhere/ca.pem", "/garbage"}) {
    tls->set_ca(std::string(ca) == "/garbage" ? folder + ca : ca);
    EXPECT_THAT(std::string(CheckFiles(config, {}).message()), HasSubstr("cloud.mqtt.tls")) << ca;
  }
  tls->clear_ca();
  for (const char* key_set : {"/nowhere", "/garbage"}) {
    config.mutable_trust()->set_key_set(folder + key_set);
    EXPECT_THAT(std::string(CheckFiles(config, {}).message()), HasSubstr("trust.key_set")) << key_set;
  }
  config.mutable_trust()->set_key_set(folder + "/keys.json");
  config.set_namespace_("other");
  EXPECT_FALSE(CheckFiles(config, {}).ok());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tandem::cm
