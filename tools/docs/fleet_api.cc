#include "tools/docs/fleet_api.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fleet/api/routes.h"
#include "tools/docs/markdown.h"

namespace tandem::docs {

void PrintFleetApi(std::ostream& out) {
  out << "# API of the fleet\n\n";
  PrintOrigin(out, "fleet/api/routes.cc");
  out << "The same methods over gRPC, as `tandem.fleet.v1.Fleet` of `proto/tandem/fleet/v1/fleet.proto`, and as JSON "
         "over "
         "HTTP.\nThe .proto explains each field; `GET /v1/openapi.json` is the OpenAPI 3.1 description. A higher role "
         "may "
         "do what a lower one may.\n\n";
  std::vector<std::vector<std::string>> rows;
  for (const fleet::Route& route : fleet::Routes()) {
    rows.push_back({absl::StrCat("`", std::string(route.method), "`"), std::string(fleet::RoleName(route.role)),
                    std::string(route.verb), absl::StrCat("`", std::string(route.path), "`")});
  }
  PrintTable(out, {"method", "role", "verb", "path"}, rows);
  out << "Over HTTP only: `GET /v1/events` (viewer), [below](#what-has-changed); `GET /v1/audit/export` (viewer), the\n"
         "whole audit log, oldest first, one JSON object a line; `GET /v1/openapi.json` (viewer); and for anybody\n"
         "`GET /healthz`, which answers `ok`, and `GET /`, the [page](page.md).\n\n"
         "To take a freeze back (`FreezeRelease` with `frozen` false) needs the role release manager.\n\n"
         "## HTTP\n\n"
         "Proto3 JSON with the field names of the .proto; 64-bit numbers are texts, durations `\"1800s\"`, times RFC "
         "3339. "
         "Fields in braces\nstand in the path; the others are query parameters of a GET and the body of a POST "
         "(`Content-Type: application/json`, at most\n16 MiB). Unknown fields are refused by name. Lists come in "
         "pages: "
         "ask again with `page_token` as `next_page_token` said, until that\nis empty; with a filter a page may be "
         "short, "
         "or empty, before the end.\n\n";
  PrintFenced(out, "sh",
              "curl -H \"Authorization: Bearer $(cat token)\" http://127.0.0.1:7080/v1/units?presence=offline\n"
              "curl -H \"Authorization: Bearer $(cat token)\" -H 'Content-Type: application/json' \\\n"
              "  -d '{\"verb\":\"pause\",\"reason\":\"lab\"}' http://127.0.0.1:7080/v1/rollouts/7/change\n");
  out << "An error is `{\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"...\"}}`:\n\n";
  PrintTable(
      out, {"code", "HTTP", "what"},
      {{"INVALID_ARGUMENT", "400", "the request; the message says what to mend"},
       {"UNAUTHENTICATED", "401", "no token or certificate, or none that is known here"},
       {"PERMISSION_DENIED", "403", "the role is too low; the message names the one needed. Or a signature is wrong"},
       {"NOT_FOUND", "404", "there is no such thing, or no such path"},
       {"UNIMPLEMENTED", "405", "this path takes another verb"},
       {"ALREADY_EXISTS, FAILED_PRECONDITION", "409", "not in this state; the message says what would help"},
       {"ABORTED", "409", "somebody else changed it: read again"},
       {"RESOURCE_EXHAUSTED", "429", "too much at a time; try again in a while"},
       {"UNAVAILABLE", "503", "the store does not answer, or the controller ends; nothing was done, try again"}});
  out << "\n## What has changed\n\n"
         "`GET /v1/events` is a stream of server-sent events. It tells what changed, within half a second, whichever\n"
         "controller changed it, and not how: ask for what you show again. `event: hello` with the controller's time "
         "once it\n"
         "is live, then `event: change` at most four times a second, with names:\n\n";
  PrintTable(
      out, {"name", "what differs by now"},
      {{"`fleet`", "numbers of units, versions that run, the broker"},
       {"`rollout/7`", "a rollout that is not over, its rings and its units"},
       {"`audit`", "the audit log, and with it the objects of its new entries: `release/gw-2`, `stop/3`, `keys`"},
       {"`unit/gw-17`", "a unit that you watch"},
       {"`*`", "anything: too much at a time, or the store was away"}});
  out << "\n`?watch=unit/gw-17,rollout/7` names units, and rollouts that are over, to be told of too; at most 20. "
         "Nothing is\n"
         "kept for who is away: when a stream ends (`event: end` says that the token is no longer good), open it "
         "again,\n"
         "and ask for what you show once it says `hello`. A comment every 15 s keeps proxies from closing it. A "
         "controller\n"
         "has 64 streams at a time; more are refused with RESOURCE_EXHAUSTED.\n\n";
  PrintFenced(out, "sh",
              "curl -N -H \"Authorization: Bearer $(cat token)\" http://127.0.0.1:7080/v1/events\n"
              "event: hello\n"
              "data: {\"now\":1763749200.5}\n\n"
              "event: change\n"
              "data: {\"changed\":[\"audit\",\"fleet\",\"rollout/7\"]}\n");
}

}  // namespace tandem::docs
