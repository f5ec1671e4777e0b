#include "fleet/api/authenticator.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/api/tokens.h"
#include "fleet/store/access_table.h"

namespace tandem::fleet {
namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr int64_t kWindowSeconds = 60;
// Bounds of what is kept: both are only hints, and begin anew when they are full.
constexpr size_t kMaxPeers = 10'000;
constexpr size_t kMaxSeenGood = 10'000;
// "tnd_" and 32 bytes in base64url, with some room.
constexpr size_t kMaxSecretBytes = 128;

absl::Status Stranger() {
  return absl::UnauthenticatedError(
      "a valid token (authorization: Bearer tnd_...) or a client certificate that is known here is needed");
}

}  // namespace

absl::StatusOr<Caller> Authenticator::Authenticate(const Credentials& credentials) {
  const int64_t now = time_.Now();
  if (credentials.authorization.size() > 1) return Fail(credentials, now, "several authorization headers");
  if (!credentials.authorization.empty()) {
    const std::string& text = credentials.authorization[0];
    const bool bearer =
        absl::StartsWithIgnoreCase(text, std::string(kBearer)) && text.size() <= kBearer.size() + kMaxSecretBytes;
    const std::string hash = HashOfSecret(bearer ? std::string_view(text).substr(kBearer.size()) : "");
    {
      std::lock_guard lock(mutex_);
      if (TooManyFailures(credentials.peer, now) && !seen_good_.contains(hash)) {
        return absl::ResourceExhaustedError("too many failed logins from this address; try again in a minute");
      }
    }
    if (!bearer) return Fail(credentials, now, "no bearer token");
    ASSIGN_OR_RETURN(std::optional<Caller> caller, FindToken(hash, now));
    if (!caller.has_value()) return Fail(credentials, now, "unknown, expired or revoked token");
    return *std::move(caller);
  }
  if (std::optional<Caller> caller = FindCertificate(credentials.certificate_names); caller.has_value()) {
    return *std::move(caller);
  }
  if (credentials.is_unix_socket && options_.unix_socket_role != v1::ROLE_UNSPECIFIED) {
    return Caller{"local", options_.unix_socket_role};
  }
  return Fail(credentials, now,
              credentials.certificate_names.empty() ? "neither token nor certificate" : "no rule for this certificate");
}

absl::StatusOr<std::optional<Caller>> Authenticator::FindToken(const std::string& hash, int64_t now) {
  std::optional<TokenRow> token;
  const absl::Status read = store_.Read("token", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(token, TokenTable(tx).Find(hash));
    return absl::OkStatus();
  });
  if (!read.ok()) {
    LogError("cannot look up a token", {{"error", ToPersonText(read)}});
    return absl::UnavailableError("the store does not answer; try again");
  }
  const bool good = token.has_value() && !token->revoked && token->expires_at > now;
  std::lock_guard lock(mutex_);
  if (!good) {
    seen_good_.erase(hash);
    return std::nullopt;
  }
  if (seen_good_.size() >= kMaxSeenGood) seen_good_.clear();
  seen_good_.insert(hash);
  return Caller{absl::StrCat("token:", token->name), static_cast<v1::Role>(token->role)};
}

std::optional<Caller> Authenticator::FindCertificate(const std::vector<std::string>& names) const {
  for (const PrincipalRule& rule : options_.principals) {
    if (std::ranges::find(names, rule.certificate_name) != names.end()) {
      return Caller{absl::StrCat("certificate:", rule.certificate_name), rule.role};
    }
  }
  return std::nullopt;
}

absl::Status Authenticator::Fail(const Credentials& credentials, int64_t now, const std::string& why) {
  bool log = false;
  {
    std::lock_guard lock(mutex_);
    log = !TooManyFailures(credentials.peer, now);
    if (failures_.size() >= kMaxPeers) failures_.clear();
    if (log) failures_[credentials.peer].push_back(now);
  }
  if (log) {
    std::string names;
    for (const std::string& name : credentials.certificate_names)
      absl::StrAppend(&names, names.empty() ? "" : ",", name);
    LogWarning("failed login", {{"peer", credentials.peer}, {"why", why}, {"certificate", names}});
  }
  return Stranger();
}

bool Authenticator::TooManyFailures(const std::string& peer, int64_t now) {
  const auto found = failures_.find(peer);
  if (found == failures_.end()) return false;
  std::deque<int64_t>& times = found->second;
  while (!times.empty() && times.front() <= now - kWindowSeconds) times.pop_front();
  if (!times.empty()) return times.size() >= static_cast<size_t>(options_.failures_per_minute);
  failures_.erase(found);
  return false;
}

absl::Status Authorize(const Caller& caller, const Route& route) {
  if (caller.role >= route.role) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(std::string(route.method), " needs the role ",
                                                  std::string(RoleName(route.role)), "; ", caller.actor, " is ",
                                                  std::string(RoleName(caller.role))));
}

}  // namespace tandem::fleet
