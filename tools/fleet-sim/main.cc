// tandem-fleet-sim: many simulated units against a real broker and a real controller.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tools/fleet-sim/fleet_sim.h"

namespace {

using namespace tandem;
using fleetsim::Figures;
using fleetsim::FleetSim;
using fleetsim::FleetSimOptions;

constexpr char kExamples[] = R"(
Examples:

  tandem-fleet-sim --broker mqtt://localhost:1883 --units 1000
      1,000 units with a connection each, until Ctrl-C
  tandem-fleet-sim --broker mqtt://localhost:1883 --units 1000 --fail 0.01 --slow 0.02 --until-idle
      some fail and some are slow, the same ones for the same --seed; ends when all is done
  tandem-fleet-sim --broker mqtt://localhost:1883 --units 1000 --bad-release gateway-2026.12=0.3
  tandem-fleet-sim --broker mqtt://localhost:1883 --units 1000 --bad-diagnostic 'gateway-2026.12/inference=0.1'
      that release fails on 30 % of the units, each time it is tried
  tandem-fleet-sim --broker mqtt://localhost:1883 --units 1000000 --multiplex 8 --connect-rate 5000
      a million units over 8 connections; broker and controller must let one client speak for all
  tandem-fleet-sim --broker mqtts://broker:8883 --ca ca.pem --certificate certs/{unit}.pem --key certs/{unit}.key …
      each unit with its own certificate
  tandem-fleet-sim --units 1000 --print-units > units.csv
      what the controller must know of them, for tandem-fleetctl units import

Shares are from 0 to 1. Exit codes: 0 done, 1 failed, 2 usage.)";

struct Arguments {
  FleetSimOptions sim;
  std::vector<std::string> bad_releases;
  std::vector<std::string> bad_diagnostics;
  std::string diagnostic_time = "100ms..500ms";
  std::vector<std::string> components;
  std::string update_time = "2s..8s";
  std::string flap_every = "20s..60s";
  std::string offline_for = "30s..90s";
  std::string reorder_by = "20ms..500ms";
  std::string heartbeat = "5m";
  std::string resend = "10s";
  std::string duration;
  std::string idle = "10s";
  std::string hardware = "gw-2";
  std::string region = "eu=2,us=1";
  std::string customer;
  std::string group;
  std::string password_file;
  std::string key_set_file;
  double verify_share = -1;
  bool until_idle = false;
  bool json = false;
  bool quiet = false;
  bool print_units = false;
};

FleetSim* running = nullptr;

void OnSignal(int) { running->Stop(); }

absl::StatusOr<absl::Duration> ReadDuration(const std::string& option, const std::string& text) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration > absl::ZeroDuration()) return duration;
  return absl::InvalidArgumentError(absl::StrCat(option, ": \"", text, "\" is no time such as 30s or 5m"));
}

// name=value, value a share.
absl::Status ReadBadReleases(Arguments& arguments) {
  for (const std::string& text : arguments.bad_releases) {
    const std::vector<std::string> pair = absl::StrSplit(text, absl::MaxSplits('=', 1));
    double share = 1;
    if (pair[0].empty() || (pair.size() == 2 && !absl::SimpleAtod(pair[1], &share))) {
      return absl::InvalidArgumentError(absl::StrCat("--bad-release: \"", text, "\" is not such as v2=0.3"));
    }
    arguments.sim.behaviour.bad_releases[pair[0]] = share;
  }
  return absl::OkStatus();
}

absl::Status ReadAttributes(Arguments& arguments) {
  fleetsim::WorldOptions& world = arguments.sim.world;
  ASSIGN_OR_RETURN(world.hardware, Annotate(fleetsim::ParseWeighted(arguments.hardware), "--hardware"));
  for (const auto& [name, text] :
       {std::pair("region", arguments.region), {"customer", arguments.customer}, {"group", arguments.group}}) {
    if (text.empty()) continue;
    ASSIGN_OR_RETURN(world.attributes[name], Annotate(fleetsim::ParseWeighted(text), absl::StrCat("--", name)));
  }
  for (const std::string& text : arguments.components) {
    const std::vector<std::string> pair = absl::StrSplit(text, absl::MaxSplits('=', 1));
    if (pair.size() != 2) {
      return absl::InvalidArgumentError(absl::StrCat("--component: \"", text, "\" is not such as rootfs=1.0.0"));
    }
    world.components.emplace_back(pair[0], pair[1]);
  }
  return absl::OkStatus();
}

absl::Status Complete(Arguments& arguments) {
  FleetSimOptions& sim = arguments.sim;
  ASSIGN_OR_RETURN(sim.behaviour.update_time, fleetsim::ParseSpan(arguments.update_time));
  ASSIGN_OR_RETURN(sim.behaviour.flap_every, fleetsim::ParseSpan(arguments.flap_every));
  ASSIGN_OR_RETURN(sim.behaviour.offline_for, fleetsim::ParseSpan(arguments.offline_for));
  ASSIGN_OR_RETURN(sim.behaviour.reorder_by, fleetsim::ParseSpan(arguments.reorder_by));
  ASSIGN_OR_RETURN(sim.world.heartbeat, ReadDuration("--heartbeat", arguments.heartbeat));
  ASSIGN_OR_RETURN(sim.world.resend, ReadDuration("--resend", arguments.resend));
  RETURN_IF_ERROR(ReadBadReleases(arguments));
  for (const std::string& text : arguments.bad_diagnostics) {
    ASSIGN_OR_RETURN(fleetsim::BadDiagnostic rule, Annotate(fleetsim::ParseBadDiagnostic(text), "--bad-diagnostic"));
    sim.behaviour.bad_diagnostics.push_back(std::move(rule));
  }
  ASSIGN_OR_RETURN(sim.behaviour.diagnostic_time, fleetsim::ParseSpan(arguments.diagnostic_time));
  RETURN_IF_ERROR(ReadAttributes(arguments));
  const bool few = sim.connections > 0;
  sim.world.verify_share = arguments.verify_share >= 0 ? arguments.verify_share : (few ? 0.01 : 1.0);
  if (few) sim.line.in_flight = 1000;
  if (!arguments.password_file.empty()) {
    ASSIGN_OR_RETURN(const std::string password, FileSystem::Real().ReadFile(arguments.password_file, 4096));
    sim.line.password = std::string(absl::StripTrailingAsciiWhitespace(password));
  }
  return absl::OkStatus();
}

void PrintUnits(const FleetSimOptions& options) {
  class Nowhere : public fleetsim::World {
   public:
    using World::World;
    absl::Status Send(uint32_t, const MqttMessage&) override { return absl::OkStatus(); }
  };
  const Nowhere world(options.world, options.behaviour, Clock::Real());
  std::string header = "unit_id,hardware";
  for (const auto& [name, values] : world.options.attributes) absl::StrAppend(&header, ",", name);
  std::cout << header << "\n";
  for (uint32_t unit = 0; unit < world.options.units; ++unit) {
    std::string line = absl::StrCat(world.UnitId(unit), ",", world.IdentityOf(unit).hardware);
    for (const auto& [name, values] : world.options.attributes) {
      absl::StrAppend(&line, ",", world.behaviour.Choose(values, name, unit));
    }
    std::cout << line << "\n";
  }
}

std::string LiveLine(const FleetSim& sim, absl::Duration since) {
  const Figures& it = sim.figures();
  return absl::StrCat(absl::ToInt64Seconds(since), " s  ", sim.connected(), "/", sim.units(), " connected  ", it.sent,
                      " sent  ", it.acknowledged, "/", it.queued, " acked  ", it.resent, " resent  ", it.orders,
                      " orders  ", it.running, " running  ", it.applied, " applied  ", it.reverted, " reverted",
                      it.refused > 0 ? absl::StrCat("  ", it.refused, " refused") : "",
                      sim.connected() == 0 && !sim.last_error().empty() ? absl::StrCat("  ", sim.last_error()) : "");
}

nlohmann::ordered_json Summary(const FleetSim& sim, absl::Duration since) {
  const Figures& it = sim.figures();
  nlohmann::ordered_json json;
  json["units"] = sim.units();
  json["connected"] = sim.connected();
  json["seconds"] = absl::ToDoubleSeconds(since);
  json["connects"] = it.connects;
  json["connections_lost"] = it.connections_lost;
  json["connection_errors"] = it.connection_errors;
  json["last_error"] = sim.last_error();
  json["messages_sent"] = it.sent;
  json["messages_not_sent"] = it.not_sent;
  json["messages_queued"] = it.queued;
  json["messages_acked"] = it.acknowledged;
  json["messages_resent"] = it.resent;
  json["messages_received"] = it.received;
  json["messages_unreadable"] = it.unreadable;
  json["orders"] = it.orders;
  json["orders_verified"] = it.verified;
  json["orders_repeated"] = it.repeated;
  json["orders_refreshed"] = it.refreshed;
  json["orders_refused"] = it.refused;
  json["updates_running"] = it.running;
  json["updates_applied"] = it.applied;
  json["updates_reverted"] = it.reverted;
  json["updates_superseded"] = it.superseded;
  json["updates_silent"] = it.silent;
  json["updates_provisional"] = it.provisional;
  json["diagnostics"] = it.diagnostics;
  json["diagnostics_passed"] = it.diagnostics_passed;
  json["diagnostics_failed"] = it.diagnostics_failed;
  json["diagnostics_hanging"] = it.diagnostics_hanging;
  json["last_order"] = it.orders == 0 ? "" : absl::FormatTime(absl::RFC3339_sec, it.last_order, absl::UTCTimeZone());
  json["resident_bytes"] = FleetSim::ResidentBytes();
  return json;
}

void PrintSummary(const nlohmann::ordered_json& summary) {
  for (const auto& [name, value] : summary.items()) {
    if (value.is_string() && value.get<std::string>().empty()) continue;
    std::string label = name;
    std::ranges::replace(label, '_', ' ');
    const std::string text = value.is_string()         ? value.get<std::string>()
                             : value.is_number_float() ? absl::StrCat(value.get<double>())
                                                       : value.dump();
    std::printf("%-22s %s\n", label.c_str(), text.c_str());
  }
}

int Run(Arguments& arguments) {
  const auto fail = [](const absl::Status& status) {
    std::cerr << "tandem-fleet-sim: " << ToPersonText(status) << "\n";
    return absl::IsInvalidArgument(status) ? 2 : 1;
  };
  if (const absl::Status status = Complete(arguments); !status.ok()) return fail(status);
  if (arguments.print_units) {
    PrintUnits(arguments.sim);
    return 0;
  }
  absl::Duration longest = absl::InfiniteDuration();
  absl::Duration idle = absl::InfiniteDuration();
  if (!arguments.duration.empty()) {
    const absl::StatusOr<absl::Duration> read = ReadDuration("--duration", arguments.duration);
    if (!read.ok()) return fail(read.status());
    longest = *read;
  }
  if (arguments.until_idle) {
    const absl::StatusOr<absl::Duration> read = ReadDuration("--idle", arguments.idle);
    if (!read.ok()) return fail(read.status());
    idle = *read;
  }
  const absl::StatusOr<std::unique_ptr<FleetSim>> created = FleetSim::Create(arguments.sim);
  if (!created.ok()) return fail(created.status());
  FleetSim& sim = **created;
  if (!arguments.key_set_file.empty()) {
    const absl::Status read = sim.TrustKeySet(arguments.key_set_file);
    if (!read.ok()) return fail(read);
  }
  running = &sim;
  signal(SIGINT, OnSignal);
  signal(SIGTERM, OnSignal);
  signal(SIGPIPE, SIG_IGN);

  const bool terminal = isatty(STDERR_FILENO) != 0;
  const absl::Time start = absl::Now();
  absl::Time next_line = start;
  sim.Run([&] {
    const absl::Time now = absl::Now();
    if (!arguments.quiet && now >= next_line) {
      next_line = now + (terminal ? absl::Seconds(1) : absl::Seconds(10));
      std::cerr << (terminal ? "\r" : "") << LiveLine(sim, now - start) << (terminal ? "\x1b[K" : "\n") << std::flush;
    }
    return now - start >= longest || sim.idle_for() >= idle;
  });
  if (terminal && !arguments.quiet) std::cerr << "\n";
  const nlohmann::ordered_json summary = Summary(sim, absl::Now() - start);
  if (arguments.json) {
    std::cout << summary.dump(2) << "\n";
  } else {
    PrintSummary(summary);
  }
  // Nobody ever got through.
  return sim.figures().connects == 0 ? 1 : 0;
}

void AddOptions(CLI::App& app, Arguments& arguments) {
  FleetSimOptions& sim = arguments.sim;
  const CLI::Range share(0.0, 1.0);
  const std::string broker = "Broker";
  app.add_option("--broker", sim.line.url, "mqtts://host:8883, or mqtt://host:1883 on this machine")
      ->default_val("mqtt://localhost:1883")
      ->group(broker);
  app.add_option("--ca", sim.line.ca_file, "PEM; {unit} stands for the unit's id in these")->group(broker);
  app.add_option("--certificate", sim.line.certificate_file, "PEM")->group(broker);
  app.add_option("--key", sim.line.key_file, "PEM")->group(broker);
  app.add_option("--username", sim.line.username)->group(broker);
  app.add_option("--password-file", arguments.password_file)->group(broker);
  app.add_option("--connect-rate", sim.connect_rate, "units that connect in a second")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1e6))
      ->group(broker);
  app.add_option("--multiplex", sim.connections, "all units over so many connections; 0: one for each")
      ->check(CLI::Range(0, 1000))
      ->group(broker);

  const std::string fleet = "Fleet";
  app.add_option("--units", sim.world.units, "how many")
      ->default_val(100)
      ->check(CLI::Range(1, 10'000'000))
      ->group(fleet);
  app.add_option("--namespace", sim.world.name_space)->capture_default_str()->group(fleet);
  app.add_option("--prefix", sim.world.prefix, "unit ids are this and a number")->capture_default_str()->group(fleet);
  app.add_option("--hardware", arguments.hardware, "by weight: gw-2=3,gw-1=1")->capture_default_str()->group(fleet);
  app.add_option("--region", arguments.region, "by weight")->capture_default_str()->group(fleet);
  app.add_option("--customer", arguments.customer, "by weight")->group(fleet);
  app.add_option("--group", arguments.group, "by weight")->group(fleet);
  app.add_option("--component", arguments.components, "what units run at first: type=version; may be repeated")
      ->group(fleet);
  app.add_option("--heartbeat", arguments.heartbeat)->capture_default_str()->group(fleet);
  app.add_option("--resend", arguments.resend, "first wait for an acknowledgement")
      ->capture_default_str()
      ->group(fleet);
  app.add_option("--key-set", arguments.key_set_file, "what units trust from the start; else the first that comes")
      ->group(fleet);
  app.add_option("--verify-share", arguments.verify_share,
                 "share of desired states that are verified; default 1, with --multiplex 0.01")
      ->check(share)
      ->group(fleet);
  app.add_flag("--print-units", arguments.print_units, "print the units as CSV, and end")->group(fleet);

  const std::string behaviour = "Behaviour";
  app.add_option("--seed", sim.behaviour.seed)->capture_default_str()->group(behaviour);
  app.add_option("--success", sim.behaviour.success, "weight of updates that succeed")
      ->capture_default_str()
      ->group(behaviour);
  app.add_option("--fail", sim.behaviour.fail, "weight of updates that are reverted")->group(behaviour);
  app.add_option("--slow", sim.behaviour.slow, "weight of updates that take ten times as long")->group(behaviour);
  app.add_option("--silent", sim.behaviour.silent, "weight of updates that nothing is heard of")->group(behaviour);
  app.add_option("--bad-release", arguments.bad_releases, "release_id=share of units on which it fails")
      ->group(behaviour);
  app.add_option("--bad-diagnostic", arguments.bad_diagnostics,
                 "release_id/diagnostic=share[:failed|timeout|error|hangs]; both names may end with *")
      ->group(behaviour);
  app.add_option("--diagnostic-time", arguments.diagnostic_time)->capture_default_str()->group(behaviour);
  app.add_option("--update-time", arguments.update_time)->capture_default_str()->group(behaviour);
  app.add_option("--flap", sim.behaviour.flap, "share of units that lose their connection again and again")
      ->check(share)
      ->group(behaviour);
  app.add_option("--flap-every", arguments.flap_every)->capture_default_str()->group(behaviour);
  app.add_option("--offline", sim.behaviour.offline, "share of units that appear late")->check(share)->group(behaviour);
  app.add_option("--offline-for", arguments.offline_for)->capture_default_str()->group(behaviour);
  app.add_option("--duplicate", sim.behaviour.duplicate, "share of messages that are sent twice")
      ->check(share)
      ->group(behaviour);
  app.add_option("--reorder", sim.behaviour.reorder, "share of messages that are late")->check(share)->group(behaviour);
  app.add_option("--reorder-by", arguments.reorder_by)->capture_default_str()->group(behaviour);

  const std::string run = "Run";
  app.add_option("--duration", arguments.duration, "at most so long")->group(run);
  app.add_flag("--until-idle", arguments.until_idle, "until no unit has anything to do")->group(run);
  app.add_option("--idle", arguments.idle, "and nobody has heard anything for so long")
      ->capture_default_str()
      ->group(run);
  app.add_flag("--json", arguments.json, "the summary for programs")->group(run);
  app.add_flag("--quiet", arguments.quiet, "no live line")->group(run);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulates a fleet of units against a real broker and controller.", "tandem-fleet-sim");
  app.set_version_flag("--version", absl::StrCat("tandem-fleet-sim ", TANDEM_VERSION));
  app.footer(kExamples);
  Arguments arguments;
  AddOptions(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return Run(arguments);
}
