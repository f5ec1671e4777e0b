// "host:port" as it stands in configurations and URLs, and who can be reached there.
#ifndef TANDEM_COMMON_NET_HOST_PORT_H_
#define TANDEM_COMMON_NET_HOST_PORT_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem {

struct HostPort {
  // A name or an address; an IPv6 address without its brackets.
  std::string host;
  // 0 to 65535; nullopt: none was given.
  std::optional<int> port;
};

// "gw:8080", "gw", "[::1]:8080", "[::1]". INVALID_ARGUMENT: nothing of these; a bare IPv6 address needs brackets.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

// Only this computer is reached under it: "localhost" (exactly), an address of 127.0.0.0/8, or ::1. Any other name may
// lead anywhere, whatever it begins with.
bool IsLoopbackHost(std::string_view host);

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_HOST_PORT_H_
