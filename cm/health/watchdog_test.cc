#include "cm/health/watchdog.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace tandem::cm {
namespace {

class WatchdogTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "watchdog_test_XXXXXX";
    const int fd = mkstemp(path_.data());
    ASSERT_GE(fd, 0);
    close(fd);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  // A device that takes no timeout but its own.
  Watchdog Device(absl::Duration own, absl::Duration wanted) {
    return Watchdog(path_, wanted, clock_, [this, own](int, absl::Duration asked) {
      asked_.push_back(asked);
      return own;
    });
  }

  std::string path_;
  FakeClock clock_;
  std::vector<absl::Duration> asked_;
};

TEST_F(WatchdogTest, AFileThatIsNoWatchdogIsFedByTheConfiguredTimeout) {
  Watchdog watchdog(path_, absl::Seconds(30), clock_);
  EXPECT_FALSE(watchdog.Check().ok());
  ASSERT_TRUE(watchdog.Feed().ok());
  EXPECT_EQ(watchdog.interval(), absl::Seconds(10));
  EXPECT_EQ(std::filesystem::file_size(path_), 1u);
  clock_.Advance(absl::Seconds(30));
  EXPECT_TRUE(watchdog.Check().ok());
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(watchdog.Check().ok());
}

TEST_F(WatchdogTest, TheDeviceIsToldTheTimeoutAndFedByTheSmallerOfBoth) {
  Watchdog shorter = Device(absl::Seconds(15), absl::Seconds(30));
  ASSERT_TRUE(shorter.Feed().ok());
  EXPECT_EQ(shorter.interval(), absl::Seconds(5));
  clock_.Advance(absl::Seconds(16));
  EXPECT_FALSE(shorter.Check().ok());
  ASSERT_TRUE(shorter.Feed().ok());
  EXPECT_EQ(asked_, std::vector<absl::Duration>{absl::Seconds(30)});

  Watchdog longer = Device(absl::Seconds(60), absl::Seconds(30));
  ASSERT_TRUE(longer.Feed().ok());
  EXPECT_EQ(longer.interval(), absl::Seconds(10));
}

}  // namespace
}  // namespace tandem::cm
