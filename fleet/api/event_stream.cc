#include "fleet/api/event_stream.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem::fleet {
namespace {

constexpr size_t kMaxWatched = 20;
constexpr size_t kMaxUnitId = 64;

std::string Event(std::string_view name, const nlohmann::json& data) {
  // Of JSON no line feed is left that could end the event.
  return absl::StrCat("event: ", std::string(name),
                      "\ndata: ", data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "\n\n");
}

}  // namespace

absl::StatusOr<Watched> ParseWatch(std::string_view text) {
  Watched watched;
  const std::vector<std::string> names =
      absl::StrSplit(absl::string_view(text.data(), text.size()), ',', absl::SkipEmpty());
  if (names.size() > kMaxWatched) {
    return absl::InvalidArgumentError(absl::StrCat("watch names ", names.size(), " things; at most ", kMaxWatched));
  }
  for (const std::string& name : names) {
    int64_t rollout = 0;
    if (absl::StartsWith(name, "unit/") && name.size() > 5 && name.size() <= 5 + kMaxUnitId) {
      watched.units.insert(name.substr(5));
    } else if (absl::StartsWith(name, "rollout/") && absl::SimpleAtoi(name.substr(8), &rollout) && rollout > 0) {
      watched.rollouts.insert(rollout);
    } else {
      return absl::InvalidArgumentError("watch takes names such as unit/gw-17 and rollout/7, with commas between");
    }
  }
  return watched;
}

std::string HelloEvent(absl::Time now) {
  return Event("hello", {{"now", static_cast<double>(absl::ToUnixMillis(now)) / 1000}});
}

std::string ChangeEvent(const std::set<std::string>& changed) { return Event("change", {{"changed", changed}}); }

std::string EndEvent(std::string_view reason) { return Event("end", {{"reason", std::string(reason)}}); }

std::string KeepAlive() { return ": still here\n\n"; }

}  // namespace tandem::fleet
