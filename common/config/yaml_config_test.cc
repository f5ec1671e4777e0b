#include "common/config/yaml_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

absl::Status Load(const std::string& text, config::v1::CmConfig& config) {
  return LoadYamlText(text, "cm.yaml", config);
}

std::string ErrorOf(const std::string& text) {
  config::v1::CmConfig config;
  const absl::Status status = Load(text, config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(YamlConfig, ReadsEveryKindOfValue) {
  config::v1::CmConfig config;
  ASSERT_TRUE(Load(R"(
unit_id: gw-17
needs_approval: yes
rollback_window: 1h30m
budgets: {forward_attempts: 5, start: 90s}
nodes:
  - {node_id: rootfs, profile: aos8}
  - node_id: mcu
health:
  probes:
    - name: load
      exec: {command: [cat, /proc/loadavg], threshold: {max: 2.5}}
)",
                   config)
                  .ok());
  EXPECT_EQ(config.unit_id(), "gw-17");
  EXPECT_TRUE(config.needs_approval());
  EXPECT_EQ(config.rollback_window().seconds(), 5400);
  EXPECT_EQ(config.budgets().forward_attempts(), 5u);
  EXPECT_EQ(config.nodes(0).profile(), config::v1::AOS8);
  EXPECT_EQ(config.nodes(1).node_id(), "mcu");
  EXPECT_EQ(config.health().probes(0).exec().command(1), "/proc/loadavg");
  EXPECT_DOUBLE_EQ(config.health().probes(0).exec().threshold().max(), 2.5);
}

TEST(YamlConfig, NamesTheLineOfAnUnknownKeyAndTheLikelyOne) {
  EXPECT_EQ(ErrorOf("unit_id: a\nhelth:\n  grace: 1s\n"),
            "cm.yaml:2: unknown key \"helth\" in the file; did you mean \"health\"?");
  EXPECT_THAT(ErrorOf("trust: {zzzzzzzz: 1}"), HasSubstr("known are: key_set, require_trusted_time"));
}

TEST(YamlConfig, RefusesValuesOfTheWrongType) {
  EXPECT_EQ(ErrorOf("unit_id: a\nbudgets:\n  forward_attempts: many\n"),
            "cm.yaml:3: \"budgets.forward_attempts\" is \"many\", it must be a whole number from 0 up");
  EXPECT_THAT(ErrorOf("rollback_window: soon"), HasSubstr("must be a duration such as"));
  EXPECT_THAT(ErrorOf("rollback_window: -5s"), HasSubstr("must be a duration such as"));
  EXPECT_THAT(ErrorOf("nodes: rootfs"), HasSubstr("must be a list"));
  EXPECT_THAT(ErrorOf("nodes:\n  - {profile: aos9}"), HasSubstr("one of tandem, aos8"));
  EXPECT_THAT(ErrorOf("cloud: [1]"), HasSubstr("must be a mapping of mqtt"));
  EXPECT_THAT(ErrorOf("needs_approval: perhaps"), HasSubstr("true or false"));
}

TEST(YamlConfig, RefusesTwoOfWhatExcludesEachOther) {
  EXPECT_THAT(ErrorOf("preconditions:\n  - {name: x, watchdog: {}, exec: {command: [a]}}"),
              HasSubstr("exclude each other"));
  EXPECT_THAT(ErrorOf("unit_id: a\nunit_id: b\n"), HasSubstr("given twice"));
}

// Half of a configuration that is not in force, and nobody hears of it.
TEST(YamlConfig, RefusesASecondDocument) {
  EXPECT_THAT(ErrorOf("unit_id: gw\n---\nneeds_approval: true\n"), HasSubstr(":3: a second YAML document"));
  EXPECT_THAT(ErrorOf("unit_id: gw\n...\nneeds_approval: true\n"), HasSubstr("a second YAML document"));
  EXPECT_THAT(ErrorOf("unit_id: gw\n---\n- [not: even: yaml"), HasSubstr("not YAML"));
  config::v1::CmConfig config;
  EXPECT_TRUE(Load("---\nunit_id: gw\n...\n", config).ok());
}

TEST(YamlConfig, RefusesWhatIsNotYaml) { EXPECT_THAT(ErrorOf("a: [1,\n b"), HasSubstr("not YAML")); }

TEST(YamlConfig, SaysWhichRequiredFieldIsMissing) {
  config::v1::CmConfig config;
  ASSERT_TRUE(Load("unit_id: a", config).ok());
  EXPECT_TRUE(Require("cm.yaml", config, {"unit_id"}).ok());
  EXPECT_EQ(Require("cm.yaml", config, {"unit_id", "trust.key_set"}).message(),
            "cm.yaml: \"trust.key_set\" is missing; add it");
}

TEST(YamlConfig, SaysWhichFileCannotBeRead) {
  config::v1::CmConfig config;
  const absl::Status status = LoadYamlFile("/nowhere/cm.yaml", config);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/cm.yaml"));
}

TEST(YamlConfig, TellsWhereEachValueStands) {
  config::v1::CmConfig config;
  ConfigLines lines;
  ASSERT_TRUE(
      LoadYamlText("unit_id: a\nbudgets:\n  start: 1m\nnodes:\n  - node_id: x\n  - node_id: y\n    profile: aos8\n",
                   "cm.yaml", config, &lines)
          .ok());
  EXPECT_EQ(lines.Of("unit_id"), "cm.yaml:1");
  EXPECT_EQ(lines.Of("budgets.start"), "cm.yaml:3");
  EXPECT_EQ(lines.Of("budgets.prepare"), "cm.yaml:2");
  EXPECT_EQ(lines.Of("nodes[1].node_id"), "cm.yaml:6");
  EXPECT_EQ(lines.Of("nodes[1].profile"), "cm.yaml:7");
  EXPECT_EQ(lines.Of("nodes[1].computer"), "cm.yaml:6");
  EXPECT_EQ(lines.Of("cloud.mqtt.url"), "cm.yaml");
}

TEST(YamlConfig, SaysThatAFolderIsOne) {
  config::v1::CmConfig config;
  const absl::Status status = LoadYamlFile("/tmp", config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/tmp is a folder"));
}

}  // namespace
}  // namespace tandem
