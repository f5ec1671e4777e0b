#include "fleet/rollout/glob_pattern.h"

#include <algorithm>
#include <map>

namespace tandem::fleet {
namespace {

bool IsContinuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

}  // namespace

std::optional<GlobPattern> GlobPattern::Make(std::string_view pattern) {
  GlobPattern glob;
  std::map<unsigned char, uint64_t> literals;
  size_t state = 0;
  for (const char c : pattern) {
    if (c == '*') {
      glob.star_ |= uint64_t{1} << state;
      continue;
    }
    if (state == kMaxLength) return std::nullopt;
    const uint64_t bit = uint64_t{1} << state++;
    if (c == '?') {
      glob.question_ |= bit;
    } else {
      literals[static_cast<unsigned char>(c)] |= bit;
    }
  }
  glob.accepting_ = uint64_t{1} << state;
  glob.literals_.assign(literals.begin(), literals.end());
  return glob;
}

uint64_t GlobPattern::StatesLeftBy(unsigned char byte) const {
  const auto it = std::lower_bound(literals_.begin(), literals_.end(), byte,
                                   [](const auto& literal, unsigned char b) { return literal.first < b; });
  const uint64_t literal = it != literals_.end() && it->first == byte ? it->second : 0;
  return IsContinuation(byte) ? literal : literal | question_;
}

bool GlobPattern::Matches(std::string_view value) const {
  uint64_t states = 1;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    // The rest of the character that a ? took.
    const uint64_t stay = IsContinuation(byte) ? star_ | (question_ << 1) : star_;
    states = ((states & StatesLeftBy(byte)) << 1) | (states & stay);
    if (states == 0) return false;
  }
  return (states & accepting_) != 0;
}

}  // namespace tandem::fleet
