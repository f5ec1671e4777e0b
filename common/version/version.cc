#include "common/version/version.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tandem {
namespace {

struct Parts {
  std::vector<absl::string_view> release;
  // Empty: none, which is newer than any.
  std::vector<absl::string_view> pre_release;
};

Parts Split(absl::string_view text) {
  if (text.size() > 1 && (text[0] == 'v' || text[0] == 'V') && absl::ascii_isdigit(text[1])) text.remove_prefix(1);
  text = text.substr(0, text.find('+'));
  Parts parts;
  if (const size_t dash = text.find('-'); dash != absl::string_view::npos) {
    parts.pre_release = absl::StrSplit(text.substr(dash + 1), '.');
    text = text.substr(0, dash);
  }
  parts.release = absl::StrSplit(text, '.');
  return parts;
}

bool IsNumber(absl::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return absl::ascii_isdigit(c); });
}

int Sign(int value) { return (value > 0) - (value < 0); }

// Numbers of any length: a build number may be a date and a time.
int CompareNumbers(absl::string_view a, absl::string_view b) {
  a.remove_prefix(std::min(a.find_first_not_of('0'), a.size()));
  b.remove_prefix(std::min(b.find_first_not_of('0'), b.size()));
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return Sign(a.compare(b));
}

int ComparePart(absl::string_view a, absl::string_view b) {
  const bool a_number = IsNumber(a);
  const bool b_number = IsNumber(b);
  if (a_number && b_number) return CompareNumbers(a, b);
  // As in semantic versions: numbers come before words.
  if (a_number != b_number) return a_number ? -1 : 1;
  return Sign(a.compare(b));
}

}  // namespace

int CompareVersions(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return static_cast<int>(b.empty()) - static_cast<int>(a.empty());
  const Parts left = Split(absl::string_view(a.data(), a.size()));
  const Parts right = Split(absl::string_view(b.data(), b.size()));
  for (size_t i = 0; i < std::max(left.release.size(), right.release.size()); ++i) {
    const absl::string_view left_part = i < left.release.size() ? left.release[i] : "0";
    const absl::string_view right_part = i < right.release.size() ? right.release[i] : "0";
    if (const int order = ComparePart(left_part, right_part); order != 0) return order;
  }
  if (left.pre_release.empty() != right.pre_release.empty()) return left.pre_release.empty() ? 1 : -1;
  for (size_t i = 0; i < std::min(left.pre_release.size(), right.pre_release.size()); ++i) {
    if (const int order = ComparePart(left.pre_release[i], right.pre_release[i]); order != 0) return order;
  }
  return (left.pre_release.size() > right.pre_release.size()) - (left.pre_release.size() < right.pre_release.size());
}

}  // namespace tandem
