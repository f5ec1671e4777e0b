// releases, keys
#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/render.h"

namespace tandem::fleetctl {
namespace {

using Stub = v1::Fleet::StubInterface;

absl::Status ListReleases(Client& client) {
  v1::ListReleasesRequest request;
  v1::ListReleasesResponse all;
  do {
    ASSIGN_OR_RETURN(const v1::ListReleasesResponse page, client.Call(&Stub::ListReleases, request));
    for (const v1::Release& release : page.releases()) *all.add_releases() = release;
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return Show(all, [&] { return RenderReleases(all, Terminal()); });
}

absl::Status ShowRelease(const v1::Release& release) {
  return Show(release, [&] { return RenderRelease(release, Terminal()); });
}

struct FreezeOptions {
  std::string release;
  std::string reason;
};

void AddFreeze(CLI::App& releases, const std::string& name, bool frozen, const std::string& description,
               const std::string& examples) {
  auto& options = Own<FreezeOptions>();
  CLI::App* command =
      AddCommand(releases, name, description, examples, [&options, frozen](Client& client) -> absl::Status {
        v1::FreezeReleaseRequest request;
        request.set_release(options.release);
        request.set_frozen(frozen);
        request.set_reason(options.reason);
        ASSIGN_OR_RETURN(const v1::Release release, client.Call(&Stub::FreezeRelease, request));
        return ShowRelease(release);
      });
  command->add_option("release", options.release, "release_id or digest")->required();
  command->add_option("--reason", options.reason, "for the audit log")->required();
}

absl::Status ShowKeys(const v1::Keys& keys) {
  return Show(keys, [&] { return RenderKeys(keys, Terminal()); });
}

void AddKeyCommands(CLI::App& app) {
  CLI::App* keys = AddGroup(app, "keys", "what the fleet trusts: key sets and the release list");
  AddCommand(*keys, "show", "keys, their expiry, and what to do soon", R"(
Examples:
  tandem-fleetctl keys show)",
             [](Client& client) -> absl::Status {
               ASSIGN_OR_RETURN(const v1::Keys shown, client.Call(&Stub::GetKeys, v1::GetKeysRequest()));
               return ShowKeys(shown);
             });
  auto& files = Own<std::vector<std::string>>();
  CLI::App* command =
      AddCommand(*keys, "import", "key sets, oldest first; those that are there already are skipped", R"(
Examples:
  tandem-fleetctl keys import keys.json
  tandem-fleetctl keys import keys.json keys-2.json)",
                 [&files](Client& client) -> absl::Status {
                   v1::ImportDocumentRequest request;
                   for (const std::string& file : files) {
                     ASSIGN_OR_RETURN(*request.add_envelopes(), ReadInput(file));
                   }
                   ASSIGN_OR_RETURN(const v1::Keys shown, client.Call(&Stub::ImportKeySets, request));
                   return ShowKeys(shown);
                 });
  command->add_option("files", files, "of tandem-release keyset")->required();
  auto& list = Own<std::string>();
  command = AddCommand(*keys, "release-list", "which releases may be installed now", R"(
Examples:
  tandem-fleetctl keys release-list list.json)",
                       [&list](Client& client) -> absl::Status {
                         v1::ImportDocumentRequest request;
                         ASSIGN_OR_RETURN(*request.add_envelopes(), ReadInput(list));
                         ASSIGN_OR_RETURN(const v1::Keys shown, client.Call(&Stub::ImportReleaseList, request));
                         return ShowKeys(shown);
                       });
  command->add_option("file", list, "of tandem-release list")->required();
}

}  // namespace

void AddReleaseCommands(CLI::App& app) {
  CLI::App* releases = AddGroup(app, "releases", "list, show, import and freeze releases");
  AddCommand(*releases, "list", "releases, newest first", R"(
Examples:
  tandem-fleetctl releases list)",
             ListReleases);
  auto& shown = Own<std::string>();
  CLI::App* command = AddCommand(*releases, "show", "one release with its components and signers", R"(
Examples:
  tandem-fleetctl releases show gw-2026.11.2)",
                                 [&shown](Client& client) -> absl::Status {
                                   v1::GetReleaseRequest request;
                                   request.set_release(shown);
                                   ASSIGN_OR_RETURN(const v1::Release release, client.Call(&Stub::GetRelease, request));
                                   return ShowRelease(release);
                                 });
  command->add_option("release", shown, "release_id or digest")->required();

  auto& file = Own<std::string>();
  auto& urls = Own<std::vector<std::string>>();
  command = AddCommand(*releases, "import", "a signed release, and where its artifacts are", R"(
Examples:
  tandem-fleetctl releases import site/releases/gw-2.json --base-url https://updates.example.com/site/)",
                       [&file, &urls](Client& client) -> absl::Status {
                         v1::ImportReleaseRequest request;
                         ASSIGN_OR_RETURN(*request.mutable_envelope(), ReadInput(file));
                         for (const std::string& url : urls) request.add_base_urls(url);
                         ASSIGN_OR_RETURN(const v1::Release release, client.Call(&Stub::ImportRelease, request));
                         return ShowRelease(release);
                       });
  command->add_option("file", file, "of tandem-release create")->required();
  command->add_option("--base-url", urls, "folder with its artifacts; several: in order of preference");

  AddFreeze(*releases, "freeze", true, "let nobody be ordered to it any more", R"(
Examples:
  tandem-fleetctl releases freeze gw-2026.11.2 --reason "reboots in the cold"

Units that have it keep it; `rollout abort` takes it back.)");
  AddFreeze(*releases, "unfreeze", false, "let it be assigned again; release managers only", R"(
Examples:
  tandem-fleetctl releases unfreeze gw-2026.11.2 --reason "was the sensor")");
  AddKeyCommands(app);
}

}  // namespace tandem::fleetctl
