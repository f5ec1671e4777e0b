// Stops, the audit log, tokens.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "fleet/api/operations.h"
#include "fleet/api/page_token.h"
#include "fleet/api/tokens.h"
#include "fleet/api/views.h"
#include "fleet/controller/audit.h"
#include "fleet/rollout/targeting.h"
#include "fleet/store/access_table.h"
#include "fleet/store/rollout_table.h"

namespace tandem::fleet {
namespace {

constexpr int kMaxEntries = 1000;
// Each is looked at for every order.
constexpr size_t kMaxStops = 100;

std::string Describe(const StopRow& stop) { return AuditJson({{"target", stop.target}, {"reason", stop.reason}}); }

}  // namespace

absl::StatusOr<v1::Stop> Operations::CreateStop(const Caller& caller, const v1::CreateStopRequest& request) {
  if (request.reason().empty())
    return absl::InvalidArgumentError("reason is needed: others will ask why nothing moves");
  RETURN_IF_ERROR(Annotate(TargetExpression::Parse(request.target()).status(), "target"));
  StopRow stop{.target = request.target(), .reason = request.reason(), .actor = caller.actor, .at = parts_.time.Now()};
  const absl::Status written = parts_.store.Write("stop", [&](StoreTransaction& tx) -> absl::Status {
    StopTable stops(tx);
    ASSIGN_OR_RETURN(const auto others, stops.List());
    if (others.size() >= kMaxStops) {
      return absl::FailedPreconditionError(
          absl::StrCat(others.size(), " stops are in force already; lift those that are over"));
    }
    ASSIGN_OR_RETURN(stop.number, stops.Add(stop));
    return Audit(tx, {.at = stop.at,
                      .actor = caller.actor,
                      .event = "stop.created",
                      .severity = 2,
                      .object = absl::StrCat("stop/", stop.number),
                      .new_value = Describe(stop)});
  });
  RETURN_IF_ERROR(written);
  return ViewOf(stop);
}

absl::StatusOr<v1::ListStopsResponse> Operations::ListStops(const Caller&, const v1::ListStopsRequest&) {
  v1::ListStopsResponse response;
  const absl::Status read = parts_.store.Read("stops", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const auto stops, StopTable(tx).List());
    for (const StopRow& stop : stops) *response.add_stops() = ViewOf(stop);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return response;
}

absl::StatusOr<v1::Stop> Operations::LiftStop(const Caller& caller, const v1::LiftStopRequest& request) {
  StopRow stop;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("lift stop", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(stop, StopTable(tx).Lift(static_cast<int64_t>(request.id())));
    return Audit(tx, {.at = now,
                      .actor = caller.actor,
                      .event = "stop.lifted",
                      .severity = 2,
                      .object = absl::StrCat("stop/", stop.number),
                      .old_value = Describe(stop),
                      .new_value = AuditJson({{"reason", request.reason()}})});
  });
  RETURN_IF_ERROR(written);
  return ViewOf(stop);
}

absl::StatusOr<v1::ListAuditResponse> Operations::ListAudit(const Caller&, const v1::ListAuditRequest& request) {
  const std::string query = absl::StrCat("audit\n", request.oldest_first() ? "up" : "down", "\n", request.object());
  ASSIGN_OR_RETURN(const int64_t from, NumberPositionOf(request.page_token(), query));
  const int size = PageSize(request.page_size(), 100, kMaxEntries);
  v1::ListAuditResponse response;
  const absl::Status read = parts_.store.Read("audit", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const auto rows, AuditTable(tx).List(request.object(), request.oldest_first(), from, size + 1));
    for (const AuditRow& row : rows) {
      if (response.entries_size() == size) {
        response.set_next_page_token(MakePageToken(query, absl::StrCat(rows[static_cast<size_t>(size) - 1].number)));
        break;
      }
      *response.add_entries() = ViewOf(row);
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return response;
}

absl::StatusOr<v1::Principal> Operations::WhoAmI(const Caller& caller, const v1::WhoAmIRequest&) {
  v1::Principal principal;
  principal.set_actor(caller.actor);
  principal.set_role(caller.role);
  return principal;
}

absl::StatusOr<v1::CreateTokenResponse> Operations::CreateToken(const Caller& caller,
                                                                const v1::CreateTokenRequest& request) {
  const absl::Duration lifetime = request.has_lifetime() ? absl::Seconds(request.lifetime().seconds()) +
                                                               absl::Nanoseconds(request.lifetime().nanos())
                                                         : kDefaultTokenLifetime;
  v1::CreateTokenResponse response;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("create token", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const MadeToken made, MakeToken(tx, request.name(), request.role(), lifetime, caller.actor, now));
    *response.mutable_token() = ViewOf(made.row);
    response.set_secret(made.secret);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return response;
}

absl::StatusOr<v1::ListTokensResponse> Operations::ListTokens(const Caller&, const v1::ListTokensRequest&) {
  v1::ListTokensResponse response;
  const absl::Status read = parts_.store.Read("tokens", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const auto tokens, TokenTable(tx).List());
    for (const TokenRow& token : tokens) *response.add_tokens() = ViewOf(token);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return response;
}

absl::StatusOr<v1::Token> Operations::RevokeToken(const Caller& caller, const v1::RevokeTokenRequest& request) {
  TokenRow token;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("revoke token", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(token, TokenTable(tx).Revoke(static_cast<int64_t>(request.id())));
    return Audit(tx, {.at = now,
                      .actor = caller.actor,
                      .event = "token.revoked",
                      .severity = 2,
                      .object = absl::StrCat("token/", token.number),
                      .old_value = AuditJson({{"revoked", "false"}}),
                      .new_value = AuditJson({{"name", token.name}, {"revoked", "true"}})});
  });
  RETURN_IF_ERROR(written);
  return ViewOf(token);
}

}  // namespace tandem::fleet
