// Which units a rollout or a ring is for: a small language over a unit's attributes (docs/targeting.md).
//
//   ASSIGN_OR_RETURN(const TargetExpression target,
//                    TargetExpression::Parse(R"(region == "eu" && hardware in ["gw-2", "gw-3"] && !has(tag.lab))"));
//   if (target.Matches(unit)) …
//
//   expression := all ( ("||" | "or") all )*
//   all        := factor ( ("&&" | "and") factor )*
//   factor     := ("!" | "not") factor | "(" expression ")" | "has" "(" attribute ")" | comparison
//   comparison := attribute ("==" | "!=" | "=~") text | attribute "in" "[" text ("," text)* "]"
//   attribute  := "unit_id" | "hardware" | "group" | "customer" | "region" | "site" | "tag." name
//   text       := '"' any character, \" and \\ '"'
//
// "and" binds closer than "or". All comparisons are of whole texts, case counts; a tag or attribute that a unit does
// not have is the empty text. =~ compares with a pattern: * is any run of characters, ? is one (UTF-8) character.
#ifndef TANDEM_FLEET_ROLLOUT_TARGETING_H_
#define TANDEM_FLEET_ROLLOUT_TARGETING_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem::fleet {

struct UnitAttributes {
  std::string unit_id;
  std::string hardware;
  std::string group;
  std::string customer;
  std::string region;
  std::string site;
  std::map<std::string, std::string> tags;

  friend bool operator==(const UnitAttributes&, const UnitAttributes&) = default;
};

// What a text may be at most, so that a hostile one costs neither stack nor time.
inline constexpr size_t kMaxTargetBytes = 4096;
inline constexpr int kMaxTargetDepth = 32;       // parentheses and negations inside each other
inline constexpr int kMaxTargetTexts = 256;      // quoted texts and has()
inline constexpr size_t kMaxPatternLength = 63;  // bytes of a pattern besides *

// Immutable; may be used by many threads at once. A copy shares what was parsed.
class TargetExpression {
 public:
  // Matches every unit, as the empty text does.
  TargetExpression();

  // INVALID_ARGUMENT names the position (bytes, from 1), what was expected there and how to mend it. Equal texts parse
  // to equal expressions for ever: rollouts keep the text.
  static absl::StatusOr<TargetExpression> Parse(std::string_view text);

  // Time: O(bytes of the expression + bytes of the attributes it names, once for each comparison). No allocation.
  bool Matches(const UnitAttributes& unit) const;

  // As it was given to Parse().
  const std::string& text() const;

 private:
  struct Program;
  friend class TargetParser;
  explicit TargetExpression(std::shared_ptr<const Program> program);

  std::shared_ptr<const Program> program_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_TARGETING_H_
