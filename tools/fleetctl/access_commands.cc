// stops, audit, tokens
#include <algorithm>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/render.h"

namespace tandem::fleetctl {
namespace {

using Stub = v1::Fleet::StubInterface;

struct StopOptions {
  std::string target;
  std::string reason;
  uint64_t id = 0;
};

void AddStopCommands(CLI::App& app) {
  CLI::App* stops = AddGroup(app, "stops", "keep units from new orders, whatever rollout they come from");
  auto& add = Own<StopOptions>();
  CLI::App* command =
      AddCommand(*stops, "add", "stop a part of the fleet, or all of it", R"(
Examples:
  tandem-fleetctl stops add --target 'customer == "acme"' --reason "harvest until Friday"
  tandem-fleetctl stops add --reason "everything halts until we know more"

What was ordered already runs on; `rollout pause` and `rollout abort` are for rollouts.)",
                 [&add](Client& client) -> absl::Status {
                   v1::CreateStopRequest request;
                   request.set_target(add.target);
                   request.set_reason(add.reason);
                   ASSIGN_OR_RETURN(const v1::Stop stop, client.Call(&Stub::CreateStop, request));
                   return Show(stop, [&] { return absl::StrCat("stop ", stop.id(), " is in force\n"); });
                 });
  command->add_option("--target", add.target, "which units, as docs/targeting.md says; without: all");
  command->add_option("--reason", add.reason, "for those who wonder")->required();
  AddCommand(*stops, "list", "the stops in force", R"(
Examples:
  tandem-fleetctl stops list)",
             [](Client& client) -> absl::Status {
               ASSIGN_OR_RETURN(const v1::ListStopsResponse all, client.Call(&Stub::ListStops, v1::ListStopsRequest()));
               return Show(all, [&] { return RenderStops(all, Terminal()); });
             });
  auto& lift = Own<StopOptions>();
  command = AddCommand(*stops, "lift", "let orders go out again", R"(
Examples:
  tandem-fleetctl stops lift 3 --reason "harvest is in")",
                       [&lift](Client& client) -> absl::Status {
                         v1::LiftStopRequest request;
                         request.set_id(lift.id);
                         request.set_reason(lift.reason);
                         ASSIGN_OR_RETURN(const v1::Stop stop, client.Call(&Stub::LiftStop, request));
                         return Show(stop, [&] { return absl::StrCat("stop ", stop.id(), " is lifted\n"); });
                       });
  command->add_option("stop", lift.id, "its number")->required();
  command->add_option("--reason", lift.reason, "for the audit log");
}

struct AuditOptions {
  std::string object;
  uint32_t limit = 50;
  bool export_all = false;
};

// A line for each entry, as they come: the log may be larger than memory.
absl::Status ExportAudit(Client& client, const std::string& object) {
  v1::ListAuditRequest request;
  request.set_object(object);
  request.set_oldest_first(true);
  request.set_page_size(1000);
  do {
    ASSIGN_OR_RETURN(const v1::ListAuditResponse page, client.Call(&Stub::ListAudit, request));
    for (const v1::AuditEntry& entry : page.entries()) PrintJson(entry, /*one_line=*/true);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::Status Audit(Client& client, const AuditOptions& options) {
  if (options.export_all) return ExportAudit(client, options.object);
  v1::ListAuditRequest request;
  request.set_object(options.object);
  v1::ListAuditResponse all;
  do {
    const uint32_t left = options.limit - static_cast<uint32_t>(all.entries_size());
    request.set_page_size(std::min<uint32_t>(left, 1000));
    ASSIGN_OR_RETURN(const v1::ListAuditResponse page, client.Call(&Stub::ListAudit, request));
    for (const v1::AuditEntry& entry : page.entries()) *all.add_entries() = entry;
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.entries_size() < static_cast<int>(options.limit));
  return Show(all, [&] { return RenderAudit(all, Terminal()); });
}

void AddAuditCommand(CLI::App& app) {
  auto& options = Own<AuditOptions>();
  CLI::App* command = AddCommand(app, "audit", "who did what, newest first", R"(
Examples:
  tandem-fleetctl audit
  tandem-fleetctl audit --object rollout/7
  tandem-fleetctl audit --export > audit.jsonl      all of it, oldest first, one JSON object a line)",
                                 [&options](Client& client) { return Audit(client, options); });
  command->add_option("--object", options.object, "only of this one, such as rollout/7 or unit/gw-17");
  command->add_option("--limit", options.limit, "how many")->capture_default_str()->check(CLI::Range(1, 1'000'000));
  command->add_flag("--export", options.export_all, "everything, for another program");
}

struct TokenOptions {
  std::string name;
  std::string role;
  std::string lifetime = "90d";
  uint64_t id = 0;
};

absl::StatusOr<int64_t> SecondsOf(const std::string& text) {
  int64_t days = 0;
  absl::Duration duration;
  if (text.ends_with('d') && absl::SimpleAtoi(text.substr(0, text.size() - 1), &days) && days > 0 && days < 100'000) {
    return days * 86400;
  }
  if (absl::ParseDuration(text, &duration)) return absl::ToInt64Seconds(duration);
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no duration such as 90d or 12h"));
}

absl::Status CreateToken(Client& client, const TokenOptions& options) {
  static const std::map<std::string, v1::Role> kRoles = {
      {"viewer", v1::VIEWER}, {"operator", v1::OPERATOR}, {"release-manager", v1::RELEASE_MANAGER}};
  v1::CreateTokenRequest request;
  request.set_name(options.name);
  request.set_role(kRoles.at(options.role));
  ASSIGN_OR_RETURN(const int64_t seconds, SecondsOf(options.lifetime));
  request.mutable_lifetime()->set_seconds(seconds);
  ASSIGN_OR_RETURN(const v1::CreateTokenResponse made, client.Call(&Stub::CreateToken, request));
  // Nothing but the secret on standard output: `> token` is all that is needed.
  if (!Globals().json) {
    std::cerr << "token " << made.token().id() << " of " << Clean(made.token().name()) << ", "
              << RoleText(made.token().role()) << ", until " << TimeText(made.token().expires_at(), Terminal())
              << "; it is not shown again:\n";
  }
  return Show(made, [&] { return made.secret() + "\n"; });
}

void AddTokenCommands(CLI::App& app) {
  CLI::App* tokens = AddGroup(app, "tokens", "what people and programs log in with; release managers only");
  auto& create = Own<TokenOptions>();
  CLI::App* command = AddCommand(*tokens, "create", "a new token, shown once", R"(
Examples:
  (umask 077; tandem-fleetctl tokens create --name alice --role operator > alice.token)
  tandem-fleetctl tokens create --name ci --role release-manager --lifetime 30d)",
                                 [&create](Client& client) { return CreateToken(client, create); });
  command->add_option("--name", create.name, "whose; the audit log shows it")->required();
  command->add_option("--role", create.role, "what it may do")
      ->required()
      ->check(CLI::IsMember({"viewer", "operator", "release-manager"}));
  command->add_option("--lifetime", create.lifetime, "at most 400d")->capture_default_str();
  AddCommand(*tokens, "list", "all tokens, without their secrets", R"(
Examples:
  tandem-fleetctl tokens list)",
             [](Client& client) -> absl::Status {
               ASSIGN_OR_RETURN(const v1::ListTokensResponse all,
                                client.Call(&Stub::ListTokens, v1::ListTokensRequest()));
               return Show(all, [&] { return RenderTokens(all, Terminal()); });
             });
  auto& revoke = Own<TokenOptions>();
  command = AddCommand(*tokens, "revoke", "refuse a token from now on", R"(
Examples:
  tandem-fleetctl tokens revoke 4)",
                       [&revoke](Client& client) -> absl::Status {
                         v1::RevokeTokenRequest request;
                         request.set_id(revoke.id);
                         ASSIGN_OR_RETURN(const v1::Token token, client.Call(&Stub::RevokeToken, request));
                         return Show(token, [&] {
                           return absl::StrCat("token ", token.id(), " of ", Clean(token.name()), " is revoked\n");
                         });
                       });
  command->add_option("token", revoke.id, "its number")->required();
}

}  // namespace

void AddAccessCommands(CLI::App& app) {
  AddStopCommands(app);
  AddAuditCommand(app);
  AddTokenCommands(app);
}

}  // namespace tandem::fleetctl
