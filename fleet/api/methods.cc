#include "fleet/api/methods.h"

#include <map>
#include <utility>

namespace tandem::fleet {
namespace {

using google::protobuf::Message;
using Methods = std::map<std::string_view, Method>;

template <typename Request, typename Response>
void Add(Methods& methods, std::string_view name, Operation<Request, Response> operation) {
  const Route* route = FindRoute(name);
  methods[name] = {.route = route,
                   .make_request = [] { return std::make_unique<Request>(); },
                   .run = [route, operation](Operations& operations, const Caller& caller,
                                             const Message& request) -> absl::StatusOr<std::unique_ptr<Message>> {
                     absl::StatusOr<Response> response =
                         RunMethod(operations, caller, *route, operation, static_cast<const Request&>(request));
                     if (!response.ok()) return response.status();
                     return std::make_unique<Response>(*std::move(response));
                   }};
}

Methods MakeMethods() {
  Methods methods;
  Add(methods, "GetFleet", &Operations::GetFleet);
  Add(methods, "RegisterUnits", &Operations::RegisterUnits);
  Add(methods, "ListUnits", &Operations::ListUnits);
  Add(methods, "GetUnit", &Operations::GetUnit);
  Add(methods, "RevokeUnit", &Operations::RevokeUnit);
  Add(methods, "HoldUnit", &Operations::HoldUnit);
  Add(methods, "RollBackUnit", &Operations::RollBackUnit);
  Add(methods, "ImportRelease", &Operations::ImportRelease);
  Add(methods, "ListReleases", &Operations::ListReleases);
  Add(methods, "GetRelease", &Operations::GetRelease);
  Add(methods, "FreezeRelease", &Operations::FreezeRelease);
  Add(methods, "ImportReleaseList", &Operations::ImportReleaseList);
  Add(methods, "ImportKeySets", &Operations::ImportKeySets);
  Add(methods, "GetKeys", &Operations::GetKeys);
  Add(methods, "PlanRollout", &Operations::PlanRollout);
  Add(methods, "CreateRollout", &Operations::CreateRollout);
  Add(methods, "ListRollouts", &Operations::ListRollouts);
  Add(methods, "GetRollout", &Operations::GetRollout);
  Add(methods, "WatchRollout", &Operations::WatchRollout);
  Add(methods, "ChangeRollout", &Operations::ChangeRollout);
  Add(methods, "ListAttempts", &Operations::ListAttempts);
  Add(methods, "GetVerification", &Operations::GetVerification);
  Add(methods, "RunDiagnostics", &Operations::RunDiagnostics);
  Add(methods, "GetGuards", &Operations::GetGuards);
  Add(methods, "SetAutoRollback", &Operations::SetAutoRollback);
  Add(methods, "CreateStop", &Operations::CreateStop);
  Add(methods, "ListStops", &Operations::ListStops);
  Add(methods, "LiftStop", &Operations::LiftStop);
  Add(methods, "ListAudit", &Operations::ListAudit);
  Add(methods, "WhoAmI", &Operations::WhoAmI);
  Add(methods, "CreateToken", &Operations::CreateToken);
  Add(methods, "ListTokens", &Operations::ListTokens);
  Add(methods, "RevokeToken", &Operations::RevokeToken);
  return methods;
}

}  // namespace

const Method* FindMethod(std::string_view name) {
  static const Methods& methods = *new Methods(MakeMethods());
  const auto found = methods.find(name);
  return found == methods.end() ? nullptr : &found->second;
}

}  // namespace tandem::fleet
