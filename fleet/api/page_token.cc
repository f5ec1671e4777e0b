#include "fleet/api/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

constexpr size_t kQueryBytes = 6;

std::string MarkOf(std::string_view query) { return Sha256(query).substr(0, kQueryBytes); }

absl::Status NotOurs() {
  return absl::InvalidArgumentError(
      "page_token is not of this list; ask with the token and the filters of the answer before, or without a token");
}

}  // namespace

std::string MakePageToken(std::string_view query, std::string_view position) {
  return absl::WebSafeBase64Escape(absl::StrCat(MarkOf(query), std::string(position)));
}

absl::StatusOr<std::string> PositionOf(std::string_view page_token, std::string_view query) {
  if (page_token.empty()) return "";
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(std::string(page_token), &bytes)) return NotOurs();
  if (bytes.size() <= kQueryBytes || bytes.substr(0, kQueryBytes) != MarkOf(query)) return NotOurs();
  return bytes.substr(kQueryBytes);
}

absl::StatusOr<int64_t> NumberPositionOf(std::string_view page_token, std::string_view query) {
  ASSIGN_OR_RETURN(const std::string position, PositionOf(page_token, query));
  int64_t number = 0;
  if (!position.empty() && (!absl::SimpleAtoi(position, &number) || number < 0)) return NotOurs();
  return number;
}

int PageSize(uint32_t asked, int otherwise, int most) {
  if (asked == 0) return otherwise;
  return static_cast<int>(std::min<uint32_t>(asked, static_cast<uint32_t>(most)));
}

}  // namespace tandem::fleet
