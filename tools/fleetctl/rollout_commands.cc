// rollout plan, create, list, show, watch, and the verbs
#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/render_rollout.h"
#include "tools/fleetctl/spec_options.h"

namespace tandem::fleetctl {
namespace {

using Stub = v1::Fleet::StubInterface;

// It reads the whole fleet.
constexpr std::chrono::minutes kPlanTime{5};

void AddSpecOptions(CLI::App& command, SpecOptions& options) {
  command.add_option("--spec", options.file, "YAML file, a RolloutSpec (docs/operate-a-fleet.md)");
  command.add_option("--release", options.release, "release_id or digest");
  command.add_option("--name", options.name, "for people; default: the release");
  command.add_option("--target", options.target, "which units, as docs/targeting.md says; default: all");
  command.add_option("--rings", options.rings, "shares in order, such as canary=5%,10%,100%");
  command.add_option("--start", options.start, "not before, such as 2026-12-01T22:00:00Z");
  command.add_option("--score-age", options.score_age, "a unit is scored so long after its order, such as 30m");
  command.add_option("--max-in-flight", options.max_in_flight, "units that may be at it at the same time");
  command.add_option("--per-minute", options.units_per_minute, "new orders per minute");
  command.add_option("--on-abort", options.on_abort, "what becomes of units that have it")
      ->check(CLI::IsMember({"take-back", "keep-updated"}));
  command.add_option("--base-url", options.base_urls, "where the artifacts are, instead of the release's own");
}

absl::Status ShowTree(Client& client, const v1::Rollout& rollout) {
  ASSIGN_OR_RETURN(const std::vector<v1::Attempt> attempts, NamedAttempts(client, rollout));
  return Show(rollout, [&] { return RenderTree(rollout, attempts, Terminal()); });
}

void AddPlan(CLI::App& rollout) {
  auto& options = Own<SpecOptions>();
  CLI::App* command =
      AddCommand(rollout, "plan", "dry run: who is hit, who is left out and why, how long it takes", R"(
Examples:
  tandem-fleetctl rollout plan --release gw-2
  tandem-fleetctl rollout plan --spec rollout.yaml --rings 1%,100%)",
                 [&options](Client& client) -> absl::Status {
                   v1::PlanRolloutRequest request;
                   ASSIGN_OR_RETURN(*request.mutable_spec(), ReadSpec(options));
                   ASSIGN_OR_RETURN(const v1::RolloutPlan plan, client.Call(&Stub::PlanRollout, request, kPlanTime));
                   return Show(plan, [&] { return RenderPlan(plan, Terminal()); });
                 });
  AddSpecOptions(*command, options);
}

void AddCreate(CLI::App& rollout) {
  auto& options = Own<SpecOptions>();
  auto& watch = Own<bool>();
  CLI::App* command =
      AddCommand(rollout, "create", "begin a rollout; release managers only", R"(
Examples:
  tandem-fleetctl rollout create --release gw-2 --name "gateways 2" --target 'region == "eu"'
  tandem-fleetctl rollout create --spec rollout.yaml --watch
  tandem-fleetctl rollout create --release gw-2 --rings canary=5%,half=50%,full=100% --per-minute 200)",
                 [&options, &watch](Client& client) -> absl::Status {
                   v1::CreateRolloutRequest request;
                   ASSIGN_OR_RETURN(*request.mutable_spec(), ReadSpec(options));
                   ASSIGN_OR_RETURN(const v1::Rollout made, client.Call(&Stub::CreateRollout, request, kPlanTime));
                   if (watch) return WatchRollout(client, made.id());
                   return Show(made, [&] { return RenderTree(made, {}, Terminal()); });
                 });
  AddSpecOptions(*command, options);
  command->add_flag("--watch", watch, "go on as `rollout watch`");
}

struct ListOptions {
  bool active = false;
  uint32_t limit = 50;
};

absl::Status ListRollouts(Client& client, const ListOptions& options) {
  v1::ListRolloutsRequest request;
  request.set_active(options.active);
  v1::ListRolloutsResponse all;
  do {
    const uint32_t left = options.limit - static_cast<uint32_t>(all.rollouts_size());
    request.set_page_size(std::min<uint32_t>(left, 100));
    ASSIGN_OR_RETURN(const v1::ListRolloutsResponse page, client.Call(&Stub::ListRollouts, request));
    for (const v1::Rollout& rollout : page.rollouts()) *all.add_rollouts() = rollout;
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.rollouts_size() < static_cast<int>(options.limit));
  return Show(all, [&] { return RenderRollouts(all, Terminal()); });
}

void AddLooks(CLI::App& rollout) {
  auto& list = Own<ListOptions>();
  CLI::App* command = AddCommand(rollout, "list", "rollouts, newest first", R"(
Examples:
  tandem-fleetctl rollout list --active)",
                                 [&list](Client& client) { return ListRollouts(client, list); });
  command->add_flag("--active", list.active, "only those that are not over");
  command->add_option("--limit", list.limit, "how many")->capture_default_str()->check(CLI::Range(1, 100'000));

  auto& shown = Own<uint64_t>();
  command = AddCommand(rollout, "show", "one rollout as a tree: rings, units, attempts, and the gates' evidence", R"(
Examples:
  tandem-fleetctl rollout show 7)",
                       [&shown](Client& client) -> absl::Status {
                         v1::GetRolloutRequest request;
                         request.set_id(shown);
                         ASSIGN_OR_RETURN(const v1::Rollout found, client.Call(&Stub::GetRollout, request));
                         return ShowTree(client, found);
                       });
  command->add_option("rollout", shown, "its number")->required();

  auto& watched = Own<uint64_t>();
  command = AddCommand(rollout, "watch", "the tree, live, until the rollout is over", R"(
Examples:
  tandem-fleetctl rollout watch 7               exit code 0 when it is complete, 1 when it was aborted or superseded
  tandem-fleetctl rollout watch 7 --json        a line of JSON for each change)",
                       [&watched](Client& client) { return WatchRollout(client, watched); });
  command->add_option("rollout", watched, "its number")->required();
}

struct VerbOptions {
  uint64_t id = 0;
  std::string reason;
  uint64_t revision = 0;
  std::string on_abort;
  std::string unit;
};

CLI::App* AddVerb(CLI::App& rollout, const std::string& verb, const std::string& description,
                  const std::string& examples, VerbOptions& options) {
  CLI::App* command =
      AddCommand(rollout, verb, description, examples, [&options, verb](Client& client) -> absl::Status {
        v1::ChangeRolloutRequest request;
        request.set_id(options.id);
        request.set_verb(verb);
        request.set_reason(options.reason);
        request.set_unit_id(options.unit);
        if (options.revision != 0) request.set_revision(options.revision);
        if (options.on_abort == "take-back") request.set_on_abort(v1::TAKE_BACK);
        if (options.on_abort == "keep-updated") request.set_on_abort(v1::KEEP_UPDATED);
        ASSIGN_OR_RETURN(const v1::Rollout changed, client.Call(&Stub::ChangeRollout, request));
        return ShowTree(client, changed);
      });
  command->add_option("rollout", options.id, "its number")->required();
  command->add_option("--reason", options.reason, "for the audit log and those who wonder");
  command->add_option("--revision", options.revision,
                      "only when nobody has decided about it since; `rollout show --json` has it");
  return command;
}

}  // namespace

void AddRolloutCommands(CLI::App& app) {
  CLI::App* rollout = AddGroup(app, "rollout", "plan, create, watch and steer rollouts");
  AddPlan(*rollout);
  AddCreate(*rollout);
  AddLooks(*rollout);
  AddVerb(*rollout, "pause", "give no new orders; what was ordered runs on, and a failure still aborts", R"(
Examples:
  tandem-fleetctl rollout pause 7 --reason "waiting for the lab")",
          Own<VerbOptions>());
  AddVerb(*rollout, "resume", "go on", R"(
Examples:
  tandem-fleetctl rollout resume 7)",
          Own<VerbOptions>());
  auto& abort = Own<VerbOptions>();
  AddVerb(*rollout, "abort", "end it, and order the units back to what they had", R"(
Examples:
  tandem-fleetctl rollout abort 7 --reason "reboots in the cold"
  tandem-fleetctl rollout abort 7 --on-abort keep-updated)",
          abort)
      ->add_option("--on-abort", abort.on_abort, "overrides what the rollout says")
      ->check(CLI::IsMember({"take-back", "keep-updated"}));
  AddVerb(*rollout, "promote", "begin the next ring now, whatever its gate waits for", R"(
Examples:
  tandem-fleetctl rollout promote 7 --reason "looked at by hand")",
          Own<VerbOptions>());
  auto& retry = Own<VerbOptions>();
  AddVerb(*rollout, "retry", "order units that failed once more", R"(
Examples:
  tandem-fleetctl rollout retry 7
  tandem-fleetctl rollout retry 7 --unit gw-17)",
          retry)
      ->add_option("--unit", retry.unit, "only this one; without: all of the current ring that failed");
}

}  // namespace tandem::fleetctl
