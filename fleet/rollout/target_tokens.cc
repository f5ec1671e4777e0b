#include "fleet/rollout/target_tokens.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace tandem::fleet {
namespace {

constexpr std::string_view kSymbols[] = {"==", "!=", "=~", "&&", "||", "!", "(", ")", "[", "]", ","};

// What people write by habit, and what is meant.
struct Habit {
  std::string_view written;
  std::string_view mend;
};
constexpr Habit kHabits[] = {
    {"=", "write == to compare, =~ for a pattern"},
    {"&", "write && or and"},
    {"|", "write || or or"},
    {"'", "write texts in double quotes"},
    {"~", "write =~ for a pattern"},
    {"<", "there is no order among texts: write ==, !=, =~ or in [...]"},
    {">", "there is no order among texts: write ==, !=, =~ or in [...]"},
    {"{", "write the list of in as [\"a\", \"b\"]"},
};

bool IsWordByte(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; }

bool IsControl(char c) { return absl::ascii_iscntrl(c); }

// Short and plain ASCII, whatever it was: errors travel in JSON.
std::string Quote(std::string_view text) {
  constexpr size_t kLongest = 40;
  std::string quoted = "\"";
  for (const char c : text.substr(0, kLongest)) {
    if (absl::ascii_isprint(c)) {
      quoted.push_back(c);
    } else {
      absl::StrAppend(&quoted, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return absl::StrCat(quoted, text.size() > kLongest ? "...\"" : "\"");
}

}  // namespace

absl::Status TargetError(size_t position, std::string_view expected, std::string_view found, std::string_view mend) {
  return absl::InvalidArgumentError(absl::StrCat("targeting, position ", position + 1, ": expected ",
                                                 std::string(expected), ", found ", std::string(found), "; ",
                                                 std::string(mend)));
}

std::string Describe(const TargetToken& token) {
  switch (token.kind) {
    case TargetToken::Kind::kWord:
      return absl::StrCat("the word ", Quote(token.text));
    case TargetToken::Kind::kText:
      return absl::StrCat("the text ", Quote(token.text));
    case TargetToken::Kind::kSymbol:
      return Quote(token.text);
    case TargetToken::Kind::kEnd:
      break;
  }
  return "the end";
}

absl::StatusOr<TargetToken> TargetTokens::Next() {
  while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  if (at_ == text_.size()) return TargetToken{TargetToken::Kind::kEnd, at_, ""};
  if (text_[at_] == '"') return Quoted();
  if (absl::ascii_isalpha(text_[at_]) || text_[at_] == '_') return Word();
  return Symbol();
}

TargetToken TargetTokens::Word() {
  TargetToken token{TargetToken::Kind::kWord, at_, ""};
  while (at_ < text_.size() && IsWordByte(text_[at_])) token.text.push_back(text_[at_++]);
  return token;
}

absl::StatusOr<TargetToken> TargetTokens::Quoted() {
  TargetToken token{TargetToken::Kind::kText, at_, ""};
  for (++at_; at_ < text_.size(); ++at_) {
    char c = text_[at_];
    if (c == '"') {
      ++at_;
      return token;
    }
    if (IsControl(c)) {
      return TargetError(at_, "a printable character inside the quotes", Quote(text_.substr(at_, 1)),
                         "close the text with \" on the same line");
    }
    if (c == '\\') {
      c = ++at_ < text_.size() ? text_[at_] : '\0';
      if (c != '"' && c != '\\')
        return TargetError(at_, "\\\" or \\\\", "another escape", "write \\\\ for a backslash");
    }
    token.text.push_back(c);
  }
  return TargetError(token.position, "a text in double quotes", "no closing quote", "add \" behind the text");
}

absl::StatusOr<TargetToken> TargetTokens::Symbol() {
  const std::string_view rest = text_.substr(at_);
  for (const std::string_view symbol : kSymbols) {
    if (!rest.starts_with(symbol)) continue;
    TargetToken token{TargetToken::Kind::kSymbol, at_, std::string(symbol)};
    at_ += symbol.size();
    return token;
  }
  std::string_view mend = "write texts in double quotes, such as \"eu\"";
  for (const Habit& habit : kHabits) {
    if (rest.starts_with(habit.written)) mend = habit.mend;
  }
  return TargetError(at_, "an attribute, an operator or a text", Quote(rest.substr(0, 1)), mend);
}

}  // namespace tandem::fleet
