// Targeting expressions: refused with a position, or parsed so that the kept text means the same again.
#include <cstddef>
#include <cstdint>
#include <string>

#include "fleet/rollout/targeting.h"
#include "tests/fuzz/check.h"

using tandem::fleet::TargetExpression;
using tandem::fleet::UnitAttributes;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto target = TargetExpression::Parse(text);
  if (!target.ok()) {
    FUZZ_CHECK(target.status().message().find("position ") != std::string::npos);
    return 0;
  }
  FUZZ_CHECK(target->text() == text);
  const auto again = TargetExpression::Parse(target->text());
  FUZZ_CHECK(again.ok());
  const UnitAttributes units[] = {
      {},
      {"u1", "gw-2", "internal", "acme", "eu", "berlin", {{"track", "beta"}, {"lab", ""}}},
      // Values that the text itself brought.
      {text, text.substr(text.size() / 2), "", "", "", text.substr(0, text.size() / 2), {{"x", text}}},
  };
  for (const UnitAttributes& unit : units) FUZZ_CHECK(target->Matches(unit) == again->Matches(unit));
  // Parentheses change nothing, a negation turns it around.
  const auto negated = TargetExpression::Parse("!(" + text + ")");
  if (!negated.ok()) return 0;
  for (const UnitAttributes& unit : units) FUZZ_CHECK(target->Matches(unit) != negated->Matches(unit));
  return 0;
}
