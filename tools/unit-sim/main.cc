// tandem-unit-sim: a virtual unit whose power can be cut.
#include <iostream>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/storage/folder_lock.h"
#include "tools/unit-sim/control.h"
#include "tools/unit-sim/sim_config.h"
#include "tools/unit-sim/unit_sim.h"

namespace {

using namespace tandem;

constexpr absl::Duration kCommandTimeout = absl::Seconds(60);

constexpr char kExamples[] = R"(
Examples:
  tandem-unit-sim run --config unit.yaml                 # switch it on; SIGTERM ends it
  tandem-unit-sim status --unit /tmp/unit --json
  tandem-unit-sim reboot --unit /tmp/unit                # also a plugin's reboot_command
  tandem-unit-sim power-cut --unit /tmp/unit             # everything is killed at once; it stays off
  tandem-unit-sim power-cut --unit /tmp/unit --restart-after 1s
  tandem-unit-sim power-on --unit /tmp/unit
  tandem-unit-sim power-cycle --unit /tmp/unit --peripheral mcu

A configuration:
  unit: /tmp/unit
  slot_a: "{unit}/slot-a.img"                            # squashfs
  slot_b: "{unit}/slot-b.img"
  init_command: ["{root}/sbin/check"]
  services:
    - {name: um, argv: ["{root}/usr/bin/tandem-um", --config, "{unit}/um.yaml"]}
  watchdog: {timeout: 5s}

What happens is in {unit}/console.log, what services print in {unit}/log/. {run} has cmdline (tandem.slot=A), boot_id
and the watchdog FIFO.

Exit codes: 0 done, 1 failed, 2 usage or configuration.)";

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << "tandem-unit-sim: " << ToPersonText(status) << "\n";
  return 1;
}

int Run(const std::string& path, bool check_only, bool exit_after_idle) {
  absl::StatusOr<sim::Config> config = sim::LoadConfig(path);
  if (!config.ok()) {
    Report(config.status());
    return 2;
  }
  if (check_only) {
    std::cout << path << ": good\n";
    return 0;
  }
  absl::StatusOr<FolderLock> lock = FolderLock::Take(config->unit);
  if (!lock.ok()) return Report(lock.status());
  return Report(sim::UnitSim(*std::move(config)).Run(exit_after_idle));
}

absl::Status PowerCut(const std::string& unit, const std::string& restart_after) {
  std::string line = "power-cut";
  absl::Duration delay;
  if (!restart_after.empty()) {
    if (!absl::ParseDuration(restart_after, &delay) || delay < absl::ZeroDuration()) {
      return absl::InvalidArgumentError(absl::StrCat("--restart-after ", restart_after, " is no duration; write 1s"));
    }
    absl::StrAppend(&line, " ", absl::ToInt64Milliseconds(delay));
  }
  ASSIGN_OR_RETURN(const sim::Status before, sim::ReadStatus(unit));
  RETURN_IF_ERROR(sim::SendRequest(unit, line));
  return sim::WaitForStatus(unit, kCommandTimeout,
                            [&](const sim::Status& now) { return now.power_cuts > before.power_cuts; })
      .status();
}

absl::Status PowerOn(const std::string& unit) {
  ASSIGN_OR_RETURN(const sim::Status before, sim::ReadStatus(unit));
  const uint64_t boots = before.machine != 0 ? before.boots : before.boots + 1;
  RETURN_IF_ERROR(sim::SendRequest(unit, "power-on"));
  return sim::WaitForStatus(unit, kCommandTimeout,
                            [&](const sim::Status& now) {
                              return now.boots >= boots && (now.state == "running" || now.state == "recovery");
                            })
      .status();
}

absl::Status Off(const std::string& unit) {
  RETURN_IF_ERROR(sim::SendRequest(unit, "off"));
  return sim::WaitForStatus(unit, kCommandTimeout, [](const sim::Status& now) { return now.state == "off"; }).status();
}

absl::Status PrintStatus(const std::string& unit, bool json) {
  ASSIGN_OR_RETURN(const sim::Status status, sim::ReadStatus(unit));
  std::cout << (json ? sim::ToJson(status) : sim::ToText(status) + "\n");
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A virtual unit: two slots, the real boot policy, services, a watchdog, and power that can be cut.",
               "tandem-unit-sim");
  app.set_version_flag("--version", absl::StrCat("tandem-unit-sim ", TANDEM_VERSION));
  app.footer(kExamples);
  app.require_subcommand(0, 1);

  std::string config;
  bool check_only = false;
  CLI::Option* const checked = app.add_option("--config", config, "YAML file, for --check-config");
  app.add_flag("--check-config", check_only, "check the configuration and end")->needs(checked);
  bool exit_after_idle = false;
  CLI::App* run = app.add_subcommand("run", "switch the unit on and run it in the foreground");
  run->add_option("--config", config, "YAML file")->required();
  run->add_flag("--check-config", check_only, "check the configuration and end");
  run->add_flag("--exit-after-idle", exit_after_idle, "end when the unit is off or in recovery");

  std::string unit;
  std::string restart_after;
  bool json = false;
  auto command = [&](const char* name, const char* help) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option("--unit", unit, "folder of the unit")->required();
    return sub;
  };
  CLI::App* power_cut = command("power-cut", "kill everything at once");
  power_cut->add_option("--restart-after", restart_after, "switch it on again after this time, such as 1s");
  std::string peripheral;
  CLI::App* power_cycle = command("power-cycle", "cut the power of one peripheral, and give it back");
  power_cycle->add_option("--peripheral", peripheral, "its name in the configuration")->required();
  CLI::App* power_on = command("power-on", "switch it on; returns when it runs");
  CLI::App* reboot = command("reboot", "stop services in order, then boot; returns at once");
  CLI::App* off = command("off", "stop services in order, then off");
  CLI::App* status = command("status", "what the unit does");
  status->add_flag("--json", json, "for programs");
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty() && !check_only) throw CLI::RequiredError("A subcommand");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  if (*run || check_only) return Run(config, check_only, exit_after_idle);
  if (*power_cut) return Report(PowerCut(unit, restart_after));
  if (*power_cycle) return Report(sim::SendRequest(unit, absl::StrCat("power-cycle ", peripheral)));
  if (*power_on) return Report(PowerOn(unit));
  if (*reboot) return Report(sim::SendRequest(unit, "reboot"));
  if (*off) return Report(Off(unit));
  if (*status) return Report(PrintStatus(unit, json));
  return 2;
}
