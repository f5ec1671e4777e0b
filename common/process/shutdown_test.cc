#include "common/process/shutdown.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>

namespace tandem {
namespace {

void WriteToAClosedPipe() {
  int ends[2];
  if (pipe(ends) != 0) std::exit(2);
  close(ends[0]);
  // Of no interest but that it returns.
  std::exit(write(ends[1], "x", 1) < 0 ? 0 : 3);
}

// p | head -1: CM died of SIGPIPE, and nobody heard why.
TEST(NeverEndSilentlyTest, AReaderThatGoesAwayEndsNothing) {
  EXPECT_EXIT(WriteToAClosedPipe(), testing::KilledBySignal(SIGPIPE), "") << "without it";
  EXPECT_EXIT(
      {
        NeverEndSilently("program");
        WriteToAClosedPipe();
      },
      testing::ExitedWithCode(0), "");
}

TEST(NeverEndSilentlyTest, AFaultSaysWhatItWas) {
  EXPECT_DEATH(
      {
        NeverEndSilently("program");
        std::abort();
      },
      "SIGABRT received.*abort");
  EXPECT_DEATH(
      {
        NeverEndSilently("program");
        std::thread([] { throw std::runtime_error("nobody takes this"); }).join();
      },
      "nobody takes this");
}

TEST(NeverEndSilentlyTest, ToBeEndedIsNoFault) {
  EXPECT_EXIT(
      {
        NeverEndSilently("program");
        raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "^$");
}

}  // namespace
}  // namespace tandem
