#include "common/crypto/assigned_terms.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace tandem {
namespace {

using google::protobuf::RepeatedPtrField;
using release::v1::Probe;

constexpr size_t kMaxConditionName = 64;

// Kinds that run nothing and reach nothing but what CM knows itself.
constexpr std::array kAssignable = {Probe::kWatchdog, Probe::kMemory, Probe::kVersion};

std::string KindName(int kind) {
  const auto* field = Probe::descriptor()->FindFieldByNumber(kind);
  return field == nullptr ? "no" : std::string(field->name());
}

std::string AssignableNames() {
  return absl::StrJoin(kAssignable, ", ", [](std::string* out, int kind) { out->append(KindName(kind)); });
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

absl::Status CheckBaseUrl(absl::string_view url) {
  if (url.size() > kMaxBaseUrlBytes) return absl::InvalidArgumentError("it is too long");
  if (!IsPrintable({url.data(), url.size()})) return absl::InvalidArgumentError("it has a space, or is not ASCII");
  if (!absl::ConsumePrefix(&url, "https://") && !absl::ConsumePrefix(&url, "http://")) {
    return absl::InvalidArgumentError("it is not http or https");
  }
  if (url.substr(0, url.find_first_of("/?#")).empty()) return absl::InvalidArgumentError("it has no host");
  if (url.find('#') != absl::string_view::npos) return absl::InvalidArgumentError("it has a fragment");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckAssignedConditions(const RepeatedPtrField<Probe>& preconditions,
                                     const RepeatedPtrField<std::string>& conditions) {
  if (preconditions.size() + conditions.size() > kMaxAssignedConditions) {
    return absl::InvalidArgumentError(absl::StrCat(preconditions.size() + conditions.size(), " conditions; at most ",
                                                   kMaxAssignedConditions, " are taken"));
  }
  for (const Probe& probe : preconditions) {
    if (std::ranges::find(kAssignable, probe.kind_case()) != kAssignable.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "precondition \"", probe.name(), "\" is of kind ", KindName(probe.kind_case()), "; an assignment carries only ",
        AssignableNames(),
        ". Put it among the `conditions` of the unit's configuration or of the release, and name it here"));
  }
  std::set<std::string> names;
  for (const std::string& name : conditions) {
    if (name.empty() || name.size() > kMaxConditionName || !IsPrintable(name)) {
      return absl::InvalidArgumentError("the name of a condition is empty, too long, or has a space");
    }
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat("condition \"", name, "\" is named twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckBaseUrls(const RepeatedPtrField<std::string>& urls) {
  if (urls.size() > kMaxBaseUrls) {
    return absl::InvalidArgumentError(absl::StrCat(urls.size(), " base URLs; at most ", kMaxBaseUrls, " are taken"));
  }
  for (int i = 0; i < urls.size(); ++i) {
    const absl::Status good = CheckBaseUrl(urls[i]);
    // The text itself may hold a password or a token.
    if (!good.ok()) return absl::InvalidArgumentError(absl::StrCat("base URL ", i + 1, ": ", good.message()));
  }
  return absl::OkStatus();
}

}  // namespace tandem
