// fleet, whoami, units
#include <algorithm>
#include <filesystem>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/render.h"
#include "tools/fleetctl/units_file.h"

namespace tandem::fleetctl {
namespace {

using Stub = v1::Fleet::StubInterface;

constexpr size_t kAtATime = 500;

struct UnitListOptions {
  v1::ListUnitsRequest request;
  std::string filter;
  std::string presence;
  uint32_t limit = 100;
};

absl::Status ListUnits(Client& client, UnitListOptions& options) {
  v1::ListUnitsRequest request;
  request.set_filter(options.filter);
  request.set_presence(options.presence);
  v1::ListUnitsResponse all;
  do {
    const uint32_t left = options.limit == 0 ? 1000 : options.limit - static_cast<uint32_t>(all.units_size());
    request.set_page_size(std::min<uint32_t>(left, 1000));
    ASSIGN_OR_RETURN(const v1::ListUnitsResponse page, client.Call(&Stub::ListUnits, request));
    for (const v1::Unit& unit : page.units()) *all.add_units() = unit;
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (!all.next_page_token().empty() &&
           (options.limit == 0 || all.units_size() < static_cast<int>(options.limit)));
  return Show(all, [&] {
    std::string text = RenderUnits(all, Terminal());
    if (!all.next_page_token().empty()) text += "there are more; --limit 0 shows all\n";
    return text;
  });
}

absl::Status Register(Client& client, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
  ASSIGN_OR_RETURN(std::vector<v1::UnitRegistration> units, ParseUnits(text, path));
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  v1::RegisterUnitsResponse total;
  for (size_t begin = 0; begin < units.size(); begin += kAtATime) {
    v1::RegisterUnitsRequest request;
    for (size_t i = begin; i < std::min(units.size(), begin + kAtATime); ++i) {
      std::string& certificate = *units[i].mutable_certificate();
      if (!certificate.empty() && !absl::StartsWith(certificate, "-----BEGIN")) {
        ASSIGN_OR_RETURN(certificate, ReadInput((folder / certificate).string()));
      }
      *request.add_units() = std::move(units[i]);
    }
    ASSIGN_OR_RETURN(
        const v1::RegisterUnitsResponse response,
        Annotate(client.Call(&Stub::RegisterUnits, request), absl::StrCat("after ", begin, " units of ", path)));
    total.set_created(total.created() + response.created());
    total.set_updated(total.updated() + response.updated());
  }
  return Show(total, [&] { return absl::StrCat(total.created(), " new, ", total.updated(), " known before\n"); });
}

}  // namespace

void AddFleetCommands(CLI::App& app) {
  AddCommand(app, "fleet", "the fleet at a glance: units, versions, rollouts, stops", R"(
Examples:
  tandem-fleetctl fleet
  tandem-fleetctl fleet --json | jq .online)",
             [](Client& client) -> absl::Status {
               ASSIGN_OR_RETURN(const v1::FleetOverview fleet, client.Call(&Stub::GetFleet, v1::GetFleetRequest()));
               return Show(fleet, [&] { return RenderFleet(fleet, Terminal()); });
             });
  AddCommand(app, "whoami", "who this program is to the controller, and its role", R"(
Examples:
  tandem-fleetctl whoami)",
             [](Client& client) -> absl::Status {
               ASSIGN_OR_RETURN(const v1::Principal who, client.Call(&Stub::WhoAmI, v1::WhoAmIRequest()));
               return Show(who, [&] { return absl::StrCat(Clean(who.actor()), ", ", RoleText(who.role()), "\n"); });
             });
}

CLI::App& AddUnitCommands(CLI::App& app) {
  CLI::App* units = AddGroup(app, "units", "list, show, register and revoke units");
  auto& list = Own<UnitListOptions>();
  CLI::App* command = AddCommand(*units, "list", "units, by id", R"(
Examples:
  tandem-fleetctl units list
  tandem-fleetctl units list --filter 'region == "eu" && hardware =~ "gw-*"' --presence offline
  tandem-fleetctl units list --limit 0 --json | jq -r '.units[].unit_id')",
                                 [&list](Client& client) { return ListUnits(client, list); });
  command->add_option("--filter", list.filter, "only these, as docs/targeting.md says");
  command->add_option("--presence", list.presence, "only these")
      ->check(CLI::IsMember({"online", "offline", "stale", "revoked", "storm", "held"}));
  command->add_option("--limit", list.limit, "how many; 0: all")->capture_default_str();

  auto& id = Own<std::string>();
  command = AddCommand(*units, "show", "one unit: what it runs, what it was ordered to, its attempts and events", R"(
Examples:
  tandem-fleetctl units show gw-17)",
                       [&id](Client& client) -> absl::Status {
                         v1::GetUnitRequest request;
                         request.set_unit_id(id);
                         ASSIGN_OR_RETURN(const v1::UnitDetail unit, client.Call(&Stub::GetUnit, request));
                         return Show(unit, [&] { return RenderUnit(unit, Terminal()); });
                       });
  command->add_option("unit", id, "its id")->required();

  auto& file = Own<std::string>();
  command = AddCommand(*units, "register", "make units, or replace their attributes", R"(
Examples:
  tandem-fleetctl units register units.csv
  printf 'unit_id,hardware,region,tag.lab\ngw-1,gw-2,eu,yes\n' | tandem-fleetctl units register -
  tandem-fleetctl units register units.jsonl     {"unit_id":"gw-1","region":"eu"}, one a line

Columns: unit_id, hardware, group, customer, region, site, certificate (a PEM file), tag.NAME.)",
                       [&file](Client& client) { return Register(client, file); });
  command->add_option("file", file, "JSON lines or CSV; - for standard input")->required();

  auto& revoke = Own<v1::RevokeUnitRequest>();
  auto& revoked_id = Own<std::string>();
  auto& reason = Own<std::string>();
  auto& undo = Own<bool>();
  command = AddCommand(*units, "revoke", "give a unit no orders any more, and take nothing from it", R"(
Examples:
  tandem-fleetctl units revoke gw-17 --reason "stolen"
  tandem-fleetctl units revoke gw-17 --undo --reason "found again")",
                       [&](Client& client) -> absl::Status {
                         revoke.set_unit_id(revoked_id);
                         revoke.set_reason(reason);
                         revoke.set_revoked(!undo);
                         ASSIGN_OR_RETURN(const v1::Unit unit, client.Call(&Stub::RevokeUnit, revoke));
                         return Show(unit, [&] {
                           return absl::StrCat("unit ", Clean(unit.unit_id()),
                                               unit.revoked() ? " is revoked\n" : " is not revoked any more\n");
                         });
                       });
  command->add_option("unit", revoked_id, "its id")->required();
  command->add_option("--reason", reason, "for the audit log")->required();
  command->add_flag("--undo", undo, "take the revocation back");
  return *units;
}

}  // namespace tandem::fleetctl
