// Where a list goes on: page tokens are the key of the last row that was looked at, so rows that come or go in between
// neither repeat nor hide others, and a token stays good for ever.
#ifndef TANDEM_FLEET_API_PAGE_TOKEN_H_
#define TANDEM_FLEET_API_PAGE_TOKEN_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem::fleet {

// `query`: everything of the request that chooses and orders rows.
std::string MakePageToken(std::string_view query, std::string_view position);
// "" for the first page. INVALID_ARGUMENT: not a token of this query.
absl::StatusOr<std::string> PositionOf(std::string_view page_token, std::string_view query);
// The same where rows have numbers; 0 for the first page.
absl::StatusOr<int64_t> NumberPositionOf(std::string_view page_token, std::string_view query);

// What was asked for, within 1 to `most`; `otherwise` when nothing was.
int PageSize(uint32_t asked, int otherwise, int most);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_PAGE_TOKEN_H_
