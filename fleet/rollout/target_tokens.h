// The words of the targeting language, and how its errors are told. Used by targeting.cc only.
#ifndef TANDEM_FLEET_ROLLOUT_TARGET_TOKENS_H_
#define TANDEM_FLEET_ROLLOUT_TARGET_TOKENS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem::fleet {

struct TargetToken {
  enum class Kind { kEnd, kWord, kText, kSymbol };
  Kind kind = Kind::kEnd;
  size_t position = 0;  // bytes from the beginning
  // The word, the symbol, or the text without its quotes and backslashes.
  std::string text;

  bool IsSymbol(std::string_view symbol) const { return kind == Kind::kSymbol && text == symbol; }
  bool IsWord(std::string_view word) const { return kind == Kind::kWord && text == word; }
};

// "targeting, position 12: expected X, found Y; mend".
absl::Status TargetError(size_t position, std::string_view expected, std::string_view found, std::string_view mend);

// What an error says was found: `the word "regoin"`, `the text "eu"`, `"=="`, or "the end".
std::string Describe(const TargetToken& token);

// Reads one token after the other. One thread.
class TargetTokens {
 public:
  // `text` must outlive this.
  explicit TargetTokens(std::string_view text) : text_(text) {}

  // The next token; kEnd at the end, again and again. INVALID_ARGUMENT for what is no token.
  absl::StatusOr<TargetToken> Next();

 private:
  absl::StatusOr<TargetToken> Quoted();
  absl::StatusOr<TargetToken> Symbol();
  TargetToken Word();

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_TARGET_TOKENS_H_
