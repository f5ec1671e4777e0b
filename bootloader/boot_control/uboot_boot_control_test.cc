#include "bootloader/boot_control/uboot_boot_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bootloader/boot_control/uboot_test_environment.h"

namespace tandem::boot {
namespace {

using ::testing::HasSubstr;

class UbootBootControlTest : public testing::Test {
 protected:
  UbootTestEnvironment environment_;
  UbootBootControl control_{FileSystem::Real(), environment_.config()};
};

TEST_F(UbootBootControlTest, WritesTheCopyThatIsNotCurrentAndKeepsForeignVariables) {
  const UbootTestEnvironment foreign(Variables{{"ethaddr", "02:00:00:00:00:01"}, {"bootcmd", "run tandem"}});
  UbootBootControl control(FileSystem::Real(), foreign.config());
  const std::string before = foreign.ReadBytes();
  ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
  const std::string after = foreign.ReadBytes();
  EXPECT_EQ(after.substr(0, UbootTestEnvironment::kSize), before.substr(0, UbootTestEnvironment::kSize));
  const std::string written = after.substr(UbootTestEnvironment::kSize);
  EXPECT_THAT(written, HasSubstr("ethaddr=02:00:00:00:00:01"));
  EXPECT_THAT(written, HasSubstr("bootcmd=run tandem"));
  EXPECT_THAT(written, HasSubstr("tandem_trial=B"));
  EXPECT_EQ(written[4], 2) << "newer than the other copy";
}

TEST_F(UbootBootControlTest, AWriteTornAnywhereLeavesTheStateBeforeOrAfter) {
  ASSERT_TRUE(control_.MarkUnbootable(Slot::kB).ok());
  const std::string before = environment_.ReadBytes();
  const BootState old_state = control_.Read().value();
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 3).ok());
  const std::string after = environment_.ReadBytes();
  const BootState new_state = control_.Read().value();
  int kept_old = 0;
  // From the front, as written in order, and from the back, as reordered.
  for (size_t torn = 0; torn < after.size(); torn += 8) {
    for (const bool front : {true, false}) {
      environment_.WriteBytes(front ? after.substr(0, torn) + before.substr(torn)
                                    : before.substr(0, torn) + after.substr(torn));
      const auto state = control_.Read();
      ASSERT_TRUE(state.ok()) << torn << ": " << state.status();
      ASSERT_TRUE(*state == old_state || *state == new_state) << torn;
      if (*state == old_state) ++kept_old;
    }
  }
  EXPECT_GT(kept_old, 0);
}

TEST_F(UbootBootControlTest, TheFlagWrapsAround) {
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(control_.SetTrial(Slot::kB, static_cast<uint32_t>(1 + i % 2)).ok()) << i;
    ASSERT_EQ(control_.Read()->attempts_left, 1 + i % 2) << i;
  }
}

TEST_F(UbootBootControlTest, ADamagedEnvironmentIsDataLossAndIsNotOverwritten) {
  const std::string garbage(2 * UbootTestEnvironment::kSize, 'x');
  environment_.WriteBytes(garbage);
  EXPECT_TRUE(absl::IsDataLoss(control_.Read().status())) << control_.Read().status();
  EXPECT_TRUE(absl::IsDataLoss(control_.SetTrial(Slot::kB, 3)));
  EXPECT_THAT(std::string(control_.Read().status().message()), HasSubstr("mkenvimage -r"));
  EXPECT_EQ(environment_.ReadBytes(), garbage);
}

TEST_F(UbootBootControlTest, AVariableThatCannotBeUnderstoodChangesNothing) {
  const UbootTestEnvironment strange(Variables{{"BOOT_B_LEFT", "12"}});
  UbootBootControl control(FileSystem::Real(), strange.config());
  const std::string before = strange.ReadBytes();
  EXPECT_TRUE(absl::IsDataLoss(control.SetTrial(Slot::kB, 3)));
  EXPECT_EQ(strange.ReadBytes(), before);
}

TEST_F(UbootBootControlTest, AFullEnvironmentIsAnErrorAndChangesNothing) {
  const UbootTestEnvironment full(Variables{{"long", std::string(UbootTestEnvironment::kSize - 20, 'x')}});
  UbootBootControl control(FileSystem::Real(), full.config());
  const std::string before = full.ReadBytes();
  EXPECT_THAT(std::string(control.SetTrial(Slot::kB, 3).message()), HasSubstr("has 1024 bytes, and "));
  EXPECT_EQ(full.ReadBytes(), before);
}

TEST_F(UbootBootControlTest, VariablesWithoutAnEndAreDataLoss) {
  const std::string copy = EncodeEnvironment(Variables{{"long", std::string(UbootTestEnvironment::kSize - 11, 'x')}}, 1,
                                             UbootTestEnvironment::kSize);
  environment_.WriteBytes(copy + copy);
  EXPECT_THAT(std::string(control_.Read().status().message()), HasSubstr("have no end"));
  EXPECT_TRUE(absl::IsDataLoss(control_.SetTrial(Slot::kB, 3)));
}

TEST_F(UbootBootControlTest, AConfigurationThatCannotSurviveAPowerCutIsRefused) {
  const std::string image = environment_.folder() + "/env.img";
  const std::pair<std::string, std::string> kCases[] = {
      {image + " 0x0 0x400\n", "needs two"},
      {image + " 0x0 0x400\n" + image + " 0x200 0x400\n", "must not overlap"},
      {image + " 0x0 0x400\n" + image + " 0x400 0x200\n", "one size"},
      {image + " 0x0 0x4\n" + image + " 0x400 0x4\n", "cannot be"},
      {image + " zero 0x400\n", "line 1 is not DEVICE OFFSET SIZE"},
  };
  for (const auto& [text, says] : kCases) {
    environment_.WriteConfig(text);
    EXPECT_TRUE(absl::IsInvalidArgument(control_.CheckConfig())) << text;
    EXPECT_THAT(std::string(control_.Read().status().message()), HasSubstr(says));
  }
}

// meta-freescale-3rdparty#204: as fw_printenv reads them.
TEST_F(UbootBootControlTest, OffsetsMayCountFromTheEndOfTheDevice) {
  const std::string image = environment_.folder() + "/env.img";
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 3).ok());
  const BootState before = *control_.Read();
  environment_.WriteConfig(image + " -0x800 0x400\n" + image + " -1024 0x400\n");
  EXPECT_TRUE(control_.CheckConfig().ok());
  EXPECT_EQ(*control_.Read(), before);
  ASSERT_TRUE(control_.Confirm(Slot::kB).ok());
  const BootState after = *control_.Read();
  EXPECT_NE(after, before);
  environment_.WriteConfig(image + " 0x0 0x400\n" + image + " 0x400 0x400\n");
  EXPECT_EQ(*control_.Read(), after);
  for (const std::string bad : {" -0x4000 0x400\n", " -0x200 0x400\n", " - 0x400\n", " --0x400 0x400\n"}) {
    environment_.WriteConfig(image + bad + image + " -1024 0x400\n");
    EXPECT_TRUE(absl::IsInvalidArgument(control_.CheckConfig())) << bad;
  }
}

TEST_F(UbootBootControlTest, AMissingDeviceIsNamed) {
  environment_.WriteConfig("/none/a 0x0 0x400\n/none/b 0x0 0x400\n");
  EXPECT_TRUE(absl::IsNotFound(control_.Read().status())) << control_.Read().status();
}

}  // namespace
}  // namespace tandem::boot
