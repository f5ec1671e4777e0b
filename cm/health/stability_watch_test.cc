#include "cm/health/stability_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/storage/fake_file_system.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Time stands still but for what a test adds; probes run on real threads.
class StabilityWatchTest : public testing::Test {
 protected:
  StabilityWatchTest() {
    config_.set_state_dir("/state");
    config_.mutable_stability()->mutable_interval()->set_seconds(60);
    config_.mutable_stability()->set_restarts(2);
    EXPECT_TRUE(fs_.MakeFolders("/state").ok());
    probe_.set_name("app");
    probe_.mutable_watchdog();
    context_.watchdog = [this] {
      std::lock_guard lock(mutex_);
      ++runs_;
      return health_;
    };
  }
  ~StabilityWatchTest() override { watch_.reset(); }

  void Start(const std::string& boot_id) {
    watch_.reset();
    watch_ = std::make_unique<StabilityWatch>(
        StabilityWatchParts{.loop = loop_,
                            .fs = fs_,
                            .config = config_,
                            .boot_id = boot_id,
                            .workers = workers_,
                            .probes = context_,
                            .anomaly = [this](const std::string& what) { anomalies_.push_back(what); }});
  }
  void Watch(uint64_t sequence = 7) { watch_->Watch(sequence, 1, {probe_}, absl::ZeroDuration()); }
  int runs() {
    std::lock_guard lock(mutex_);
    return runs_;
  }
  void SetHealth(absl::Status status) {
    std::lock_guard lock(mutex_);
    health_ = std::move(status);
  }
  // So long; when a probe is due then, it has run and was heard.
  void Pass(absl::Duration time, bool due = true) {
    clock_.Advance(time);
    const absl::Duration deadline = Clock::Real().Monotonic() + absl::Seconds(20);
    // The timer, and the probe's result.
    const int wanted = due ? 2 : 0;
    int tasks = loop_.RunReady();
    while (tasks < wanted && Clock::Real().Monotonic() < deadline) {
      std::this_thread::yield();
      tasks += loop_.RunReady();
    }
    EXPECT_GE(tasks, wanted);
  }

  FakeClock clock_;
  EventLoop loop_{clock_};
  FakeFileSystem fs_;
  config::v1::CmConfig config_;
  ProbeContext context_;
  release::v1::Probe probe_;
  std::mutex mutex_;
  absl::Status health_;
  int runs_ = 0;
  std::vector<std::string> anomalies_;
  ProbeWorkers workers_{1};
  std::unique_ptr<StabilityWatch> watch_;
};

TEST_F(StabilityWatchTest, AProbeThatFailsThreeMinutesInARowIsToldOnce) {
  Start("a");
  Watch();
  Pass(absl::Seconds(60));
  EXPECT_EQ(runs(), 1);
  SetHealth(absl::UnavailableError("not fed"));
  Pass(absl::Seconds(60));
  Pass(absl::Seconds(60));
  EXPECT_THAT(anomalies_, IsEmpty());
  Pass(absl::Seconds(60));
  EXPECT_THAT(anomalies_, ElementsAre("probe \"app\" failed 3 times in a row: not fed"));
  for (int i = 0; i < 5; ++i) Pass(absl::Seconds(60));
  EXPECT_THAT(anomalies_, SizeIs(1));
  EXPECT_EQ(runs(), 9);
  // CM restarts: it was told.
  Start("a");
  Watch();
  for (int i = 0; i < 5; ++i) Pass(absl::Seconds(60));
  EXPECT_THAT(anomalies_, SizeIs(1));
}

TEST_F(StabilityWatchTest, NothingCountsBeforeTheGraceIsOver) {
  Start("a");
  watch_->Watch(7, 1, {probe_}, absl::Minutes(10));
  Pass(absl::Minutes(9), /*due=*/false);
  EXPECT_EQ(runs(), 0);
  Pass(absl::Minutes(1));
  EXPECT_EQ(runs(), 1);
}

TEST_F(StabilityWatchTest, StartsAreCountedOverPowerCuts) {
  Start("a");
  Watch();
  for (const char* boot : {"b", "c", "d"}) {
    fs_.PowerCut(1);
    fs_.Reboot();
    Start(boot);
    Watch();
  }
  ASSERT_THAT(anomalies_, SizeIs(1));
  EXPECT_THAT(anomalies_[0], HasSubstr("has started 2 times by itself"));
}

TEST_F(StabilityWatchTest, WhatEndsInOrderIsNotCounted) {
  for (const char* boot : {"a", "b", "c", "d"}) {
    Start(boot);
    Watch();
    watch_->End();
  }
  EXPECT_THAT(anomalies_, IsEmpty());
}

TEST_F(StabilityWatchTest, WhilePausedNothingIsRun) {
  Start("a");
  Watch();
  watch_->Pause();
  Pass(absl::Hours(1), /*due=*/false);
  EXPECT_EQ(runs(), 0);
  Watch();
  watch_->SetProbes(false);
  Pass(absl::Hours(1), /*due=*/false);
  EXPECT_EQ(runs(), 0);
}

TEST_F(StabilityWatchTest, AnIntervalOfZeroMeansNoProbes) {
  config_.mutable_stability()->mutable_interval()->set_seconds(0);
  Start("a");
  Watch();
  Pass(absl::Hours(1), /*due=*/false);
  EXPECT_EQ(runs(), 0);
}

}  // namespace
}  // namespace tandem::cm
