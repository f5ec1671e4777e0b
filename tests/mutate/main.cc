// Alters the unit's declared tables, one row at a time, and sees whether anything notices.
//
// Each mutant runs in a process of its own, which asks the unit tests, the model check and the simulation in turn. One
// that nobody notices is a hole in the tests, unless it stands in kArgued with the reason why it changes nothing.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/mutate/altered_tables.h"
#include "tests/mutate/killers.h"

namespace tandem::mutate {
namespace {

constexpr char kHelp[] =
    R"(Usage: tandem-mutate [OPTION] [TEXT]

Alters the unit's declared tables (update, UM, boot policy, durability), one row at a time, and checks that the unit
tests, the model check or the simulation notice each. Exit 1: a mutant survived.

  TEXT       only mutants whose name contains it
  --list     print their names and run nothing
  --verbose  print who noticed each

Examples:
  tandem-mutate
  tandem-mutate --verbose "UM preparing"
)";

// No mutant may take longer: one that makes a machine run in circles is noticed by that.
constexpr unsigned kSeconds = 120;
constexpr int kSurvived = 0;
constexpr int kFirstKiller = 1;

// Mutants that change nothing, and why.
struct Argued {
  std::string_view name;
  std::string_view why;
};
constexpr Argued kArgued[] = {
    {"transition Committing --[all UMs are IDLE on the new versions]--> Idle is not there",
     "the row of leftovers closes it in the same way, with none; the first row is there for readers"},
};

std::string_view ArgumentFor(const std::string& name) {
  for (const Argued& argued : kArgued) {
    if (argued.name == name) return argued.why;
  }
  return "";
}

[[noreturn]] void RunInChild(const Mutant& mutant) {
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  alarm(kSeconds);
  Apply(mutant);
  int exit_code = kFirstKiller;
  for (const Killer& killer : Killers()) {
    if (killer.notices()) _exit(exit_code);
    ++exit_code;
  }
  _exit(kSurvived);
}

struct Result {
  std::string name;
  // Empty: nobody.
  std::string killer;
};

std::string KillerOf(int status) {
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGALRM ? "time" : "crash";
  const int code = WEXITSTATUS(status);
  if (code == kSurvived) return "";
  const std::vector<Killer> killers = Killers();
  const size_t index = static_cast<size_t>(code - kFirstKiller);
  return index < killers.size() ? std::string(killers[index].name) : "crash";
}

// As many at a time as there are processors.
std::vector<Result> RunAll(const std::vector<Mutant>& mutants) {
  std::vector<Result> results(mutants.size());
  std::map<pid_t, size_t> running;
  const size_t at_once = std::max(1U, std::thread::hardware_concurrency());
  for (size_t next = 0; next < mutants.size() || !running.empty();) {
    if (next < mutants.size() && running.size() < at_once) {
      results[next].name = mutants[next].Name();
      const pid_t child = fork();
      if (child == 0) RunInChild(mutants[next]);
      if (child < 0) {
        std::perror("tandem-mutate: fork");
        std::exit(1);
      }
      running[child] = next++;
      continue;
    }
    int status = 0;
    const pid_t ended = waitpid(-1, &status, 0);
    if (const auto mutant = running.find(ended); mutant != running.end()) {
      results[mutant->second].killer = KillerOf(status);
      running.erase(mutant);
    }
  }
  return results;
}

int Report(const std::vector<Result>& results, bool verbose, double seconds) {
  std::map<std::string, int> by;
  int survivors = 0;
  int argued = 0;
  for (const Result& result : results) {
    const std::string_view argument = ArgumentFor(result.name);
    if (!result.killer.empty()) {
      ++by[result.killer];
      if (verbose) std::printf("killed by %s: %s\n", result.killer.c_str(), result.name.c_str());
      if (!argument.empty()) {
        std::printf("NO LONGER NEEDED: the argument for \"%s\"\n", result.name.c_str());
        ++survivors;
      }
    } else if (!argument.empty()) {
      ++argued;
      std::printf("equivalent: %s: %.*s\n", result.name.c_str(), static_cast<int>(argument.size()), argument.data());
    } else {
      ++survivors;
      std::printf("SURVIVED: %s\n", result.name.c_str());
    }
  }
  const int killed = static_cast<int>(results.size()) - argued - survivors;
  std::printf("%zu mutants: %d killed, %d equivalent, %d survived; %.0f s\n", results.size(), killed, argued, survivors,
              seconds);
  for (const auto& [killer, count] : by) std::printf("  %d by %s\n", count, killer.c_str());
  return survivors == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  bool list = false;
  bool verbose = false;
  std::string text;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (argument == "--list") {
      list = true;
    } else if (argument == "--verbose") {
      verbose = true;
    } else if (argument.starts_with("-")) {
      std::fprintf(stderr, "tandem-mutate: unknown option %s; see --help\n", argv[i]);
      return 2;
    } else {
      text = argument;
    }
  }
  std::vector<Mutant> mutants = AllMutants();
  std::erase_if(mutants, [&](const Mutant& mutant) { return !absl::StrContains(mutant.Name(), text); });
  if (list) {
    for (const Mutant& mutant : mutants) std::printf("%s\n", mutant.Name().c_str());
    return 0;
  }
  // What is noticed in the tables as they are would be noticed in every mutant.
  for (const Killer& killer : Killers()) {
    if (!killer.notices()) continue;
    std::printf("the %.*s fail without a mutant\n", static_cast<int>(killer.name.size()), killer.name.data());
    return 1;
  }
  const auto began = std::chrono::steady_clock::now();
  const std::vector<Result> results = RunAll(mutants);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return Report(results, verbose, took.count());
}

}  // namespace
}  // namespace tandem::mutate

int main(int argc, char** argv) { return tandem::mutate::Main(argc, argv); }
