// Who calls, and may they: tokens, client certificates, and the unix socket.
//
//   ASSIGN_OR_RETURN(const Caller caller, authenticator.Authenticate({.authorization = "Bearer tnd_…", .peer = "…"}));
//   RETURN_IF_ERROR(Authorize(caller, *FindRoute("FreezeRelease")));
#ifndef TANDEM_FLEET_API_AUTHENTICATOR_H_
#define TANDEM_FLEET_API_AUTHENTICATOR_H_

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/api/caller.h"
#include "fleet/api/routes.h"
#include "fleet/controller/fleet_time.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

struct PrincipalRule {
  // Common name, or an alternative name, of a certificate that the server's CA has signed.
  std::string certificate_name;
  v1::Role role = v1::VIEWER;
};

struct AuthenticatorOptions {
  // The first rule that fits one of a certificate's names counts.
  std::vector<PrincipalRule> principals;
  // What whoever may open the unix socket is, without a token: its file mode guards it. So the first token is made.
  v1::Role unix_socket_role = v1::ROLE_UNSPECIFIED;
  // Failed logins of one address within a minute, after which secrets that were not good before are not looked at.
  int failures_per_minute = 10;
};

// What came with a call. Nothing in it is believed.
struct Credentials {
  // Of the "authorization" header or metadata. More than one is refused.
  std::vector<std::string> authorization;
  // Of a client certificate whose chain TLS has verified.
  std::vector<std::string> certificate_names;
  // Over the unix socket.
  bool is_unix_socket = false;
  // Address without port: for the log, and to count failures.
  std::string peer;
};

// Thread-safe. Nothing is kept of a good token: one that is revoked is refused from the next call on.
class Authenticator {
 public:
  Authenticator(Store& store, FleetTime& time, AuthenticatorOptions options)
      : store_(store), time_(time), options_(std::move(options)) {}

  // UNAUTHENTICATED, in the same words whatever was wrong. RESOURCE_EXHAUSTED: too many failures from that address.
  // UNAVAILABLE: the store. A token counts before a certificate, and a certificate before the socket.
  absl::StatusOr<Caller> Authenticate(const Credentials& credentials);

 private:
  absl::StatusOr<std::optional<Caller>> FindToken(const std::string& hash, int64_t now);
  std::optional<Caller> FindCertificate(const std::vector<std::string>& names) const;
  absl::Status Fail(const Credentials& credentials, int64_t now, const std::string& why);
  bool TooManyFailures(const std::string& peer, int64_t now);

  Store& store_;
  FleetTime& time_;
  const AuthenticatorOptions options_;
  std::mutex mutex_;
  // Times of the failures of the last minute.
  std::map<std::string, std::deque<int64_t>> failures_;
  // Hashes of tokens that were good lately: their owners are let in, whatever a neighbour behind the same address does.
  std::set<std::string> seen_good_;
};

// PERMISSION_DENIED names the role that is needed.
absl::Status Authorize(const Caller& caller, const Route& route);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_AUTHENTICATOR_H_
