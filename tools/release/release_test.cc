// tandem-release from the outside: what a release manager does, and what a unit makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cm/artifacts/bundle.h"
#include "cm/cloud/mqtt_bridge.h"
#include "cm/trust/verifier.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/process/run_command.h"
#include "common/storage/file_system.h"
#include "nlohmann/json.hpp"
#include "tests/support/mosquitto.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class ReleaseToolTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "release_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    Write("rootfs.img", std::string(3'000'000, 'r'));
    Write("maps.bin", "maps");
    Write("spec.yaml", R"(
namespace: acme
release_id: gw-2
components:
  - {component_type: linux, component_id: rootfs, version: 2.0.0, file: rootfs.img}
  - {component_type: maps, plane: model, version: "8", file: maps.bin}
probes:
  - {name: web, http: {url: "http://127.0.0.1/health"}, grace: 10s}
)");
    for (const char* key : {"root", "rel1", "rel2"}) Ok(absl::StrCat("key new --out @/", key, ".pem"));
    Ok("key new --out @/online.pem --algorithm ecdsa-p256");
    Ok("keyset new --namespace acme --root @/root.pem --release @/rel1.pem.pub @/rel2.pem.pub --release-threshold 2 "
       "--assignment @/online.pem.pub --out @/keys.json");
    Ok("create --spec @/spec.yaml --out @/site --key @/rel1.pem");
    Ok("sign @/site/releases/gw-2.json --key @/rel2.pem");
    Ok("list --namespace acme --release @/site/releases/gw-2.json --key @/rel1.pem @/rel2.pem --out @/list.json");
    Ok("assign --namespace acme --unit gw --sequence 7 --release @/site/releases/gw-2.json --base-url "
       "http://127.0.0.1:1/ --key @/online.pem --out @/assignment.json");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // "@" stands for the test's folder.
  Command CommandOf(const std::string& line) {
    Command command;
    command.argv = {TANDEM_RELEASE_BINARY};
    for (absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
      std::string argument(word);
      if (argument[0] == '@') argument.replace(0, 1, folder_);
      command.argv.push_back(argument);
    }
    return command;
  }
  CommandResult Run(const std::string& line) {
    absl::StatusOr<CommandResult> result = RunCommand(CommandOf(line));
    EXPECT_TRUE(result.ok()) << result.status();
    return *result;
  }
  std::string Ok(const std::string& line) {
    const CommandResult result = Run(line);
    EXPECT_EQ(result.exit_code, 0) << line << "\n" << result.error_output;
    return result.output;
  }
  std::string Fails(const std::string& line) {
    const CommandResult result = Run(line);
    EXPECT_EQ(result.exit_code, 1) << line << "\n" << result.output;
    return result.error_output;
  }
  void Write(const std::string& name, const std::string& content) { std::ofstream(folder_ + "/" + name) << content; }

  static constexpr char kDocuments[] =
      "--assignment @/assignment.json --release @/site/releases/gw-2.json --list @/list.json --key-set @/keys.json";
  void MakeBundle() { Ok(absl::StrCat("bundle ", kDocuments, " --artifacts @/site/artifacts --out @/b.tar")); }

  // A unit that trusts the key set.
  absl::StatusOr<cm::AcceptedDesired> AsUnit(const DesiredEnvelopes& documents) {
    record::v1::TrustRecord trust;
    trust.add_key_sets(*FileSystem::Real().ReadFile(folder_ + "/keys.json"));
    trust.set_key_set_version(1);
    return cm::VerifyDesired(documents,
                             {.unit_id = "gw",
                              .name_space = "acme",
                              .installed = {{"rootfs", "linux", "1.0.0"}, {"maps", "maps", "7"}},
                              .now = absl::Now()},
                             trust);
  }

  std::string folder_;
};

TEST_F(ReleaseToolTest, AUnitAcceptsWhatTheToolMade) {
  MakeBundle();
  absl::StatusOr<cm::Bundle> bundle = cm::OpenBundle(folder_ + "/b.tar");
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  absl::StatusOr<cm::AcceptedDesired> accepted = AsUnit(bundle->documents);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  ASSERT_EQ(accepted->releases.size(), 1u);
  const release::v1::Release& release = accepted->releases[0].release;
  ASSERT_EQ(release.components_size(), 2);
  EXPECT_EQ(release.components(0).chunks().digests().size(), 3u * 32);
  EXPECT_EQ(release.health().probes(0).name(), "web");
  // The bytes of the artifact are where the bundle says.
  const cm::FileRange range = bundle->artifacts.at(release.components(1).sha256());
  auto file = FileSystem::Real().Open(range.path, FileSystem::OpenMode::kReadOnly);
  EXPECT_EQ(*(*file)->ReadAt(range.offset, range.size), "maps");
}

TEST_F(ReleaseToolTest, GoodBundlesVerifyAndDamagedOnesDoNot) {
  MakeBundle();
  EXPECT_THAT(Ok("verify @/b.tar @/list.json @/assignment.json --key-set @/keys.json"), HasSubstr("b.tar: good"));
  std::string bytes = *FileSystem::Real().ReadFile(folder_ + "/b.tar");
  const size_t artifact = bytes.rfind("rrrr");
  bytes[artifact] = 'x';
  Write("b.tar", bytes);
  EXPECT_THAT(Fails("verify @/b.tar --key-set @/keys.json"), HasSubstr("does not match its name"));
  EXPECT_THAT(Fails("verify @/list.json --key-set @/keys.json --at 2999-01-01"), HasSubstr("expired"));
}

TEST_F(ReleaseToolTest, ATooSmallNumberOfSignaturesIsFound) {
  Ok("list --from @/list.json --key @/rel1.pem --out @/half.json");
  EXPECT_THAT(Fails("verify @/half.json --key-set @/keys.json"), HasSubstr("signed by 1 of the 2 keys"));
  Ok("sign @/half.json --key @/rel2.pem");
  Ok("verify @/half.json --key-set @/keys.json");
}

TEST_F(ReleaseToolTest, AWithdrawnReleaseIsRefusedByTheUnit) {
  Ok("list --from @/list.json --withdraw @/site/releases/gw-2.json --key @/rel1.pem @/rel2.pem --out @/list.json");
  EXPECT_THAT(Fails(absl::StrCat("bundle ", kDocuments, " --artifacts @/site/artifacts --out @/b.tar")),
              HasSubstr("not in the release list"));
  const DesiredEnvelopes desired = *ParseDesired(Ok(absl::StrCat("desired --bare ", kDocuments)));
  EXPECT_EQ(AsUnit({.assignment = desired.assignment,
                    .releases = desired.releases,
                    .release_list = desired.release_list,
                    .key_sets = desired.key_sets})
                .status()
                .code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(ReleaseToolTest, ABundleThatAUnitWouldRefuseIsNotMade) {
  const std::string bundle = absl::StrCat("bundle ", kDocuments, " --artifacts @/site/artifacts --out @/b.tar");
  const std::string assign =
      "assign --namespace acme --unit gw --base-url http://127.0.0.1:1/ --key @/online.pem --out @/assignment.json ";
  Ok(assign + "--sequence 8 --release @/site/releases/gw-2.json --expires 2020-01-01");
  EXPECT_THAT(Fails(bundle), HasSubstr("the assignment expired at 2020"));
  Write("spec.yaml",
        "namespace: acme\nrelease_id: gw-3\ncomponents: [{component_type: maps, version: 9, file: maps.bin}]\n");
  Ok("create --spec @/spec.yaml --out @/site --key @/rel1.pem @/rel2.pem");
  Ok(assign + "--sequence 8 --release @/site/releases/gw-3.json");
  EXPECT_THAT(Fails(bundle), HasSubstr("which the assignment names, is missing"));
  Ok(assign + "--sequence 8 --release @/site/releases/gw-2.json");
  EXPECT_THAT(
      Fails(absl::StrCat("bundle --assignment @/list.json --release @/site/releases/gw-2.json --list @/list.json "
                         "--artifacts @/site/artifacts --out @/b.tar")),
      HasSubstr("assignment: it is no "));
  EXPECT_FALSE(FileSystem::Real().Exists(folder_ + "/b.tar"));
}

TEST_F(ReleaseToolTest, OnlyNumbersThatEverybodyReadsAreSigned) {
  for (const char* sequence :
       {"-1", "0", "+1", "1e3", "9007199254740993", "18446744073709551615", "-18446744073709551615"}) {
    const CommandResult result =
        Run(absl::StrCat("assign --namespace acme --unit gw --release @/site/releases/gw-2.json --key @/online.pem "
                         "--out @/never.json --sequence=",
                         sequence));
    EXPECT_EQ(result.exit_code, 2) << sequence;
    EXPECT_THAT(result.error_output, HasSubstr("not a whole number from 1")) << sequence;
  }
  EXPECT_FALSE(FileSystem::Real().Exists(folder_ + "/never.json"));
}

TEST_F(ReleaseToolTest, AKeyOfAnotherRoleDoesNotSign) {
  const std::string refused = Fails("sign @/list.json --key @/online.pem --key-set @/keys.json");
  EXPECT_THAT(refused, HasSubstr("online.pem is a key of role assignment; this document is signed by role release"));
  EXPECT_THAT(Fails("sign @/assignment.json --key @/root.pem --key-set @/keys.json"), HasSubstr("of role root"));
  Ok("key new --out @/stranger.pem");
  EXPECT_THAT(Fails("sign @/list.json --key @/stranger.pem --key-set @/keys.json"), HasSubstr("in no role"));
  Ok("sign @/list.json --key @/rel2.pem --key-set @/keys.json");
  Ok("keyset rotate --from @/keys.json --root @/root.pem @/stranger.pem.pub --sign @/root.pem --out @/keys2.json");
  Ok("sign @/keys2.json --key @/stranger.pem --key-set @/keys.json");
}

TEST_F(ReleaseToolTest, WhatIsNoDocumentIsCalledWhatItIs) {
  Write("empty", "");
  Write("text", "hello\n");
  for (const char* command : {"inspect ", "verify --key-set @/keys.json "}) {
    EXPECT_THAT(Fails(absl::StrCat(command, "@/empty")), HasSubstr("empty is empty")) << command;
    EXPECT_THAT(Fails(absl::StrCat(command, "@/text")), HasSubstr("is text, but no JSON object")) << command;
  }
}

TEST_F(ReleaseToolTest, KeysRotate) {
  Ok("key new --out @/root2.pem");
  Ok("key new --out @/online2.pem");
  Ok("keyset rotate --from @/keys.json --root @/root2.pem --assignment @/online2.pem.pub --sign @/root.pem "
     "@/root2.pem --out @/keys2.json");
  Ok("verify @/keys2.json --key-set @/keys.json");
  EXPECT_THAT(Fails("verify @/assignment.json --key-set @/keys.json @/keys2.json"), HasSubstr("role assignment"));
}

TEST_F(ReleaseToolTest, DiagnosticsAreSignedWithTheRelease) {
  Write("spec.yaml", R"(namespace: acme
release_id: gw-4
components: [{component_type: maps, version: 9, file: maps.bin, plane: model}]
diagnostics:
  - name: inference
    run_after_ota: true
    timeout_secs: 120
    target: region == "eu"
    check: {exec: {command: [/usr/lib/acme/check], parameters: {limit_ms: "40"}, measurement: latency, threshold: {max: 40}}}
  - {name: camera, check: {device: {path: /dev/video0, min_bytes: 1000}}}
rollback: {order: [model]}
)");
  Ok("create --spec @/spec.yaml --out @/site --key @/rel1.pem");
  const nlohmann::json inspected = nlohmann::json::parse(Ok("inspect @/site/releases/gw-4.json --json"));
  const std::string text = inspected.dump();
  EXPECT_THAT(text, HasSubstr("\"limit_ms\":\"40\""));
  EXPECT_THAT(text, HasSubstr("/dev/video0"));
}

TEST_F(ReleaseToolTest, TheExampleOfThePageMakesARelease) {
  Write("spec.yaml", *FileSystem::Real().ReadFile(TANDEM_EXAMPLE_DIAGNOSTICS));
  Write("detector.bin", "a model");
  Ok("create --spec @/spec.yaml --out @/site --key @/rel1.pem");
}

TEST_F(ReleaseToolTest, ADiagnosticThatCannotWorkIsRefusedWithItsLine) {
  const std::string head =
      "namespace: acme\nrelease_id: gw-5\ncomponents: [{component_type: maps, version: 9, file: maps.bin}]\n";
  const auto refused = [&](const std::string& yaml) {
    Write("spec.yaml", head + yaml);
    return Fails("create --spec @/spec.yaml --out @/site --key @/rel1.pem");
  };
  EXPECT_THAT(refused("diagnostics:\n  - {name: good, check: {memory: {min_available_bytes: 1}}}\n"
                      "  - {name: web, check: {http: {url: nowhere}}}\n"),
              testing::AllOf(HasSubstr("spec.yaml:6: diagnostic \"web\""), HasSubstr("http.url must begin with http")));
  EXPECT_THAT(refused("diagnostics:\n  - {name: slow, timeout_secs: 301, check: {device: {path: /dev/x}}}\n"),
              testing::AllOf(HasSubstr("spec.yaml:5"), HasSubstr("at most 300")));
  EXPECT_THAT(refused("diagnostics:\n  - name: none\n"), HasSubstr("it checks nothing"));
  EXPECT_THAT(refused("diagnostics:\n  - {name: gate, check: {grace: 5s, device: {path: /dev/x}}}\n"),
              HasSubstr("only gates use"));
  EXPECT_THAT(refused("diagnostics:\n  - name: eu\n    target: region =\n    check: {device: {path: /dev/x}}\n"),
              HasSubstr("spec.yaml:6"));
  EXPECT_THAT(refused("rollback: {order: [model]}\n"),
              testing::AllOf(HasSubstr("spec.yaml:4"), HasSubstr("rollback.order")));
}

TEST_F(ReleaseToolTest, AReleaseIsNotOverwritten) {
  EXPECT_THAT(Fails("create --spec @/spec.yaml --out @/site"), HasSubstr("immutable"));
}

TEST_F(ReleaseToolTest, InspectWritesJsonForPrograms) {
  MakeBundle();
  const nlohmann::json bundle = nlohmann::json::parse(Ok("inspect @/b.tar --json"));
  EXPECT_EQ(bundle["assignment"]["document"]["sequence"], "7");
  EXPECT_EQ(bundle["artifacts"].size(), 2u);
  EXPECT_THAT(Ok("inspect @/assignment.json"), HasSubstr("unit_id: gw"));
}

TEST_F(ReleaseToolTest, MistakesOnTheCommandLineAreUsageErrors) {
  EXPECT_EQ(Run("no-such-command").exit_code, 2);
  EXPECT_EQ(Run("assign --namespace acme").exit_code, 2);
  EXPECT_EQ(Run("--help").exit_code, 0);
}

// ---- deploy, with a unit that only talks ----

class DeployTest : public ReleaseToolTest {
 protected:
  // Starts `deploy`; its result is there after Finish().
  void Deploy(const std::string& options = "--timeout 30s") {
    command_ = CommandOf(absl::StrCat("deploy --broker ", broker_.url(), " ", kDocuments, " ", options));
    command_.timeout = absl::Seconds(60);
    thread_ = std::thread([this] {
      absl::StatusOr<CommandResult> result = RunCommand(command_);
      loop_.Post([this, result = std::move(result)] { result_ = result; });
    });
  }
  bool RunUntil(const std::function<bool()>& done) {
    const absl::Duration deadline = Clock::Real().Monotonic() + absl::Seconds(40);
    while (!done()) {
      if (Clock::Real().Monotonic() > deadline) return false;
      if (loop_.RunReady() == 0) std::this_thread::yield();
    }
    return true;
  }
  CommandResult Finish() {
    EXPECT_TRUE(RunUntil([this] { return result_.ok() || !absl::IsUnknown(result_.status()); }));
    thread_.join();
    EXPECT_TRUE(result_.ok()) << result_.status();
    return result_.ok() ? *result_ : CommandResult{};
  }
  void StartUnit() {
    cm::MqttBridgeOptions options;
    options.unit_id = "gw";
    options.name_space = "acme";
    options.state_dir = folder_;
    options.boot_id = "boot";
    options.mqtt.url = broker_.url();
    unit_ = *cm::MqttBridge::Create(loop_, FileSystem::Real(), Clock::Real(), options);
    cm::CloudCallbacks callbacks;
    callbacks.desired = [this](DesiredEnvelopes documents) { desired_.push_back(std::move(documents)); };
    callbacks.verdict = [this](const std::string& envelope) { verdicts_.push_back(envelope); };
    ASSERT_TRUE(unit_->Start(callbacks).ok());
  }
  void Say(const std::string& state, const std::string& reason) {
    unit::v1::Feedback feedback;
    feedback.set_sequence(7);
    feedback.set_state(state);
    feedback.set_reason(reason);
    ASSERT_TRUE(unit_->QueueFeedback(feedback).ok());
  }
  // As a unit reports that has done what was assigned to it.
  unit::v1::Applied Applied() {
    unit::v1::Applied applied;
    applied.set_sequence(7);
    applied.add_components()->set_component_id("rootfs");
    applied.mutable_components(0)->set_component_type("linux");
    applied.mutable_components(0)->set_version("2.0.0");
    const auto accepted = AsUnit(desired_[0]);
    for (const auto& plane : accepted->assignment.planes()) {
      unit::v1::PlaneReport& report = *applied.add_planes();
      report.set_plane(release::v1::Plane_Name(plane.plane()));
      report.set_release_digest(HexEncode(plane.release_digest()));
      report.set_release_id("gw-2");
    }
    return applied;
  }

  Mosquitto broker_ = *Mosquitto::Start();
  EventLoop loop_{Clock::Real()};
  std::unique_ptr<cm::MqttBridge> unit_;
  std::vector<DesiredEnvelopes> desired_;
  std::vector<std::string> verdicts_;
  Command command_;
  std::thread thread_;
  absl::StatusOr<CommandResult> result_ = absl::UnknownError("runs");
};

TEST_F(DeployTest, EndsWithZeroWhenTheUnitAppliedAndEverythingWasAcknowledged) {
  StartUnit();
  Deploy();
  ASSERT_TRUE(RunUntil([this] { return !desired_.empty(); }));
  EXPECT_TRUE(AsUnit(desired_[0]).ok()) << AsUnit(desired_[0]).status();
  Say("accepted", "");
  ASSERT_TRUE(RunUntil([this] { return unit_->state().outbox_messages == 0; }));
  ASSERT_TRUE(unit_->QueueApplied(Applied()).ok());
  const CommandResult result = Finish();
  EXPECT_EQ(result.exit_code, 0) << result.error_output;
  EXPECT_THAT(result.output, HasSubstr("accepted"));
  EXPECT_THAT(result.output, HasSubstr("rootfs 2.0.0"));
}

TEST_F(DeployTest, EndsWithOneAndTheReasonWhenTheUnitReverted) {
  StartUnit();
  Deploy();
  ASSERT_TRUE(RunUntil([this] { return !desired_.empty(); }));
  Say("reverted", "probe \"web\" failed: status 500");
  const CommandResult result = Finish();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error_output, HasSubstr("probe \"web\" failed: status 500"));
}

TEST_F(DeployTest, EndsWithOneAndTheReasonWhenTheUnitRefused) {
  StartUnit();
  Deploy();
  ASSERT_TRUE(RunUntil([this] { return !desired_.empty(); }));
  unit::v1::Feedback other;
  other.set_sequence(6);
  other.set_state("refused");
  other.set_reason("of long ago");
  ASSERT_TRUE(unit_->QueueFeedback(other).ok());
  Say("refused", "sequence 7 is below 9");
  const CommandResult result = Finish();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error_output, HasSubstr("the unit says refused: sequence 7 is below 9"));
}

TEST_F(DeployTest, EndsWithOneWhenTheUnitHadThisSequenceBeforeWithAnotherRelease) {
  for (const bool other_release : {true, false}) {
    StartUnit();
    Deploy();
    ASSERT_TRUE(RunUntil([this] { return !desired_.empty(); }));
    unit::v1::Applied applied = Applied();
    if (other_release) {
      applied.mutable_planes(0)->set_release_digest(std::string(64, 'a'));
      applied.mutable_planes(0)->set_release_id("gw-1");
    } else {
      applied.mutable_components(0)->set_version("1.0.0");
    }
    ASSERT_TRUE(unit_->QueueApplied(applied).ok());
    const CommandResult result = Finish();
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.error_output,
                HasSubstr(other_release ? "is on release \"gw-1\"" : "rootfs is on 1.0.0, not on 2.0.0"));
    EXPECT_THAT(result.error_output, HasSubstr("a higher --sequence"));
    unit_.reset();
    result_ = absl::UnknownError("runs");
  }
}

TEST_F(DeployTest, AnswersAProvisionalReport) {
  StartUnit();
  EXPECT_EQ(Run("deploy --broker mqtt://localhost:1 --from @/b.tar --verdict verified").exit_code, 2);
  Deploy(absl::StrCat("--timeout 30s --verdict verified --key ", folder_, "/online.pem"));
  ASSERT_TRUE(RunUntil([this] { return !desired_.empty(); }));
  ASSERT_TRUE(unit_->QueueProvisional(Applied()).ok());
  ASSERT_TRUE(RunUntil([this] { return !verdicts_.empty(); }));
  const auto keys = TrustedKeys::FromFirst(*FileSystem::Real().ReadFile(folder_ + "/keys.json"), "acme");
  ASSERT_TRUE(keys.ok()) << keys.status();
  const auto verdict = OpenVerdict(verdicts_[0], *keys);
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_TRUE(verdict->document.verified());
  EXPECT_EQ(verdict->document.unit_id(), "gw");
  EXPECT_EQ(verdict->document.sequence(), 7u);
  ASSERT_TRUE(unit_->QueueApplied(Applied()).ok());
  EXPECT_EQ(Finish().exit_code, 0);
}

TEST_F(DeployTest, EndsWithOneWhenTheUnitIsSilent) {
  Deploy("--timeout 1s");
  const CommandResult result = Finish();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error_output, HasSubstr("has not finished within 1s"));
  // The unit finds the desired state when it comes.
  StartUnit();
  EXPECT_TRUE(RunUntil([this] { return !desired_.empty(); }));
}

}  // namespace
}  // namespace tandem
