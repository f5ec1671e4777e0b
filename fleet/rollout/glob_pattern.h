// A pattern with * (any run of characters) and ? (one UTF-8 character), matched in one pass over the value.
//
// The pattern is a nondeterministic automaton with one bit per state in one word: state i means "the first i literal
// characters of the pattern are consumed". One value byte costs a few operations whatever the pattern is, so a pattern
// such as "*a*a*a*b" cannot be made slow.
#ifndef TANDEM_FLEET_ROLLOUT_GLOB_PATTERN_H_
#define TANDEM_FLEET_ROLLOUT_GLOB_PATTERN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace tandem::fleet {

// Immutable; may be used by many threads at once.
class GlobPattern {
 public:
  static constexpr size_t kMaxLength = 63;  // bytes besides *

  // nullopt when the pattern has more than kMaxLength bytes besides *.
  static std::optional<GlobPattern> Make(std::string_view pattern);

  // Whether the whole of `value` fits. A ? is one character: a byte that is not a UTF-8 continuation byte, and the
  // continuation bytes after it.
  bool Matches(std::string_view value) const;

 private:
  uint64_t StatesLeftBy(unsigned char byte) const;

  std::vector<std::pair<unsigned char, uint64_t>> literals_;  // byte -> states it leads out of; sorted
  uint64_t question_ = 0;                                     // states that a ? leads out of
  uint64_t star_ = 0;                                         // states that stay for any byte
  uint64_t accepting_ = 1;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_GLOB_PATTERN_H_
