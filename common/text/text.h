// Texts from outside: of commands, devices, plugins, peers. Each is made valid and cut once, where it enters, for a
// protocol buffer and a database take UTF-8 only, and a terminal obeys control characters. Pure.
#ifndef TANDEM_COMMON_TEXT_TEXT_H_
#define TANDEM_COMMON_TEXT_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace tandem {

// Of one text that is no document, in bytes.
inline constexpr size_t kMaxTextBytes = 1024;

// With "?" for each byte that is not UTF-8, and for control characters but line ends and tabs.
std::string ValidUtf8(std::string_view text);

// `text` without what opens something: user and password, query and fragment of each URL in it, and tokens of CM's
// artifact server (a part of a path that is kUrlTokenDigits hexadecimal digits). A URL is what has "://" and ends at a
// space or quote.
std::string WithoutUrlSecrets(std::string_view text);
inline constexpr size_t kUrlTokenDigits = 48;

// ValidUtf8() and WithoutUrlSecrets() on one line, and at most `limit` bytes; "…" says that there was more.
std::string CleanText(std::string_view text, size_t limit = kMaxTextBytes);

// At most `bytes` of the beginning, or the end, of valid UTF-8; no character is cut in two.
std::string Beginning(std::string_view text, size_t bytes);
std::string End(std::string_view text, size_t bytes);

}  // namespace tandem

#endif  // TANDEM_COMMON_TEXT_TEXT_H_
