#include "common/process/run_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Command Shell(const std::string& script) { return {.argv = {"sh", "-c", script}}; }

bool IsAlive(pid_t pid) {
  // A killed orphan may be a zombie until init reaps it; that is dead enough.
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number;
  std::string name;
  std::string state;
  return stat >> number >> name >> state && state != "Z";
}

TEST(RunCommandTest, GivesExitCodeAndBothOutputs) {
  const auto result = RunCommand(Shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->error_output, "err\n");
}

TEST(RunCommandTest, KeepsOnlyTheLimitButReadsEverything) {
  Command command = Shell("head -c 1000000 /dev/zero; echo end >&2");
  command.output_limit = 100;
  const auto result = RunCommand(command);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output.size(), 100);
  EXPECT_EQ(result->error_output, "end\n");
}

TEST(RunCommandTest, AddsAndReplacesEnvironment) {
  setenv("TANDEM_TEST_REPLACED", "old", 1);
  Command command = Shell("echo $TANDEM_TEST_REPLACED $TANDEM_TEST_ADDED; test -n \"$PATH\"");
  command.environment = {{"TANDEM_TEST_REPLACED", "new"}, {"TANDEM_TEST_ADDED", "a b"}};
  const auto result = RunCommand(command);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output, "new a b\n");
  EXPECT_EQ(result->exit_code, 0);
}

TEST(RunCommandTest, KillsTheWholeGroupAtTheTimeout) {
  const std::string file = testing::TempDir() + "/run_command_child_" + std::to_string(getpid());
  Command command = Shell("sleep 1000 & echo $! > " + file + "; wait");
  command.timeout = absl::Milliseconds(500);
  const absl::Time start = absl::Now();
  const auto result = RunCommand(command);
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  std::ifstream stream(file);
  std::string line;
  ASSERT_TRUE(std::getline(stream, line));
  int child = 0;
  ASSERT_TRUE(absl::SimpleAtoi(line, &child));
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (IsAlive(child) && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(IsAlive(child));
  unlink(file.c_str());
}

TEST(RunCommandTest, AChildThatKeepsTheOutputOpenDoesNotHoldTheCallerUp) {
  const absl::Time start = absl::Now();
  const auto result = RunCommand(Shell("sleep 30 & echo $!"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  int child = 0;
  ASSERT_TRUE(absl::SimpleAtoi(result->output, &child));
  EXPECT_TRUE(IsAlive(child)) << "what a command starts on purpose stays";
  kill(child, SIGKILL);
}

TEST(RunCommandTest, SaysWhichSignalEndedIt) {
  const auto result = RunCommand(Shell("kill -SEGV $$"));
  EXPECT_TRUE(absl::IsAborted(result.status()));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("SEGV"));
}

TEST(RunCommandTest, AMissingProgramIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(RunCommand({.argv = {"no-such-program-here"}}).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(RunCommand({.argv = {"/etc/passwd"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(RunCommand({}).status()));
}

TEST(RunCommandTest, OkVariantGivesTheLastLineOfTheError) {
  EXPECT_TRUE(RunCommandOk(Shell("exit 0")).ok());
  const absl::Status status = RunCommandOk(Shell("echo first >&2; echo disk is upside down >&2; exit 7"));
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), StartsWith("sh exited with 7: disk is upside down"));
}

TEST(RunCommandTest, ReadsNoInput) {
  Command command = Shell("cat; echo done");
  command.timeout = absl::Seconds(20);
  EXPECT_EQ(RunCommand(command)->output, "done\n");
}

}  // namespace
}  // namespace tandem
