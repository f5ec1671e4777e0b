// verification, guards, and what is done to single units: hold, rollback, diagnose
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/render.h"
#include "tools/fleetctl/render_verification.h"

namespace tandem::fleetctl {
namespace {

using Stub = v1::Fleet::StubInterface;

struct GridOptions {
  uint64_t rollout = 0;
  std::string unit;
  std::string state;
  uint32_t limit = 100;
};

absl::Status ShowGrid(Client& client, const GridOptions& options) {
  v1::GetVerificationRequest request;
  request.set_rollout(options.rollout);
  request.set_unit_id(options.unit);
  request.set_state(options.state);
  request.set_page_size(options.limit);
  ASSIGN_OR_RETURN(const v1::Verification grid, client.Call(&Stub::GetVerification, request));
  return Show(grid, [&] {
    std::string text = RenderVerification(grid, Terminal());
    if (!grid.next_page_token().empty()) text += "there are more; --limit shows up to 1000, --state fewer\n";
    return text;
  });
}

void AddHold(CLI::App& units) {
  auto& request = Own<v1::HoldUnitRequest>();
  auto& id = Own<std::string>();
  auto& reason = Own<std::string>();
  auto& release = Own<bool>();
  CLI::App* command =
      AddCommand(units, "hold", "keep a unit from new releases, or let it have them again", R"(
Examples:
  tandem-fleetctl units hold gw-17 --reason "on a test drive"
  tandem-fleetctl units hold gw-17 --release --reason "camera replaced"     also after a verification storm)",
                 [&](Client& client) -> absl::Status {
                   request.set_unit_id(id);
                   request.set_reason(reason);
                   request.set_held(!release);
                   ASSIGN_OR_RETURN(const v1::Unit unit, client.Call(&Stub::HoldUnit, request));
                   return Show(unit, [&] {
                     return absl::StrCat("unit ", Clean(unit.unit_id()),
                                         unit.held().empty() ? " gets new releases\n" : " is held back\n");
                   });
                 });
  command->add_option("unit", id, "its id")->required();
  command->add_option("--reason", reason, "for the audit log")->required();
  command->add_flag("--release", release, "let it have new releases again");
}

void AddRollback(CLI::App& units) {
  auto& request = Own<v1::RollBackUnitRequest>();
  auto& id = Own<std::string>();
  auto& reason = Own<std::string>();
  auto& planes = Own<std::vector<std::string>>();
  CLI::App* command = AddCommand(units, "rollback", "back to the release that the unit ran verified before", R"(
Examples:
  tandem-fleetctl units rollback gw-17 --reason "it rattles"
  tandem-fleetctl units rollback gw-17 --plane model --reason "worse at night")",
                                 [&](Client& client) -> absl::Status {
                                   request.set_unit_id(id);
                                   request.set_reason(reason);
                                   for (const std::string& plane : planes) request.add_planes(plane);
                                   ASSIGN_OR_RETURN(const v1::Unit unit, client.Call(&Stub::RollBackUnit, request));
                                   return Show(unit, [&] {
                                     return absl::StrCat("unit ", Clean(unit.unit_id()), " is ordered back; order ",
                                                         unit.desired_sequence(), "\n");
                                   });
                                 });
  command->add_option("unit", id, "its id")->required();
  command->add_option("--reason", reason, "for the audit log")->required();
  command->add_option("--plane", planes, "firmware, model, config; default: those of its newest update");
}

void AddDiagnose(CLI::App& units) {
  auto& request = Own<v1::RunDiagnosticsRequest>();
  auto& id = Own<std::string>();
  auto& names = Own<std::vector<std::string>>();
  CLI::App* command = AddCommand(
      units, "diagnose", "run diagnostics of the releases that a unit runs; they gate nothing", R"(
Examples:
  tandem-fleetctl units diagnose gw-17
  tandem-fleetctl units diagnose gw-17 inference camera
  tandem-fleetctl verification --unit gw-17                      what came of it, beside its updates: units show)",
      [&](Client& client) -> absl::Status {
        request.set_unit_id(id);
        for (const std::string& name : names) request.add_diagnostics(name);
        ASSIGN_OR_RETURN(const v1::RunDiagnosticsResponse response, client.Call(&Stub::RunDiagnostics, request));
        return Show(response, [&] {
          return absl::StrCat("run ", Clean(response.run_id()), "\n", RenderRuns(response.runs(), Terminal()));
        });
      });
  command->add_option("unit", id, "its id")->required();
  command->add_option("diagnostic", names, "by name; default: all");
}

void AddGuards(CLI::App& app) {
  CLI::App* guards = AddGroup(app, "guards", "automatic rollback, and what has stopped it");
  AddCommand(*guards, "show", "is it on, and how near is the storm guard", R"(
Examples:
  tandem-fleetctl guards show)",
             [](Client& client) -> absl::Status {
               ASSIGN_OR_RETURN(const v1::Guards view, client.Call(&Stub::GetGuards, v1::GetGuardsRequest()));
               return Show(view, [&] { return RenderGuards(view, Terminal()); });
             });
  auto& on = Own<std::string>();
  auto& reason = Own<std::string>();
  CLI::App* command =
      AddCommand(*guards, "auto-rollback", "switch automatic rollback on or off", R"(
Examples:
  tandem-fleetctl guards auto-rollback on --reason "the test bench is mended"     also ends what the storm guard did
  tandem-fleetctl guards auto-rollback off --reason "an operator decides tonight")",
                 [&](Client& client) -> absl::Status {
                   v1::SetAutoRollbackRequest request;
                   request.set_on(on == "on");
                   request.set_reason(reason);
                   ASSIGN_OR_RETURN(const v1::Guards view, client.Call(&Stub::SetAutoRollback, request));
                   return Show(view, [&] { return RenderGuards(view, Terminal()); });
                 });
  command->add_option("state", on, "on or off")->required()->check(CLI::IsMember({"on", "off"}));
  command->add_option("--reason", reason, "for the audit log")->required();
}

}  // namespace

void AddVerificationCommands(CLI::App& app, CLI::App& units) {
  AddHold(units);
  AddRollback(units);
  AddDiagnose(units);
  auto& grid = Own<GridOptions>();
  CLI::App* command = AddCommand(app, "verification", "units by diagnostics: what runs, and what was found", R"(
Examples:
  tandem-fleetctl verification --rollout 7
  tandem-fleetctl verification --rollout 7 --state verification_failed
  tandem-fleetctl verification --unit gw-17)",
                                 [&grid](Client& client) { return ShowGrid(client, grid); });
  command->add_option("--rollout", grid.rollout, "of this rollout's units");
  command->add_option("--unit", grid.unit, "of this unit");
  command->add_option("--state", grid.state, "only these, such as verifying or verification_failed");
  command->add_option("--limit", grid.limit, "how many units; at most 1000")->capture_default_str();
  AddGuards(app);
}

}  // namespace tandem::fleetctl
