// The program itself against a real server: what it prints and how it ends.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/process/run_command.h"
#include "fleet/api/grpc_server.h"
#include "fleet/store/rollout_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fleet_api.h"

namespace tandem::fleet {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class FleetctlTest : public ::testing::Test {
 protected:
  FleetctlTest() {
    auto started = GrpcServer::Start(fixture_.operations, fixture_.authenticator, {.listen = "127.0.0.1:0"});
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    Write("token", fixture_.Token("rita", v1::RELEASE_MANAGER));
  }
  ~FleetctlTest() override { fixture_.operations.Stop(); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = absl::StrCat(fixture_.folder, "/", name);
    std::ofstream(path) << content;
    return path;
  }

  // Standard output, and standard error when it must fail; `code`: how it must end.
  std::string Run(std::vector<std::string> arguments, int code = 0) {
    std::vector<std::string> argv = {TANDEM_FLEETCTL_BINARY, "--server", absl::StrCat("127.0.0.1:", server_->port()),
                                     "--token-file", fixture_.folder + "/token"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const auto result = RunCommand({.argv = argv, .timeout = absl::Seconds(60)});
    if (!result.ok()) return std::string(result.status().message());
    EXPECT_EQ(result->exit_code, code) << arguments[0] << ": " << result->output;
    return code == 0 ? result->output : result->output + result->error_output;
  }

  ApiFixture fixture_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(FleetctlTest, GoesFromAnEmptyFleetToARolloutAndTakesItBack) {
  const std::string release = fixture_.maker.MakeRelease("gw-2", {{.id = "rootfs", .type = "rootfs", .version = "2"}});
  EXPECT_THAT(Run({"keys", "show"}), HasSubstr("there is no key set"));
  EXPECT_THAT(Run({"keys", "import", Write("keys.json", fixture_.maker.KeySetEnvelope())}), HasSubstr("key set: 1"));
  EXPECT_THAT(Run({"releases", "import", Write("gw-2.json", release), "--base-url", "https://u.example.com/"}),
              HasSubstr("not in the release list"));
  EXPECT_THAT(
      Run({"keys", "release-list", Write("list.json", fixture_.maker.Seal(fixture_.maker.ListOf(1, {release})))}),
      HasSubstr("release list: 1, 1 releases"));
  EXPECT_THAT(Run({"units", "register", Write("units.csv", "unit_id,region\ngw-1,eu\ngw-2,us\n")}), HasSubstr("2 new"));
  EXPECT_THAT(Run({"units", "list", "--filter", "region == \"eu\""}), HasSubstr("gw-1"));
  EXPECT_THAT(Run({"units", "show", "gw-1"}), HasSubstr("region: eu"));
  EXPECT_THAT(Run({"releases", "list"}), HasSubstr("gw-2"));
  EXPECT_THAT(Run({"rollout", "plan", "--release", "gw-2"}), HasSubstr("plan for release gw-2"));
  const auto made = nlohmann::json::parse(Run({"--json", "rollout", "create", "--release", "gw-2", "--rings", "100%"}));
  EXPECT_EQ(made["id"], "1");
  EXPECT_THAT(Run({"rollout", "list"}), HasSubstr("gw-2"));
  EXPECT_THAT(Run({"rollout", "pause", "1", "--reason", "wait"}), HasSubstr("PAUSED"));
  EXPECT_THAT(Run({"rollout", "resume", "1", "--revision", "1"}, 1), HasSubstr("somebody else changed it"));
  EXPECT_THAT(Run({"rollout", "resume", "1"}), HasSubstr("rollout 1"));
  EXPECT_THAT(Run({"fleet"}), HasSubstr("fleet acme  2 units"));
  EXPECT_THAT(Run({"rollout", "abort", "1", "--reason", "no"}), HasSubstr("abort"));
  EXPECT_THAT(Run({"audit", "--object", "rollout/1"}), HasSubstr("rollout.abort"));
  EXPECT_THAT(Run({"releases", "freeze", "gw-2", "--reason", "bad"}), HasSubstr("FROZEN"));
  EXPECT_THAT(Run({"rollout", "create", "--release", "gw-2"}, 1), HasSubstr("frozen"));
  EXPECT_THAT(Run({"stops", "add", "--reason", "all halt"}), HasSubstr("stop 1 is in force"));
  EXPECT_THAT(Run({"stops", "list"}), HasSubstr("all units"));
  EXPECT_THAT(Run({"stops", "lift", "1"}), HasSubstr("is lifted"));
}

TEST_F(FleetctlTest, WatchEndsWithTheRolloutAndSaysHow) {
  fixture_.ImportReleases({"r1"});
  fixture_.RegisterUnits("gw", 3);
  for (const auto& [state, code] : {std::pair(RolloutState::kComplete, 0), std::pair(RolloutState::kAborted, 1)}) {
    v1::CreateRolloutRequest create;
    *create.mutable_spec() = fixture_.Spec("r1");
    const auto made = fixture_.operations.CreateRollout(kManager, create);
    ASSERT_TRUE(made.ok()) << made.status();
    std::string output;
    std::thread watcher([&, code = code] { output = Run({"rollout", "watch", absl::StrCat(made->id())}, code); });
    const absl::Status written = fixture_.store->Write("end", [&, state = state](StoreTransaction& tx) -> absl::Status {
      RolloutTable table(tx);
      const RolloutRow before = *table.Get(static_cast<int64_t>(made->id()));
      RolloutRow after = before;
      after.state = state;
      return table.Save(before, after);
    });
    EXPECT_TRUE(written.ok()) << written;
    watcher.join();
    EXPECT_THAT(output, HasSubstr(std::string(Name(state))));
  }
}

TEST_F(FleetctlTest, TokensAreMadeWithNothingButTheSecretOnStandardOutput) {
  const auto made = nlohmann::json::parse(Run({"--json", "tokens", "create", "--name", "vera", "--role", "viewer"}));
  const std::string secret = made["secret"];
  EXPECT_THAT(secret, StartsWith("tnd_"));
  Write("token", secret + "\n");
  EXPECT_THAT(Run({"whoami"}), HasSubstr("token:vera, viewer"));
  EXPECT_THAT(Run({"tokens", "list"}, 1), HasSubstr("needs the role release manager"));
  Write("token", "tnd_wrong");
  EXPECT_THAT(Run({"fleet"}, 1), HasSubstr("the token that was sent is not good"));
}

TEST_F(FleetctlTest, WrongUseEndsWithTwo) {
  Run({"nope"}, 2);
  Run({"units", "show"}, 2);
  Run({"units", "revoke", "gw-1"}, 2);
  Run({"--certificate", "x", "fleet"}, 2);
  Write("token", "not a token");
  EXPECT_THAT(Run({"fleet"}, 2), HasSubstr("holds no token"));
}

TEST_F(FleetctlTest, EveryCommandHasExamples) {
  const std::vector<std::string> groups = {"fleet",           "whoami",          "audit",           "units list",
                                           "units show",      "units register",  "units revoke",    "releases list",
                                           "releases show",   "releases import", "releases freeze", "releases unfreeze",
                                           "rollout plan",    "rollout create",  "rollout list",    "rollout show",
                                           "rollout watch",   "rollout pause",   "rollout resume",  "rollout abort",
                                           "rollout promote", "rollout retry",   "stops add",       "stops list",
                                           "stops lift",      "keys show",       "keys import",     "keys release-list",
                                           "tokens create",   "tokens list",     "tokens revoke",   "completion"};
  for (const std::string& command : groups) {
    std::vector<std::string> arguments = absl::StrSplit(command, ' ');
    arguments.emplace_back("--help");
    EXPECT_THAT(Run(arguments), HasSubstr("Examples:\n")) << command;
  }
}

TEST_F(FleetctlTest, BashCompletesCommandsAndOptions) {
  const std::string script = Write("completion.bash", Run({"completion", "bash"}));
  const auto complete = [&](const std::string& words, int at) {
    const auto result =
        RunCommand({.argv = {"bash", "-c",
                             absl::StrCat("source ", script, "; COMP_WORDS=(", words, "); COMP_CWORD=", at,
                                          "; _tandem_fleetctl; echo ${COMPREPLY[@]}")}});
    return result.ok() ? result->output : std::string(result.status().message());
  };
  EXPECT_EQ(complete("tandem-fleetctl roll", 1), "rollout\n");
  EXPECT_EQ(complete("tandem-fleetctl --json rollout pr", 3), "promote\n");
  EXPECT_EQ(complete("tandem-fleetctl rollout abort --on", 3), "--on-abort\n");
  EXPECT_EQ(complete("tandem-fleetctl rollout abort --jso", 3), "--json\n");
}

}  // namespace
}  // namespace tandem::fleet
