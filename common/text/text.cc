#include "common/text/text.h"

#include <algorithm>
#include <cctype>

namespace tandem {
namespace {

constexpr std::string_view kMore = "…";
constexpr size_t kMoreToRead = 64 << 10;
constexpr std::string_view kUrlEnds = " \t\n\"'`<>";

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

bool IsToken(std::string_view part) {
  return part.size() == kUrlTokenDigits &&
         std::ranges::all_of(part, [](unsigned char c) { return std::isxdigit(c) != 0; });
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

std::string WithoutUrlSecrets(std::string_view text) {
  std::string shown;
  for (size_t mark = text.find("://"); mark != std::string_view::npos; mark = text.find("://")) {
    shown.append(text.substr(0, mark + 3));
    text.remove_prefix(mark + 3);
    std::string_view url = text.substr(0, text.find_first_of(kUrlEnds));
    text.remove_prefix(url.size());
    if (const size_t user = url.substr(0, url.find('/')).rfind('@'); user != std::string_view::npos) {
      url.remove_prefix(user + 1);
    }
    url = url.substr(0, url.find_first_of("?#"));
    while (!url.empty()) {
      const size_t end = std::min(url.find('/'), url.size());
      shown.append(IsToken(url.substr(0, end)) ? "***" : url.substr(0, end));
      url.remove_prefix(end);
      if (!url.empty()) shown.push_back('/');
      if (!url.empty()) url.remove_prefix(1);
    }
  }
  return shown.append(text);
}

std::string CleanText(std::string_view text, size_t limit) {
  // A little more than asked for: what is cut in two there, a character or a URL, is cut off again.
  std::string clean = WithoutUrlSecrets(ValidUtf8(text.substr(0, limit + kMoreToRead)));
  std::ranges::replace_if(
      clean, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  if (text.size() <= limit + kMoreToRead && clean.size() <= limit) return clean;
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
