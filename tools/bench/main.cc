// tandem-bench: how fast the parts of Tandem are, as ratios to what the machine or the line allows.
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "tools/bench/boot_bench.h"
#include "tools/bench/fleet_bench.h"
#include "tools/bench/mcu_bench.h"
#include "tools/bench/message_bench.h"
#include "tools/bench/verification_bench.h"

namespace {

using namespace tandem;

constexpr char kExamples[] = R"(
Examples:

  tandem-bench mcu
      uploads to simulated microcontrollers over serial lines and UDP; one table
  tandem-bench boot
      how long a boot decision takes: both copies of the record checked, the table searched
  tandem-bench messages
      what reading one report of a unit costs the fleet, next to the general way
  tandem-bench fleet
      a broker, controllers and their load on this machine: messages in a second, their cost up to a million units,
      and 10,000 orders; takes some minutes, with --quick some seconds
  tandem-bench verification --max-first 1 --max-last 10 --max-reap 1
      10,000 simulated units have a release when some fail its diagnostics: from the verdict to the orders back; and one
      pass of the reaper over a million runs
  tandem-bench mcu --runs 1 --seconds 1 --min-percent 85
      a quick run that fails when a line is used less than that

Exit codes: 0 done, 1 failed or below a limit, 2 usage.)";

struct McuArguments {
  int runs = 5;
  double seconds = 2;
  double min_percent = 0;
  bool no_compare = false;
};

void PrintRow(const bench::McuBenchCase& bench_case, const bench::McuBenchResult& result) {
  const std::string buffers = absl::StrCat(bench_case.buffer_count, "x", bench_case.buffer_size);
  if (!result.cap.has_value()) {
    std::printf("%-28s %8s %12.0f %12s %9s %14.0f %9s\n", bench_case.Name().c_str(), buffers.c_str(), result.ours, "-",
                "-", result.simple, "-");
    return;
  }
  std::printf("%-28s %8s %12.0f %12.0f %8.1f%% %14.0f %8.1f%%\n", bench_case.Name().c_str(), buffers.c_str(),
              result.ours, *result.cap, result.Percent(), result.simple, result.simple / *result.cap * 100);
}

// Roughly: the other client takes more than half as long again.
double AboutSeconds(const McuArguments& arguments) {
  const auto lines = static_cast<double>(bench::PublishedMcuCases().size());
  return lines * arguments.runs * arguments.seconds * (arguments.no_compare ? 1.0 : 1.6);
}

int RunMcu(const McuArguments& arguments) {
  std::cerr << "tandem-bench: this takes about " << std::lround(AboutSeconds(arguments)) << " s\n";
  std::printf("%-28s %8s %12s %12s %9s %14s %9s\n", "line, latency each way", "buffers", "bytes/s", "cap", "of cap",
              "one at a time", "of cap");
  bool good = true;
  for (const bench::McuBenchCase& bench_case : bench::PublishedMcuCases()) {
    const absl::StatusOr<bench::McuBenchResult> result = bench::RunMcuBench(
        bench_case,
        {.length = absl::Seconds(arguments.seconds), .runs = arguments.runs, .compare = !arguments.no_compare});
    if (!result.ok()) {
      std::cerr << "tandem-bench: " << ToPersonText(result.status()) << "\n";
      return 1;
    }
    PrintRow(bench_case, *result);
    std::fflush(stdout);
    good = good && result->Percent() >= arguments.min_percent;
  }
  if (!good) std::cerr << "tandem-bench: a line is used less than " << arguments.min_percent << " %\n";
  return good ? 0 : 1;
}

int RunBoot() {
  const bench::BootBenchResult result = bench::RunBootBench();
  std::printf("%-34s %12s %12s\n", "boot decision", "median", "longest");
  std::printf("%-34s %9.2f us %9.2f us\n", "read two copies, choose, decide", absl::ToDoubleMicroseconds(result.median),
              absl::ToDoubleMicroseconds(result.longest));
  return result.median < absl::Milliseconds(1) ? 0 : 1;
}

int RunMessages(double limit_us) {
  const bench::MessageBenchResult result = bench::RunMessageBench();
  std::printf("%-34s %12s %12s\n", absl::StrCat("report of ", result.bytes, " bytes").c_str(), "CPU", "of one core");
  for (const auto& [name, time] :
       {std::pair("one pass, strict", result.ours), {"document, text, protobuf", result.general}}) {
    std::printf("%-34s %9.1f us %10.0f/s\n", name, absl::ToDoubleMicroseconds(time), 1 / absl::ToDoubleSeconds(time));
  }
  return absl::ToDoubleMicroseconds(result.ours) < limit_us ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures the parts of Tandem.", "tandem-bench");
  app.set_version_flag("--version", absl::StrCat("tandem-bench ", TANDEM_VERSION));
  app.footer(kExamples);
  app.require_subcommand(1);
  McuArguments mcu;
  CLI::App* const mcu_command =
      app.add_subcommand("mcu",
                         "uploads over SMP, next to what the framing leaves of the line and to a client with one "
                         "request in flight; takes about 2 minutes, with --runs 1 about 25 s");
  mcu_command->footer(kExamples);
  mcu_command->add_option("--runs", mcu.runs, "uploads per line; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  mcu_command->add_option("--seconds", mcu.seconds, "how long an upload takes at best")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 600.0));
  mcu_command->add_option("--min-percent", mcu.min_percent, "exit with 1 when a line carries less of its cap")
      ->check(CLI::Range(0.0, 100.0));
  mcu_command->add_flag("--no-compare", mcu.no_compare, "leave the other client out");
  CLI::App* const boot_command =
      app.add_subcommand("boot", "the bootloader's decision from two copies of the boot record; 1 when over 1 ms");
  double limit_us = 60;
  CLI::App* const messages_command =
      app.add_subcommand("messages", "what reading one report of a unit costs the fleet");
  messages_command->add_option("--max-us", limit_us, "exit with 1 when it costs more microseconds of CPU")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e6));
  bench::FleetBenchOptions fleet;
  CLI::App* const fleet_command = app.add_subcommand("fleet", "what controllers carry, and what a message costs them");
  fleet_command->add_flag("--quick", fleet.quick, "one short run on SQLite");
  fleet_command->add_option("--runs", fleet.runs, "of those with 10,000 units; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  fleet_command->add_option("--most-units", fleet.most_units, "of the largest fleet")
      ->capture_default_str()
      ->check(CLI::Range(10'000, 10'000'000));
  fleet_command->add_option("--min-reports", fleet.min_reports, "exit with 1 below so many in a second on SQLite");
  fleet_command->add_option("--max-ratio", fleet.max_ratio,
                            "exit with 1 when a message costs more than so many times as much in the largest fleet");
  bench::VerificationBenchOptions verification;
  CLI::App* const verification_command =
      app.add_subcommand("verification", "how fast a bad release is taken back, and what the reaper costs");
  verification_command->add_flag("--quick", verification.quick, "1,000 units and 100,000 runs on SQLite");
  verification_command->add_option("--max-first", verification.max_first,
                                   "exit with 1 when the first order back takes more seconds");
  verification_command->add_option("--max-last", verification.max_last, "the same of the last one");
  verification_command->add_option("--max-reap", verification.max_reap, "the same of the reaper's pass");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (*fleet_command) {
    const absl::Status status = bench::RunFleetBench(fleet);
    if (!status.ok()) std::cerr << "tandem-bench: " << ToPersonText(status) << "\n";
    return status.ok() ? 0 : 1;
  }
  if (*verification_command) {
    const absl::Status status = bench::RunVerificationBench(verification);
    if (!status.ok()) std::cerr << "tandem-bench: " << ToPersonText(status) << "\n";
    return status.ok() ? 0 : 1;
  }
  if (*messages_command) return RunMessages(limit_us);
  return *boot_command ? RunBoot() : RunMcu(mcu);
}
