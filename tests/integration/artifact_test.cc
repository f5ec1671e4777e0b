// Where bytes come from, and what happens when they do not: a real web server, a real tandem-um with payloads, offline
// bundles made and applied with the real programs.
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/image/stager.h"
#include "common/process/run_command.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/unit_under_test.h"
#include "tests/support/nginx.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

const std::map<std::string, std::string> kAllNew = {{"config", "2.0"}, {"map", "2.0"}, {"model", "2.0"}};

// Bytes that do not repeat, so that a part in the wrong place is seen.
std::string Bytes(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (char& c : bytes) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>(seed >> 24);
  }
  return bytes;
}

class ArtifactTest : public testing::Test {
 protected:
  // `cm_extra`: of CM's configuration.
  explicit ArtifactTest(std::string cm_extra = "") : unit_(std::move(cm_extra)) {}

  void SetUp() override {
    for (const auto& [node_id, version] : kAllNew) unit_.AddUm({.node_id = node_id, .behaviour = {}, .payload = true});
    server_ = *Nginx::Start();
    unit_.SetBaseUrls({server_->url()});
  }

  void Put(Nginx& server, const std::map<std::string, std::string>& versions = kAllNew) {
    for (const auto& [node_id, version] : versions) {
      server.Put(unit_.ArtifactPath(node_id, version), unit_.Content(node_id, version));
    }
  }

  void ExpectAll(const std::string& version) {
    for (const auto& [node_id, unused] : kAllNew) {
      EXPECT_TRUE(unit_.WaitFor([&] { return unit_.UmState(node_id) == "IDLE"; })) << node_id << unit_.Story();
      EXPECT_EQ(unit_.Version(node_id), version) << node_id;
      EXPECT_EQ(Payload(node_id), unit_.Content(node_id, version)) << node_id;
    }
  }

  std::string Payload(const std::string& node_id) {
    std::ifstream file(absl::StrCat(unit_.folder(), "/data-", node_id, "/current/payload"), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // Of one UM's first component, as CM knows it.
  uint64_t BytesDone(const std::string& node_id) {
    const auto status = unit_.Status();
    if (!status.has_value()) return 0;
    for (const auto& um : status->ums()) {
      if (um.node_id() == node_id && !um.components().empty()) return um.components(0).bytes_done();
    }
    return 0;
  }

  std::string Activity(const std::string& node_id) {
    const auto status = unit_.Status();
    if (!status.has_value()) return "";
    for (const auto& um : status->ums()) {
      if (um.node_id() == node_id) return um.activity();
    }
    return "";
  }

  UnitUnderTest unit_;
  std::unique_ptr<Nginx> server_;
};

TEST_F(ArtifactTest, PayloadsAreFetchedFromTheServerOnceEach) {
  unit_.SetContent("model", "2.0", Bytes(5 << 20, 1));
  Put(*server_);
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll("2.0");
  EXPECT_EQ(server_->Requests().size(), 3u);
}

TEST_F(ArtifactTest, AKilledUmGoesOnWhereItsDownloadWas) {
  constexpr uint64_t kSize = 24 << 20;
  unit_.SetContent("model", "2.0", Bytes(kSize, 2));
  Put(*server_);
  ASSERT_TRUE(server_->Restart(/*bytes_per_second=*/16 << 20).ok());
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitFor([&] { return BytesDone("model") > kSize / 2; })) << unit_.Story();
  unit_.RestartUm("model");
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll("2.0");
  const std::string path = "/" + unit_.ArtifactPath("model", "2.0");
  uint64_t resumed_at = 0;
  int requests = 0;
  for (const Nginx::Request& request : server_->Requests()) {
    if (request.path != path) continue;
    ++requests;
    resumed_at = std::max(resumed_at, request.offset);
  }
  EXPECT_EQ(requests, 2);
  // It had more than half; what was not yet durable is fetched again, and no more.
  EXPECT_GE(resumed_at, kSize / 2 - kStageCheckpoint);
}

TEST_F(ArtifactTest, AServerThatIsDownIsWaitedFor) {
  Put(*server_);
  server_->Stop();
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitFor([&] { return absl::StrContains(Activity("model"), "trying again in"); })) << unit_.Story();
  EXPECT_EQ(unit_.Phase(), "Preparing");
  ASSERT_TRUE(server_->Restart().ok());
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll("2.0");
}

TEST_F(ArtifactTest, AServerThatBreaksOffIsAskedForTheRest) {
  constexpr uint64_t kSize = 12 << 20;
  unit_.SetContent("model", "2.0", Bytes(kSize, 3));
  Put(*server_);
  ASSERT_TRUE(server_->Restart(/*bytes_per_second=*/12 << 20).ok());
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitFor([&] { return BytesDone("model") >= 4 << 20; })) << unit_.Story();
  ASSERT_TRUE(server_->Restart().ok());
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll("2.0");
  EXPECT_GE(server_->Requests().back().offset, 4u << 20) << "nothing that is there is fetched again";
}

TEST_F(ArtifactTest, ADeadMirrorIsPassedOver) {
  const auto dead = *Nginx::Start();
  const std::string dead_url = dead->url();
  dead->Stop();
  Put(*server_);
  unit_.SetBaseUrls({dead_url, server_->url()});
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll("2.0");
}

TEST_F(ArtifactTest, AMirrorWithWrongBytesIsPassedOver) {
  const auto wrong = *Nginx::Start();
  Put(*wrong);
  wrong->Put(unit_.ArtifactPath("model", "2.0"), std::string(unit_.Content("model", "2.0").size(), 'x'));
  Put(*server_);
  unit_.SetBaseUrls({wrong->url(), server_->url()});
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll("2.0");
}

// What a server refuses, or sends wrongly, may get better until the budget is spent.
class ShortPrepareTest : public ArtifactTest {
 protected:
  ShortPrepareTest() : ArtifactTest("budgets: {prepare: 5s}\n") {}

  void ExpectTheBudgetEndsIt(const std::string& because) {
    ASSERT_TRUE(unit_.WaitForOutcome("reverted")) << unit_.Story();
    const std::string reason = unit_.Status()->last_update().reason();
    EXPECT_THAT(reason, HasSubstr("Preparing took longer than 5s, waiting for: "));
    EXPECT_THAT(reason, HasSubstr(because));
    ExpectAll("1.0");
  }
};

TEST_F(ShortPrepareTest, WrongBytesEverywhereEndTheUpdateWithAClearReason) {
  Put(*server_);
  server_->Put(unit_.ArtifactPath("model", "2.0"), std::string(unit_.Content("model", "2.0").size(), 'x'));
  unit_.Start();
  unit_.Assign(kAllNew);
  ExpectTheBudgetEndsIt("do not match");
}

TEST_F(ShortPrepareTest, AnArtifactThatIsNowhereEndsTheUpdateWithAClearReason) {
  Put(*server_);
  server_->Remove(unit_.ArtifactPath("map", "2.0"));
  unit_.Start();
  unit_.Assign(kAllNew);
  ExpectTheBudgetEndsIt("404");
}

TEST_F(ArtifactTest, AnArtifactThatIsNotThereYetIsWaitedFor) {
  Put(*server_);
  server_->Remove(unit_.ArtifactPath("map", "2.0"));
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitFor([&] { return absl::StrContains(Activity("map"), "404"); })) << unit_.Story();
  Put(*server_);
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll("2.0");
}

// --- offline ---

class BundleTest : public ArtifactTest {
 protected:
  // {folder}/bundle.tar, with everything that kAllNew wants.
  void MakeBundle() {
    const DesiredEnvelopes desired = unit_.MakeDesired(kAllNew, 1, {});
    std::vector<std::string> argv = {Program("tandem-release"),
                                     "bundle",
                                     "--assignment",
                                     Write("a", desired.assignment),
                                     "--release",
                                     Write("r", desired.releases[0]),
                                     "--list",
                                     Write("l", desired.release_list),
                                     "--key-set",
                                     Write("k", desired.key_sets[0]),
                                     "--artifacts",
                                     unit_.folder() + "/site/artifacts",
                                     "--out",
                                     bundle()};
    for (const auto& [node_id, version] : kAllNew) {
      const std::filesystem::path path = unit_.folder() + "/site/" + unit_.ArtifactPath(node_id, version);
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path, std::ios::binary) << unit_.Content(node_id, version);
    }
    const auto made = RunCommand({.argv = argv});
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_EQ(made->exit_code, 0) << made->output << made->error_output;
  }

  // Exit code and output of tandemctl apply.
  std::pair<int, std::string> Apply() {
    const auto result =
        RunCommand({.argv = {Program("tandemctl"), "--socket", unit_.folder() + "/cm.sock", "apply", bundle()}});
    if (!result.ok()) return {-1, result.status().ToString()};
    return {result->exit_code, result->output + result->error_output};
  }

  std::string Program(const std::string& name) { return UnitUnderTest::Program(name); }
  std::string bundle() { return unit_.folder() + "/bundle.tar"; }
  bool AllThere() {
    return unit_.WaitFor([&] {
      for (const auto& [node_id, version] : kAllNew) {
        if (unit_.UmState(node_id) != "IDLE") return false;
      }
      return true;
    });
  }
  bool WaitForEnd(const std::string& outcome) {
    return unit_.WaitFor([&] {
      const auto status = unit_.Status();
      return status.has_value() && status->phase() == "Idle" && status->last_update().outcome() == outcome;
    });
  }

 private:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = unit_.folder() + "/" + name + ".json";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
};

TEST_F(BundleTest, AStickWithABundleUpdatesTheUnitWithoutAnyServer) {
  server_->Stop();
  MakeBundle();
  unit_.Start();
  ASSERT_TRUE(AllThere()) << unit_.Story();
  const auto [code, output] = Apply();
  EXPECT_EQ(code, 0) << output;
  ASSERT_TRUE(WaitForEnd("applied")) << unit_.Story();
  ExpectAll("2.0");
}

TEST_F(BundleTest, AUmGoesOnReadingTheBundleWhenCmWasRestarted) {
  unit_.SetContent("model", "2.0", Bytes(96 << 20, 4));
  server_->Stop();
  MakeBundle();
  unit_.Start();
  ASSERT_TRUE(AllThere()) << unit_.Story();
  const auto [code, output] = Apply();
  EXPECT_EQ(code, 0) << output;
  ASSERT_TRUE(unit_.WaitFor([&] { return BytesDone("model") > 0; })) << unit_.Story();
  kill(unit_.um_pid("model"), SIGSTOP);
  ASSERT_NE(unit_.UmState("model"), "PREPARED") << "the test came too late";
  unit_.KillCm();
  kill(unit_.um_pid("model"), SIGCONT);
  unit_.StartCm();
  ASSERT_TRUE(WaitForEnd("applied")) << unit_.Story();
  ExpectAll("2.0");
}

TEST_F(BundleTest, ABundleThatIsCutOffIsRefusedWithAReason) {
  MakeBundle();
  std::filesystem::resize_file(bundle(), std::filesystem::file_size(bundle()) * 2 / 3);
  unit_.Start();
  ASSERT_TRUE(AllThere()) << unit_.Story();
  const auto [code, output] = Apply();
  EXPECT_EQ(code, 1) << output;
  EXPECT_THAT(output, HasSubstr("bundle.tar"));
  EXPECT_THAT(output, HasSubstr("cut off"));
  EXPECT_EQ(unit_.Phase(), "Idle");
  ExpectAll("1.0");
}

TEST_F(BundleTest, AStickThatIsPulledOutMidwayBringsTheUnitBack) {
  MakeBundle();
  unit_.Start();
  ASSERT_TRUE(AllThere()) << unit_.Story();
  // Comes when the others are prepared already.
  unit_.KillUm("model");
  const auto [code, output] = Apply();
  EXPECT_EQ(code, 0) << output;
  ASSERT_TRUE(unit_.WaitFor([&] {
    return unit_.UmState("map") == "PREPARED" && unit_.UmState("config") == "PREPARED";
  })) << unit_.Story();
  std::filesystem::remove(bundle());
  unit_.StartUm("model");
  ASSERT_TRUE(WaitForEnd("reverted")) << unit_.Story();
  EXPECT_THAT(unit_.Status()->last_update().reason(), HasSubstr("artifacts for model"));
  EXPECT_THAT(unit_.Status()->last_update().reason(), HasSubstr("bundle.tar"));
  ExpectAll("1.0");
}

}  // namespace
}  // namespace tandem
