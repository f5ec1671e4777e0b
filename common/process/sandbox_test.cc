#include "common/process/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/process/control_group.h"

namespace tandem {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(30);

struct Way {
  std::string name;
  SandboxWays ways;
};

// A script that every process of its run has on its command line.
std::string Marked(const std::string& mark) { return absl::StrCat(": ", mark, "; "); }

// Processes of this computer with `mark` on their command line.
std::vector<pid_t> FindProcesses(const std::string& mark) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid) || pid == getpid()) continue;
    std::ifstream file(entry.path() / "cmdline");
    std::string line;
    // One that ends meanwhile cannot be read.
    std::getline(file, line, '\n');
    if (line.find(mark) != std::string::npos) found.push_back(pid);
  }
  return found;
}

class SandboxTest : public testing::TestWithParam<Way> {
 protected:
  absl::StatusOr<SandboxResult> Run(const std::string& script, absl::Duration timeout = kPatience) {
    SandboxCommand command{.argv = {"sh", "-c", script}, .timeout = timeout, .limits = limits_};
    return RunInSandbox(command, GetParam().ways);
  }
  // Unlike any other run's.
  std::string Mark() const {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '-');
    return absl::StrCat("tandem-sandbox-test-", getpid(), "-", name);
  }
  SandboxLimits limits_;
};

TEST_P(SandboxTest, GivesExitCodeAndOutput) {
  const auto result = Run("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "out\n");
  EXPECT_THAT(result->tail, HasSubstr("err\n"));
  EXPECT_FALSE(result->timed_out);
  EXPECT_EQ(result->signal, 0);
}

TEST_P(SandboxTest, OfOurEnvironmentAndFilesNothingIsSeen) {
  setenv("TANDEM_SECRET", "s3cret", 1);
  // Without close-on-exec, as a careless library opens it.
  const int leaked = open("/etc/hostname", O_RDONLY);
  SandboxCommand command{.argv = {"sh", "-c", "env; ls /proc/self/fd | tr '\\n' ' '"},
                         .environment = {{"TANDEM_LIMIT", "5 ms"}},
                         .limits = limits_};
  const auto result = RunInSandbox(command, GetParam().ways);
  close(leaked);
  unsetenv("TANDEM_SECRET");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->output, HasSubstr("TANDEM_LIMIT=5 ms\n"));
  EXPECT_THAT(result->output, Not(HasSubstr("s3cret")));
  // The last one is the folder that ls reads.
  EXPECT_THAT(result->output, EndsWith("0 1 2 3 "));
}

TEST_P(SandboxTest, RunsAsAUserWhoOwnsNothingAndCannotBecomeAnother) {
  const auto result = Run("id -u; grep NoNewPrivs /proc/self/status; grep CapEff /proc/self/status");
  ASSERT_TRUE(result.ok()) << result.status();
  if (geteuid() == 0) {
    EXPECT_THAT(result->output, testing::StartsWith("65534\n"));
  }
  EXPECT_THAT(result->output, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(result->output, HasSubstr("CapEff:\t0000000000000000"));
}

TEST_P(SandboxTest, ReadsItsInputFile) {
  const std::string path = absl::StrCat(testing::TempDir(), "/", Mark());
  std::ofstream(path) << "a sample";
  // Nobody else may read it: it is opened by us.
  chmod(path.c_str(), 0600);
  SandboxCommand command{.argv = {"cat"}, .input_file = path, .limits = limits_};
  const auto result = RunInSandbox(command, GetParam().ways);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "a sample");
  command.input_file = "/no/such/sample";
  EXPECT_EQ(RunInSandbox(command, GetParam().ways).status().code(), absl::StatusCode::kNotFound);
  command.input_file = testing::TempDir();
  EXPECT_EQ(RunInSandbox(command, GetParam().ways).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(SandboxTest, ThatWhichCannotBeStartedIsSaidSo) {
  EXPECT_EQ(RunInSandbox({.argv = {"/no/such/program"}}, GetParam().ways).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RunInSandbox({.argv = {"no-such-program"}}, GetParam().ways).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RunInSandbox({.argv = {"/etc/passwd"}}, GetParam().ways).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(RunInSandbox({.argv = {"true"}, .limits = {.user = "no-such-user"}}, GetParam().ways).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(RunInSandbox({}, GetParam().ways).ok());
}

TEST_P(SandboxTest, OneThatHangsAndIgnoresEverySignalEndsInTime) {
  const auto result =
      Run(Marked(Mark()) + "trap '' TERM INT HUP; while true; do sleep 1000; done", absl::Milliseconds(300));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->timed_out);
  EXPECT_LT(result->duration, absl::Seconds(10));
  EXPECT_THAT(FindProcesses(Mark()), testing::IsEmpty());
}

TEST_P(SandboxTest, OneThatDetachesItselfLeavesNothingBehind) {
  // Twice away from its parent, in sessions of its own, with the output closed and with it open.
  const std::string inner = Marked(Mark()) + "sleep 1000; sleep 1000";
  const auto result = Run(absl::StrCat("(setsid sh -c '", inner, "' >/dev/null 2>&1 &); (setsid sh -c \"setsid sh -c '",
                                       inner, "' &\" &); sleep 0.2; echo away"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->timed_out);
  EXPECT_EQ(result->output, "away\n");
  EXPECT_THAT(FindProcesses(Mark()), testing::IsEmpty());
}

TEST_P(SandboxTest, AForkBombIsBoundedAndEnded) {
  limits_.processes = 32;
  // Counts itself, then each doubles.
  const auto result = Run(Marked(Mark()) + "f() { f | f & f; }; f", absl::Seconds(1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_LT(result->duration, absl::Seconds(20));
  EXPECT_THAT(FindProcesses(Mark()), testing::IsEmpty());
}

TEST_P(SandboxTest, ProcessesAreLimited) {
  limits_.processes = 16;
  const auto result =
      Run("i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done; echo all of them", absl::Seconds(20));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->output, Not(HasSubstr("all of them")));
  EXPECT_FALSE(result->timed_out);
}

TEST_P(SandboxTest, OneThatPrintsGigabytesIsReadAndForgotten) {
  limits_.output_bytes = 1000;
  const auto result = Run("head -c 2000000000 /dev/zero; echo the end", absl::Seconds(60));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->timed_out);
  EXPECT_EQ(result->output.size(), 1000u);
  EXPECT_THAT(result->tail, EndsWith("the end\n"));
  EXPECT_LE(result->tail.size(), kSandboxTail);
}

TEST_P(SandboxTest, OneThatPrintsForeverEndsInTime) {
  const auto result = Run("yes", absl::Milliseconds(500));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->timed_out);
  EXPECT_LT(result->duration, absl::Seconds(10));
}

TEST_P(SandboxTest, OneThatEatsMemoryIsEnded) {
  limits_.memory_bytes = 64 << 20;
  const auto result =
      Run("x=$(head -c 300000000 /dev/zero | tail -c 250000000 | wc -c); test \"$x\" = 250000000 && echo had it all");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->timed_out);
  EXPECT_THAT(result->output, Not(HasSubstr("had it all")));
}

TEST_P(SandboxTest, OneFileIsLimited) {
  limits_.disk_bytes = 1 << 20;
  const std::string folder = testing::TempDir();
  const auto result =
      Run("head -c 5000000 /dev/zero > $TMPDIR/tandem-sandbox-test-file; wc -c < "
          "$TMPDIR/tandem-sandbox-test-file; rm -f $TMPDIR/tandem-sandbox-test-file");
  ASSERT_TRUE(result.ok()) << result.status();
  int64_t size = 0;
  ASSERT_TRUE(absl::SimpleAtoi(result->output, &size)) << result->output << result->tail;
  EXPECT_LE(size, 1 << 20);
}

TEST_P(SandboxTest, ManyAtOnceDoNotHinderEachOther) {
  std::vector<std::thread> threads;
  std::vector<absl::StatusOr<SandboxResult>> results(8, absl::UnknownError(""));
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      SandboxCommand command{.argv = {"sh", "-c", absl::StrCat("sleep 0.1; echo ", i)}, .limits = limits_};
      results[i] = RunInSandbox(command, GetParam().ways);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_TRUE(results[i].ok()) << results[i].status();
    EXPECT_EQ(results[i]->output, absl::StrCat(i, "\n"));
    EXPECT_LT(results[i]->duration, absl::Seconds(20));
  }
}

TEST_P(SandboxTest, EndsWhenItIsStopped) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  SandboxCommand command{.argv = {"sleep", "1000"}, .limits = limits_, .stop_fd = ends[0]};
  EXPECT_EQ(RunInSandbox(command, GetParam().ways).status().code(), absl::StatusCode::kAborted);
  close(ends[0]);
  close(ends[1]);
}

TEST_P(SandboxTest, WhenWeAreKilledItEnds) {
  const std::string mark = Mark();
  const pid_t ours = fork();
  if (ours == 0) {
    RunInSandbox({.argv = {"sh", "-c", Marked(mark) + "sleep 1000; true"}}, GetParam().ways).IgnoreError();
    _exit(0);
  }
  const absl::Time deadline = absl::Now() + kPatience;
  while (FindProcesses(mark).empty() && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(FindProcesses(mark).empty());
  kill(ours, SIGKILL);
  waitpid(ours, nullptr, 0);
  while (!FindProcesses(mark).empty() && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_THAT(FindProcesses(mark), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Ways, SandboxTest,
                         testing::Values(Way{"Everything", {}}, Way{"NamespacesOnly", {.control_groups = false}},
                                         Way{"SessionOnly", {.namespaces = false, .control_groups = false}}),
                         [](const auto& way) { return way.param.name; });

// --- what only namespaces give ---

TEST(SandboxNamespacesTest, OnlyItsOwnSmallFolderCanBeWritten) {
  SandboxCommand command{.argv = {"sh", "-c",
                                  "for d in / /etc /usr/local /var /home /tmp /var/tmp /dev/shm; do "
                                  "touch $d/tandem-sandbox-test 2>/dev/null && echo $d; done; "
                                  "head -c 50000000 /dev/zero > /tmp/big1 2>/dev/null; "
                                  "head -c 50000000 /dev/zero > /var/tmp/big2 2>/dev/null; "
                                  "du -sb /tmp | cut -f1"},
                         .limits = {.disk_bytes = 4 << 20}};
  const auto result = RunInSandbox(command);
  ASSERT_TRUE(result.ok()) << result.status();
  if (result->isolation != Isolation::kNamespaces) GTEST_SKIP() << "this kernel gives no namespaces";
  EXPECT_THAT(result->output, testing::StartsWith("/tmp\n/var/tmp\n/dev/shm\n"));
  const std::string used = result->output.substr(result->output.rfind('\n', result->output.size() - 2) + 1);
  int64_t bytes = 0;
  ASSERT_TRUE(absl::SimpleAtoi(used, &bytes)) << result->output;
  EXPECT_LE(bytes, (4 << 20) + 100000);
  EXPECT_FALSE(std::filesystem::exists("/tmp/tandem-sandbox-test"));
}

TEST(SandboxNamespacesTest, OtherProcessesAreNotSeen) {
  const auto result = RunInSandbox({.argv = {"sh", "-c", "ls /proc | grep -c '^[0-9]'; kill -9 1; echo alive"}});
  ASSERT_TRUE(result.ok()) << result.status();
  if (result->isolation != Isolation::kNamespaces) GTEST_SKIP() << "this kernel gives no namespaces";
  int processes = 0;
  ASSERT_TRUE(absl::SimpleAtoi(result->output.substr(0, result->output.find('\n')), &processes));
  EXPECT_LE(processes, 5);
  EXPECT_THAT(result->output, EndsWith("alive\n"));
}

TEST(SandboxNamespacesTest, AProgramBelowTmpIsFoundAllTheSame) {
  std::string folder = "/tmp/tandem_sandbox_test_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::filesystem::copy_file("/bin/echo", folder + "/say");
  chmod(folder.c_str(), 0755);
  const auto result = RunInSandbox({.argv = {folder + "/say", "here"}});
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "here\n");
}

// --- control groups ---

TEST(ControlGroupTest, BoundsMemoryOfAllProcessesTogether) {
  if (ControlGroup::Parents().empty()) GTEST_SKIP() << "no control group can be made here";
  // Each alone would be within the limit.
  const auto result = RunInSandbox(
      {.argv = {"sh", "-c",
                "for i in 1 2 3 4; do (head -c 90000000 /dev/zero | tail -c 40000000 | sleep 0.5) & done; wait; true"},
       .limits = {.memory_bytes = 100 << 20}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->out_of_memory);
}

TEST(ControlGroupTest, IsGoneAfterwards) {
  if (ControlGroup::Parents().empty()) GTEST_SKIP() << "no control group can be made here";
  ASSERT_TRUE(RunInSandbox({.argv = {"true"}}).ok());
  for (const std::string& parent : ControlGroup::Parents()) {
    for (const auto& entry : std::filesystem::directory_iterator(parent)) {
      EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(absl::StrCat("tandem-run-", getpid(), "-"))));
    }
  }
}

TEST(ControlGroupTest, WritesTheLimitsOfVersionTwo) {
  std::string folder = testing::TempDir() + "/control_group_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  // A plain folder has none of the kernel's files.
  EXPECT_FALSE(ControlGroup::Make({folder}, {.memory_bytes = 1}).has_value());
  EXPECT_FALSE(ControlGroup::Make({}, {}).has_value());
  EXPECT_FALSE(ControlGroup::Make({"/no/such/folder"}, {}).has_value());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tandem
