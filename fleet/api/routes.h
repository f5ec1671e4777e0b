// Every method of the fleet's API in one table: who may call it, and where it is over HTTP. The gRPC server, the HTTP
// server, the OpenAPI document and docs/fleet-api.md all read this table, so none of them can forget a method.
#ifndef TANDEM_FLEET_API_ROUTES_H_
#define TANDEM_FLEET_API_ROUTES_H_

#include <span>
#include <string_view>

#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {

struct Route {
  // Name of the rpc.
  std::string_view method;
  // The lowest role that may call it; higher ones may, too.
  v1::Role role;
  // GET: the other fields of the request are query parameters. POST: they are the body, a JSON object.
  std::string_view verb;
  // "/v1/units/{unit_id}": a segment in braces is a field of the request.
  std::string_view path;
};

std::span<const Route> Routes();
// Null: there is no such rpc.
const Route* FindRoute(std::string_view method);

// "viewer", "operator", "release manager".
std::string_view RoleName(v1::Role role);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_ROUTES_H_
