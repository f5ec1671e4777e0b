#include "common/text/text.h"

#include <algorithm>

namespace tandem {
namespace {

constexpr std::string_view kMore = "…";

// How many bytes the character at `at` has; 0: it is none.
size_t CharacterAt(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return (first >= 0x20 && first != 0x7f) || first == '\n' || first == '\t' ? 1 : 0;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(at + 1);
  // A control character of the second block, longer than needed, half of a pair, or beyond the last one.
  if (first == 0xc2 && second < 0xa0) return 0;
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
  return length;
}

bool IsWithinCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

}  // namespace

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = CharacterAt(text, at);
    length == 0 ? valid.push_back('?') : void(valid.append(text.substr(at, length)));
    at += std::max<size_t>(length, 1);
  }
  return valid;
}

std::string CleanText(std::string_view text, size_t limit) {
  // Four bytes more than asked for: what is cut in two there is cut off again.
  std::string clean = ValidUtf8(text.substr(0, limit + 4));
  std::ranges::replace_if(
      clean, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  if (text.size() <= limit && clean.size() <= limit) return clean;
  return limit < kMore.size() ? Beginning(clean, limit) : Beginning(clean, limit - kMore.size()).append(kMore);
}

std::string Beginning(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  while (bytes > 0 && IsWithinCharacter(text[bytes])) --bytes;
  return std::string(text.substr(0, bytes));
}

std::string End(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  size_t from = text.size() - bytes;
  while (from < text.size() && IsWithinCharacter(text[from])) ++from;
  return std::string(text.substr(from));
}

}  // namespace tandem
