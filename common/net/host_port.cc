#include "common/net/host_port.h"

#include <arpa/inet.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tandem {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("\"", absl::string_view(text.data(), text.size()), "\" is not host:port"));
  HostPort result;
  std::string_view rest = text;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad;
    result.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    result.host = rest.substr(0, rest.find(':'));
    rest.remove_prefix(result.host.size());
  }
  if (result.host.empty() || result.host.find_first_of("/@?# ") != std::string::npos) return bad;
  if (rest.empty()) return result;
  int port = 0;
  if (rest.front() != ':' || rest.find_first_not_of("0123456789", 1) != std::string_view::npos ||
      !absl::SimpleAtoi(absl::string_view(rest.data() + 1, rest.size() - 1), &port) || port > 65535) {
    return bad;
  }
  result.port = port;
  return result;
}

bool IsLoopbackHost(std::string_view host) {
  if (host == "localhost") return true;
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace tandem
