#include "um-plugins/mcu/mcu_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/net/fake_http_fetcher.h"
#include "common/status/status.h"
#include "common/storage/fake_file_system.h"
#include "um-plugins/mcu/fake_line.h"
#include "um-plugins/mcu/fake_mcu.h"
#include "um/fake_cm.h"

namespace tandem::plugins {
namespace {

using smp::FakeLine;
using smp::FakeMcu;
using smp::FakeMcuOptions;
using smp::HashOfImage;
using smp::LineFaults;
using smp::MakeTestImage;
using smp::TestImageSpec;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class QuietOperation : public um::Operation {
 public:
  void ReportProgress(const std::string&, uint64_t done, uint64_t total) override {
    EXPECT_LE(done, total);
    done_ = done;
  }
  void ReportActivity(const std::string&) override {}
  bool Cancelled() const override { return cancelled_; }
  bool cancelled_ = false;
  uint64_t done_ = 0;
};

// A unit whose device runs version 1.0.0.
class Unit {
 public:
  explicit Unit(FakeMcuOptions options = {}, LineFaults faults = {}) : mcu_(options), faults_(faults) {
    fs_.Put("/state/keep", "");
    mcu_.Flash(0, MakeTestImage({.major = 1, .body_size = 900}));
    mcu_.CutPower(clock_.Monotonic());
    config_.set_node_id("motor");
    config_.set_state_dir("/state");
    config_.mutable_mcu()->set_component_type("motor-mcu");
    Restart();
  }

  // The process, after the power was cut, or not.
  void Restart() {
    plugin_ = std::make_unique<McuPlugin>(
        McuPlugin::Dependencies{.fs = fs_,
                                .clock = clock_,
                                .fetcher = fetcher_,
                                .connect = [this]() -> absl::StatusOr<std::unique_ptr<smp::SmpTransport>> {
                                  if (fs_.power_lost()) return absl::InternalError("the power is off");
                                  auto line = std::make_unique<FakeLine>(mcu_, clock_, faults_);
                                  ++faults_.seed;
                                  line->SetObserver([this](std::string_view packet) { return OnPacket(packet); });
                                  return line;
                                },
                                .run =
                                    [this](const Command& command) {
                                      commands_.push_back(command.argv[0]);
                                      mcu_.CutPower(clock_.Monotonic());
                                      return absl::OkStatus();
                                    }},
        config_);
  }

  um::Artifact Artifact(const TestImageSpec& spec, const std::string& version, uint64_t security_version = 0) {
    const std::string image = MakeTestImage(spec);
    fetcher_.Serve("http://cm/image" + version, image);
    return {.component_id = "motor",
            .component_type = "motor-mcu",
            .version = version,
            .urls = {"http://cm/image" + version},
            .sha256 = Sha256(image),
            .size = image.size(),
            .security_version = security_version};
  }
  um::Artifact Version2() { return Artifact(kTwo, "2.0.0"); }
  static std::string Hash2() { return HashOfImage(MakeTestImage(kTwo)); }

  std::string Version() { return plugin_->Inventory().value()[0].version; }

  static constexpr TestImageSpec kTwo = {.major = 2, .body_size = 2000};

  FakeFileSystem fs_;
  FakeHttpFetcher fetcher_;
  FakeClock clock_;
  FakeMcu mcu_;
  LineFaults faults_;
  config::v1::UmConfig config_;
  QuietOperation operation_;
  std::vector<std::string> commands_;
  std::unique_ptr<McuPlugin> plugin_;
  // Called with the number of each packet that is sent to the device.
  int packets_ = 0;
  int packets_before_ = 0;
  std::function<void(int)> on_packet_;

 private:
  absl::Status OnPacket(std::string_view) {
    ++packets_;
    if (on_packet_) on_packet_(packets_);
    return fs_.power_lost() ? absl::InternalError("the power is off") : absl::OkStatus();
  }
};

TEST(McuPluginTest, AnUpdateIsTestedAndThenConfirmed) {
  Unit unit;
  EXPECT_EQ(unit.Version(), "1.0.0");
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_EQ(unit.operation_.done_, MakeTestImage(Unit::kTwo).size());
  EXPECT_EQ(unit.mcu_.boots(), 1) << "Prepare touches nothing that runs";
  EXPECT_FALSE(unit.fs_.Exists("/state/image.bin"));

  ASSERT_EQ(unit.plugin_->Start(unit.operation_).value(), um::StartResult::kRunning);
  um::InstalledComponent component = unit.plugin_->Inventory().value()[0];
  EXPECT_EQ(component.version, "2.0.0");
  EXPECT_EQ(component.slots->running, "0");
  EXPECT_EQ(component.slots->trial, "0");
  EXPECT_EQ(component.slots->confirmed, "1");
  EXPECT_FALSE(unit.mcu_.RunningConfirmed());

  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok()) << "called again after a crash";
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  EXPECT_EQ(unit.plugin_->CheckAfterReboot(unit.operation_).value(), um::RebootCheck::kRunning);
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  unit.clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(unit.Version(), "2.0.0");
  EXPECT_TRUE(unit.plugin_->Seal().ok());
  EXPECT_FALSE(unit.plugin_->SwitchesBoot());
}

TEST(McuPluginTest, AnImageThatIsThereIsNotUploadedAgain) {
  Unit unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  const uint64_t uploaded = unit.mcu_.uploaded();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.uploaded(), uploaded);
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  // What runs already.
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.uploaded(), uploaded);
  // Back to the version before, of which CM knows no source.
  ASSERT_TRUE(
      unit.plugin_
          ->Prepare({{.component_id = "motor", .component_type = "motor-mcu", .version = "1.0.0"}}, unit.operation_)
          .ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  EXPECT_EQ(unit.Version(), "1.0.0");
  EXPECT_EQ(unit.mcu_.uploaded(), uploaded);
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
}

TEST(McuPluginTest, ASlotThatWasLeftHalfWrittenIsNotBelieved) {
  Unit unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  // The upload of another image is broken off before its first byte has changed the slot.
  const um::Artifact three = unit.Artifact({.major = 3, .body_size = 2000}, "3.0.0");
  unit.on_packet_ = [&](int packet) { unit.operation_.cancelled_ = packet > unit.packets_before_ + 4; };
  unit.packets_before_ = unit.packets_;
  EXPECT_TRUE(absl::IsCancelled(unit.plugin_->Prepare({three}, unit.operation_)));
  unit.on_packet_ = nullptr;
  unit.operation_.cancelled_ = false;
  unit.mcu_.Flash(1, MakeTestImage(Unit::kTwo));
  const uint64_t uploaded = unit.mcu_.uploaded();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_GE(unit.mcu_.uploaded(), uploaded + MakeTestImage(Unit::kTwo).size());
}

TEST(McuPluginTest, ADamagedImageInTheOtherSlotIsWrittenAgain) {
  for (const bool tells_bootable : {true, false}) {
    Unit unit({.tells_bootable = tells_bootable});
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    unit.mcu_.DamageOther();
    if (!tells_bootable) {
      // Only the refusal of the test shows it.
      EXPECT_THAT(std::string(unit.plugin_->Start(unit.operation_).status().message()), HasSubstr("refused the test"));
      EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
    }
    const uint64_t uploaded = unit.mcu_.uploaded();
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    EXPECT_GE(unit.mcu_.uploaded(), uploaded + MakeTestImage(Unit::kTwo).size());
    ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
    EXPECT_EQ(unit.Version(), "2.0.0");
  }
}

TEST(McuPluginTest, ADamagedImageIsNotTheVersionBeforeWithoutASource) {
  Unit unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  unit.mcu_.DamageOther();
  EXPECT_TRUE(absl::IsNotFound(unit.plugin_->Prepare(
      {{.component_id = "motor", .component_type = "motor-mcu", .version = "1.0.0"}}, unit.operation_)));
}

TEST(McuPluginTest, AnImageThatDidNotBootIsWrittenAgain) {
  Unit unit;
  unit.mcu_.MakeCrash(Unit::Hash2());
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_FALSE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  const uint64_t uploaded = unit.mcu_.uploaded();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_GT(unit.mcu_.uploaded(), uploaded);
}

TEST(McuPluginTest, ABadImageFallsBackAndIsGivenUpAfterItsAttempts) {
  for (const bool two_slots : {false, true}) {
    Unit unit({.two_slots = two_slots});
    unit.mcu_.MakeCrash(Unit::Hash2());
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    const absl::Status status = unit.plugin_->Start(unit.operation_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("start motor: boot of image 2.0.0 ("));
    EXPECT_THAT(std::string(status.message()), HasSubstr(" failed, the MCU fell back to 1.0.0 ("));
    EXPECT_EQ(unit.mcu_.boots(), two_slots ? 1 + 3 * 4 : 1 + 3 * 2);
    EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
    EXPECT_EQ(unit.Version(), "1.0.0");
    EXPECT_TRUE(unit.mcu_.RunningConfirmed());
    EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
  }
}

TEST(McuPluginTest, AnImageThatComesUpAfterEachResetHasItsAttemptsAgainUpToALimit) {
  Unit unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  const int limit = static_cast<int>(kMcuTestAttempts * kMcuTestRounds);
  for (int reset = 1; reset < limit; ++reset) {
    unit.mcu_.CutPower(unit.clock_.Monotonic());
    unit.Restart();
    ASSERT_EQ(unit.plugin_->CheckAfterReboot(unit.operation_).value(), um::RebootCheck::kRunning) << reset;
    EXPECT_EQ(unit.Version(), "2.0.0");
  }
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  const absl::Status status = unit.plugin_->CheckAfterReboot(unit.operation_).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("check motor: boot of image 2.0.0"));
  // After COMMIT it is driven forward again.
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok()) << "the image is set again before it is confirmed";
  EXPECT_EQ(unit.Version(), "2.0.0");
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
}

TEST(McuPluginTest, IgnitionCyclesOfALongTrialDoNotFailTheCommit) {
  Unit unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  for (int cycle = 0; cycle < 5; ++cycle) {
    unit.mcu_.CutPower(unit.clock_.Monotonic());
    unit.Restart();
    ASSERT_TRUE(unit.plugin_->CheckAfterReboot(unit.operation_).ok()) << cycle;
  }
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  EXPECT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
}

TEST(McuPluginTest, AfterItWasSeenRunningRevertStillKnowsThatTheDeviceWasToldToBootIt) {
  Unit unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->CheckAfterReboot(unit.operation_).ok());
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
  EXPECT_EQ(unit.mcu_.RunningVersion(), "1.0.0");
}

TEST(McuPluginTest, ALostResetIsAskedForAgain) {
  Unit unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  unit.faults_ = {.loss = 0.3, .seed = 5};
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.RunningVersion(), "2.0.0");
}

TEST(McuPluginTest, WhatCannotRunIsRefusedBeforeAByteIsSent) {
  const auto refused = [](FakeMcuOptions options, const TestImageSpec& spec, const std::string& version,
                          uint64_t security_version, uint64_t device_counter, const std::string& hardware) {
    Unit unit(options);
    unit.config_.mutable_mcu()->set_hardware_id(hardware);
    unit.Restart();
    unit.mcu_.SetSecurityCounter(device_counter);
    const absl::Status status =
        unit.plugin_->Prepare({unit.Artifact(spec, version, security_version)}, unit.operation_);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(unit.mcu_.uploaded(), 0U) << status;
    EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
    return std::string(status.message());
  };
  EXPECT_THAT(refused({}, {.major = 2}, "3.0.0", 0, 0, ""),
              HasSubstr("the image says that its version is 2.0.0, and the release says 3.0.0"));
  EXPECT_THAT(refused({}, {.major = 2, .hardware_id = "board-b"}, "2.0.0", 0, 0, "board-a"),
              HasSubstr("the image is for board-b, and this device is board-a"));
  EXPECT_THAT(refused({}, {.major = 2}, "2.0.0", 0, 0, "board-a"), HasSubstr("no named hardware"));
  EXPECT_THAT(refused({}, {.major = 2, .security_counter = 4}, "2.0.0", 5, 0, ""),
              HasSubstr("the image's security counter is 4, and the release's security_version 5"));
  EXPECT_THAT(refused({.knows_boot_group = true}, {.major = 2, .security_counter = 4}, "2.0.0", 4, 6, ""),
              HasSubstr("the device boots none below 6"));
  EXPECT_THAT(refused({.slot_size = 4000}, {.major = 2, .body_size = 5000}, "2.0.0", 0, 0, ""),
              HasSubstr("the device's slot takes 4000"));
  EXPECT_THAT(refused({}, {.major = 2, .depends_on = {{1, {3, 1, 0, 0}}}}, "2.0.0", 0, 0, ""),
              HasSubstr("needs image 1 of the device to be at least 3.1.0, and it is not there"));
  EXPECT_THAT(refused({}, {.major = 2, .depends_on = {{0, {3, 1, 0, 0}}}}, "2.0.0", 0, 0, ""),
              HasSubstr("and it is 1.0.0"));
}

TEST(McuPluginTest, ImagesThatOnlyOtherBootloadersTakeAreUpdatesLikeOthers) {
  const TestImageSpec specs[] = {{.major = 2, .hash = boot::ImageTag::kSha384},
                                 {.major = 2, .hash = boot::ImageTag::kSha512},
                                 {.major = 2, .flags = boot::kImageEncryptedAes128},
                                 {.major = 2, .hash = boot::ImageTag::kSha512, .flags = boot::kImageEncryptedAes256},
                                 {.major = 2, .vendor_tag = std::string(100, 'v')}};
  for (const TestImageSpec& spec : specs) {
    Unit unit;
    const um::Artifact artifact = unit.Artifact(spec, "2.0.0");
    ASSERT_EQ(unit.plugin_->Prepare({artifact}, unit.operation_), absl::OkStatus());
    ASSERT_EQ(unit.plugin_->Start(unit.operation_).status(), absl::OkStatus());
    ASSERT_EQ(unit.plugin_->Apply(unit.operation_), absl::OkStatus());
    EXPECT_EQ(unit.Version(), "2.0.0");
    EXPECT_EQ(unit.mcu_.RunningHash(), HashOfImage(MakeTestImage(spec)));
  }
}

TEST(McuPluginTest, AVendorTagIsNoHardwareIdWhereOneIsWanted) {
  Unit unit;
  unit.config_.mutable_mcu()->set_hardware_id("board-a");
  unit.Restart();
  const um::Artifact artifact = unit.Artifact({.major = 2, .hardware_id = "board-a", .vendor_tag = "board-b"}, "2.0.0");
  EXPECT_THAT(std::string(unit.plugin_->Prepare({artifact}, unit.operation_).message()), HasSubstr("(tag 0xa0)"));
  EXPECT_EQ(unit.mcu_.uploaded(), 0U);
}

TEST(McuPluginTest, ADamagedLongerHashIsFound) {
  for (const boot::ImageTag hash : {boot::ImageTag::kSha384, boot::ImageTag::kSha512}) {
    Unit unit;
    std::string image = MakeTestImage({.major = 2, .hash = hash});
    image[500] ^= 1;
    um::Artifact artifact = unit.Version2();
    unit.fetcher_.Serve("http://cm/bad", image);
    artifact.urls = {"http://cm/bad"};
    artifact.sha256 = Sha256(image);
    artifact.size = image.size();
    EXPECT_THAT(std::string(unit.plugin_->Prepare({artifact}, unit.operation_).message()),
                HasSubstr("does not match its own hash tag"));
  }
}

TEST(McuPluginTest, ADamagedOrForeignFileIsRefused) {
  for (const bool damaged : {true, false}) {
    Unit unit;
    std::string image = MakeTestImage(Unit::kTwo);
    damaged ? image[500] ^= 1 : image[0] ^= 1;
    unit.fetcher_.Serve("http://cm/bad", image);
    um::Artifact artifact = unit.Version2();
    artifact.urls = {"http://cm/bad"};
    artifact.sha256 = Sha256(image);
    const absl::Status status = unit.plugin_->Prepare({artifact}, unit.operation_);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(damaged ? "it does not match its own hash tag" : "it is no MCUboot image"));
    EXPECT_EQ(unit.mcu_.uploaded(), 0U);
  }
}

TEST(McuPluginTest, ASpellingOfTheVersionDoesNotMatterAndIsReportedBack) {
  Unit unit;
  const um::Artifact artifact = unit.Artifact({.major = 2, .minor = 1, .revision = 3, .build = 4}, "2.1.3+4");
  ASSERT_TRUE(unit.plugin_->Prepare({artifact}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  EXPECT_EQ(unit.Version(), "2.1.3+4");

  Unit any;
  any.config_.mutable_mcu()->set_any_image_version(true);
  any.Restart();
  ASSERT_TRUE(any.plugin_->Prepare({any.Artifact({.major = 2}, "winter-24")}, any.operation_).ok());
  ASSERT_TRUE(any.plugin_->Start(any.operation_).ok());
  EXPECT_EQ(any.Version(), "winter-24");
}

TEST(McuPluginTest, ASilentDeviceHasTheVersionThatWasLastKnown) {
  Unit unit;
  unit.mcu_.SetSilent(true);
  EXPECT_TRUE(absl::IsDeadlineExceeded(unit.plugin_->Inventory().status()));
  const absl::Status status = unit.plugin_->Prepare({unit.Version2()}, unit.operation_);
  EXPECT_THAT(std::string(status.message()), HasSubstr("prepare motor 2.0.0: the image state: the device has not"));
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
  unit.mcu_.SetSilent(false);
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  unit.mcu_.SetSilent(true);
  EXPECT_EQ(unit.Version(), "1.0.0");
  EXPECT_FALSE(unit.plugin_->Inventory().value()[0].slots.has_value());
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted) << "nothing was started";
}

TEST(McuPluginTest, TheInventoryTakesThreeSecondsAtMostWhenTheDeviceDiesInBetween) {
  Unit unit({.knows_boot_group = true});
  unit.clock_.Advance(absl::Seconds(5));
  const absl::Duration start = unit.clock_.Monotonic();
  unit.on_packet_ = [&](int packet) { unit.mcu_.SetSilent(packet > 1); };
  EXPECT_EQ(unit.Version(), "1.0.0");
  EXPECT_EQ(unit.clock_.Monotonic() - start, absl::Seconds(3));
}

TEST(McuPluginTest, SilenceOfTheBootGroupIsNotAnotherDevice) {
  Unit unit({.knows_boot_group = true});
  const um::Artifact artifact = unit.Artifact({.major = 2, .security_counter = 7}, "2.0.0", /*security_version=*/7);
  unit.mcu_.SetSilentGroup(smp::kSmpBootGroup);
  EXPECT_TRUE(absl::IsDeadlineExceeded(unit.plugin_->Prepare({artifact}, unit.operation_)));
  EXPECT_EQ(unit.mcu_.uploaded(), 0U);
  unit.mcu_.SetSilentGroup(std::nullopt);
  ASSERT_TRUE(unit.plugin_->Prepare({artifact}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  unit.mcu_.SetSilentGroup(smp::kSmpBootGroup);
  EXPECT_THAT(std::string(unit.plugin_->Seal().message()), HasSubstr("seal motor: the boot state: the device has not"));
  unit.mcu_.SetSilentGroup(std::nullopt);
  EXPECT_TRUE(unit.plugin_->Seal().ok()) << "asked again";
  EXPECT_EQ(unit.mcu_.security_counter(), 7U);
}

TEST(McuPluginTest, AHangingDeviceIsResetByTheConfiguredCommand) {
  Unit unit;
  unit.config_.mutable_mcu()->add_reset_command("pull-reset");
  unit.Restart();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  EXPECT_EQ(unit.commands_.size(), 1U);
  EXPECT_EQ(unit.mcu_.RunningVersion(), "2.0.0");
}

TEST(McuPluginTest, WhatSomebodyElseHasOnTrialIsLeftAlone) {
  Unit unit;
  unit.mcu_.Flash(1, MakeTestImage({.major = 9}));
  smp::FakeLine line(unit.mcu_, unit.clock_);
  smp::SmpClient client(line, unit.clock_, {});
  ASSERT_TRUE(smp::TestImage(client, HashOfImage(MakeTestImage({.major = 9}))).ok());
  EXPECT_THAT(std::string(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).message()),
              HasSubstr("another image is pending"));
  EXPECT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.boots(), 1);
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  EXPECT_THAT(std::string(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).message()),
              HasSubstr("the device runs 9.0.0, which is not confirmed"));
  EXPECT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.RunningVersion(), "9.0.0");
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
}

TEST(McuPluginTest, WithoutItsRecordRevertStillEndsATrial) {
  for (const bool two_slots : {false, true}) {
    Unit unit({.two_slots = two_slots});
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
    ASSERT_TRUE(unit.fs_.RemoveTree("/state").ok());
    unit.fs_.Put("/state/keep", "");
    EXPECT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
    EXPECT_EQ(unit.Version(), "1.0.0");
    EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  }
}

TEST(McuPluginTest, ACancelledUploadEndsSoonAndIsTakenUpAgain) {
  Unit unit({.keeps_upload = true});
  unit.on_packet_ = [&](int packet) { unit.operation_.cancelled_ = packet > 7; };
  EXPECT_TRUE(absl::IsCancelled(unit.plugin_->Prepare({unit.Version2()}, unit.operation_)));
  unit.on_packet_ = nullptr;
  unit.operation_.cancelled_ = false;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_LT(unit.mcu_.uploaded(), 2 * MakeTestImage(Unit::kTwo).size());
}

// ---- Whole updates with their Update Manager, with something going wrong at every packet ----

enum class Event { kDeviceLosesPower, kProcessIsKilled, kUnitLosesPower };

struct Campaign {
  FakeMcuOptions options;
  LineFaults faults;
  um::FakeCm::Goal goal = um::FakeCm::Goal::kCommit;
};

// Its steps in thousands of updates would hide what fails.
class McuPluginCampaignTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(InitLog({.level = "error", .file = {}, .common_fields = {}}).ok()); }
};

// Runs one update in which `event` happens at packet `at`; false when it ended before that.
bool RunCampaign(const Campaign& campaign, Event event, int at, std::optional<uint64_t> cut_call) {
  Unit unit(campaign.options, campaign.faults);
  const um::Artifact artifact =
      unit.Artifact({.major = 2, .body_size = 2000, .security_counter = 7}, "2.0.0", /*security_version=*/7);
  um::FakeCm cm(campaign.goal, {artifact});
  const bool commit = campaign.goal == um::FakeCm::Goal::kCommit;
  bool happened = false;
  unit.on_packet_ = [&](int packet) {
    if (packet != at || cut_call.has_value()) return;
    happened = true;
    if (event != Event::kProcessIsKilled) unit.mcu_.CutPower(unit.clock_.Monotonic());
    if (event != Event::kDeviceLosesPower) unit.fs_.PowerCut(static_cast<uint64_t>(at));
  };
  if (cut_call.has_value()) unit.fs_.CutPowerAtCall(*cut_call, *cut_call);
  for (int steps = 0; !cm.done(); ++steps) {
    const absl::Status status = cm.Step(unit.fs_, *unit.plugin_, [&] { return unit.fs_.power_lost(); });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_LT(steps, 60);
    if (!status.ok() || steps >= 60) break;
    if (!unit.fs_.power_lost()) continue;
    happened = true;
    cm.EndProcess();
    unit.fs_.Reboot();
    if (event == Event::kUnitLosesPower && cut_call.has_value()) unit.mcu_.CutPower(unit.clock_.Monotonic());
    unit.Restart();
  }
  cm.EndProcess();
  unit.on_packet_ = nullptr;
  unit.clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(unit.mcu_.RunningVersion(), commit ? "2.0.0" : "1.0.0");
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  EXPECT_FALSE(unit.mcu_.SomethingPending());
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
  EXPECT_EQ(unit.mcu_.security_counter(), commit && campaign.options.knows_boot_group ? 7U : 0U);
  return happened;
}

std::vector<Campaign> Campaigns() {
  std::vector<Campaign> campaigns;
  for (const bool two_slots : {false, true}) {
    for (const bool ours : {false, true}) {
      for (const um::FakeCm::Goal goal : {um::FakeCm::Goal::kCommit, um::FakeCm::Goal::kAbort}) {
        campaigns.push_back({.options = {.two_slots = two_slots,
                                         .knows_boot_group = ours,
                                         .confirms_others = ours,
                                         .keeps_upload = ours},
                             .goal = goal});
      }
    }
  }
  return campaigns;
}

TEST_F(McuPluginCampaignTest, ALossOfPowerOrAKillAtEveryPacketEndsAsCmDecided) {
  int points = 0;
  for (const Campaign& campaign : Campaigns()) {
    for (const Event event : {Event::kDeviceLosesPower, Event::kProcessIsKilled, Event::kUnitLosesPower}) {
      for (int at = 1; RunCampaign(campaign, event, at, std::nullopt); ++at) {
        ++points;
        ASSERT_FALSE(testing::Test::HasFailure())
            << "packet " << at << ", event " << static_cast<int>(event) << ", two slots " << campaign.options.two_slots
            << ", ours " << campaign.options.knows_boot_group << ", commit "
            << (campaign.goal == um::FakeCm::Goal::kCommit);
      }
    }
  }
  EXPECT_GT(points, 500);
  RecordProperty("points", points);
}

TEST_F(McuPluginCampaignTest, APowerCutAtEveryCallOfTheFileSystemEndsAsCmDecided) {
  for (const Campaign& campaign : Campaigns()) {
    for (const Event event : {Event::kProcessIsKilled, Event::kUnitLosesPower}) {
      for (uint64_t call = 1; RunCampaign(campaign, event, 0, call); ++call) {
        ASSERT_FALSE(testing::Test::HasFailure())
            << "call " << call << ", event " << static_cast<int>(event) << ", two slots " << campaign.options.two_slots;
      }
    }
  }
}

TEST_F(McuPluginCampaignTest, FaultsOfTheLineDoNotChangeTheEnd) {
  for (Campaign campaign : Campaigns()) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      campaign.faults = {.loss = 0.01, .duplicate = 0.01, .reorder = 0.01, .corrupt = 0.01, .seed = seed * 1000};
      RunCampaign(campaign, Event::kDeviceLosesPower, 1 + static_cast<int>(seed), std::nullopt);
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << ", two slots " << campaign.options.two_slots;
    }
  }
}

}  // namespace
}  // namespace tandem::plugins
