#include "um-plugins/mcu/mcu_version.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem::plugins {

std::optional<boot::ImageVersion> ParseMcuVersion(const std::string& text) {
  std::vector<std::string> parts = absl::StrSplit(text, '.');
  // "1.2.3+4": the build number of imgtool.
  if (const std::vector<std::string> last = absl::StrSplit(parts.back(), '+'); last.size() == 2) {
    parts.back() = last[0];
    while (parts.size() < 3) parts.emplace_back("0");
    parts.push_back(last[1]);
  }
  if (parts.size() < 2 || parts.size() > 4) return std::nullopt;
  uint32_t numbers[4] = {};
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty() || parts[i].find_first_not_of("0123456789") != std::string::npos ||
        !absl::SimpleAtoi(parts[i], &numbers[i])) {
      return std::nullopt;
    }
  }
  if (numbers[0] > std::numeric_limits<uint8_t>::max() || numbers[1] > std::numeric_limits<uint8_t>::max() ||
      numbers[2] > std::numeric_limits<uint16_t>::max()) {
    return std::nullopt;
  }
  return boot::ImageVersion{static_cast<uint8_t>(numbers[0]), static_cast<uint8_t>(numbers[1]),
                            static_cast<uint16_t>(numbers[2]), numbers[3]};
}

std::string McuVersionText(const boot::ImageVersion& version) {
  const std::string text = absl::StrCat(version.major, ".", version.minor, ".", version.revision);
  return version.build == 0 ? text : absl::StrCat(text, ".", version.build);
}

bool SameMcuVersion(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const std::optional<boot::ImageVersion> first = ParseMcuVersion(a);
  return first.has_value() && first == ParseMcuVersion(b);
}

}  // namespace tandem::plugins
