// Texts of units and diagnostics are kept for people, at most so long; they are cut between characters, for a database
// and a protocol buffer take UTF-8 only.
#ifndef TANDEM_FLEET_CONTROLLER_CUT_TEXT_H_
#define TANDEM_FLEET_CONTROLLER_CUT_TEXT_H_

#include <string>

namespace tandem::fleet {

// Of UTF-8: within a character.
inline bool IsWithinCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

inline std::string Beginning(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && IsWithinCharacter(text[bytes])) --bytes;
  return text.substr(0, bytes);
}

inline std::string End(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  size_t from = text.size() - bytes;
  while (from < text.size() && IsWithinCharacter(text[from])) ++from;
  return text.substr(from);
}

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_CUT_TEXT_H_
