#include "fleet/rollout/targeting.h"

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fleet/rollout/glob_pattern.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::vector<UnitAttributes> GoldenUnits() {
  return {
      {"u1", "gw-2", "internal", "acme", "eu", "berlin", {{"track", "beta"}, {"lab", ""}}},
      {"u2", "gw-3", "field", "acme", "eu", "paris", {{"track", "stable"}}},
      {"u3", "gw-2", "field", "bolt", "us", "austin", {{"note", "say \"hi\" \\o/"}}},
      {"u4", "ecu-10", "field", "bolt", "us", "", {}},
      {"u5", "ecu-1", "", "", "", "münchen", {{"track", "beta"}, {"a.b-c_d", "1"}}},
  };
}

std::string MatchedBy(const TargetExpression& target) {
  std::vector<std::string> ids;
  for (const UnitAttributes& unit : GoldenUnits()) {
    if (target.Matches(unit)) ids.push_back(unit.unit_id);
  }
  return absl::StrJoin(ids, " ");
}

// The stored expressions of rollouts keep their meaning.
TEST(Targeting, GoldenExpressionsMatchTheSameUnitsForEver) {
  std::ifstream file(TANDEM_TARGETING_GOLDEN);
  ASSERT_TRUE(file) << TANDEM_TARGETING_GOLDEN;
  int lines = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> parts = absl::StrSplit(line, " => ");
    ASSERT_EQ(parts.size(), 2U) << line;
    const auto target = TargetExpression::Parse(parts[0]);
    ASSERT_TRUE(target.ok()) << line << "\n" << target.status();
    EXPECT_EQ(MatchedBy(*target), parts[1] == "none" ? "" : parts[1]) << line;
    EXPECT_EQ(target->text(), parts[0]);
    ++lines;
  }
  EXPECT_GT(lines, 30);
}

TEST(Targeting, EmptyTextMatchesEveryUnit) {
  EXPECT_EQ(MatchedBy(TargetExpression()), "u1 u2 u3 u4 u5");
  EXPECT_EQ(MatchedBy(TargetExpression::Parse("").value()), "u1 u2 u3 u4 u5");
  EXPECT_EQ(MatchedBy(TargetExpression::Parse(" \n\t").value()), "u1 u2 u3 u4 u5");
}

TEST(Targeting, ErrorsNamePositionExpectationAndMend) {
  struct Case {
    std::string text, position, expected, mend;
  };
  const Case cases[] = {
      {R"(regoin == "eu")", "position 1:", "expected an attribute, found the word \"regoin\"",
       "unit_id, hardware, group, customer, region, site and tag.NAME"},
      {R"(tag. == "eu")", "position 1:", "expected an attribute", "tag.NAME"},
      {R"(region = "eu")", "position 8:", "found \"=\"", "write =="},
      {R"(region == eu)", "position 11:", "expected a text in double quotes, found the word \"eu\"", "write \"eu\""},
      {R"(region == 'eu')", "position 11:", "found \"'\"", "double quotes"},
      {R"(region == "eu)", "position 11:", "no closing quote", "add \""},
      {R"(region == )", "position 11:", "found the end", "\"eu\""},
      {R"(region)", "position 7:", "expected ==, !=, =~ or in, found the end", "compare with"},
      {R"(region in "eu")", "position 11:", "expected [", "[\"a\", \"b\"]"},
      {R"(region in [])", "position 12:", "expected a text", "\"eu\""},
      {R"(region in ["eu" "us"])", "position 17:", "expected ]", "separate texts with ,"},
      {R"((region == "eu")", "position 16:", "expected ), found the end", "close the ("},
      {R"(region == "eu"))", "position 15:", "expected &&, || or the end, found \")\"", "remove this )"},
      {R"(region == "eu" site == "a")", "position 16:", "found the word \"site\"", "join two conditions"},
      {R"(region == "eu" & site == "a")", "position 16:", "found \"&\"", "write &&"},
      {R"(region < "eu")", "position 8:", "found \"<\"", "no order among texts"},
      {R"(region == "eu" &&)", "position 18:", "expected an attribute, found the end", "the attributes are"},
      {R"(has region)", "position 5:", "expected (", "has(tag.NAME)"},
      {R"(has(x))", "position 5:", "expected an attribute", "the attributes are"},
      {R"(region == "a\n")", "position 14:", "expected \\\" or \\\\", "write \\\\"},
      {"region == \"a\n\"", "position 13:", "printable character", "same line"},
      {"region == \"eu\" \x80", "position 16:", "found \"\\x80\"", ""},
  };
  for (const Case& c : cases) {
    const auto target = TargetExpression::Parse(c.text);
    ASSERT_FALSE(target.ok()) << c.text;
    EXPECT_EQ(target.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(target.status().message()),
                AllOf(HasSubstr(c.position), HasSubstr(c.expected), HasSubstr(c.mend)))
        << c.text;
  }
}

std::string Repeat(std::string_view what, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text.append(what);
  return text;
}

TEST(Targeting, HostileTextsAreRefusedByBounds) {
  const std::string leaf = R"(site=="a")";
  EXPECT_TRUE(TargetExpression::Parse(Repeat("(", kMaxTargetDepth) + leaf + Repeat(")", kMaxTargetDepth)).ok());
  for (const std::string& text : {
           Repeat("(", kMaxTargetDepth + 1) + leaf + Repeat(")", kMaxTargetDepth + 1),
           Repeat("!", 4000) + leaf,
           Repeat("!(", 1500) + leaf,
       }) {
    const auto target = TargetExpression::Parse(text);
    ASSERT_FALSE(target.ok());
    EXPECT_THAT(std::string(target.status().message()), HasSubstr("at most 32 parentheses and negations"));
  }
  const auto listed = TargetExpression::Parse("site in [" + Repeat("\"\",", kMaxTargetTexts) + "\"\"]");
  EXPECT_THAT(std::string(listed.status().message()), HasSubstr("at most 256 texts"));
  EXPECT_TRUE(TargetExpression::Parse("site in [" + Repeat("\"\",", kMaxTargetTexts - 1) + "\"\"]").ok());
  EXPECT_TRUE(TargetExpression::Parse(leaf + Repeat(" ", kMaxTargetBytes - leaf.size())).ok());
  const auto too_long = TargetExpression::Parse(leaf + Repeat(" ", kMaxTargetBytes));
  EXPECT_THAT(std::string(too_long.status().message()), HasSubstr("position 4097: expected the end"));
  const auto pattern = TargetExpression::Parse("site =~ \"" + Repeat("a", kMaxPatternLength + 1) + "\"");
  EXPECT_THAT(std::string(pattern.status().message()), HasSubstr("at most 63 bytes besides *"));
}

// The obvious recursive matcher, to compare with.
bool SlowMatch(std::string_view pattern, std::string_view value) {
  if (pattern.empty()) return value.empty();
  if (pattern[0] == '*')
    return SlowMatch(pattern.substr(1), value) || (!value.empty() && SlowMatch(pattern, value.substr(1)));
  return !value.empty() && (pattern[0] == '?' || pattern[0] == value[0]) &&
         SlowMatch(pattern.substr(1), value.substr(1));
}

std::vector<std::string> AllTexts(std::string_view alphabet, size_t longest) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() == longest) break;
    for (const char c : alphabet) texts.push_back(texts[i] + c);
  }
  return texts;
}

TEST(GlobPattern, AgreesWithTheObviousMatcherForAllShortPatternsAndValues) {
  const std::vector<std::string> values = AllTexts("ab", 6);
  for (const std::string& pattern : AllTexts("ab*?", 5)) {
    const auto glob = GlobPattern::Make(pattern);
    for (const std::string& value : values) {
      ASSERT_EQ(glob->Matches(value), SlowMatch(pattern, value)) << pattern << " on " << value;
    }
  }
}

TEST(GlobPattern, QuestionMarkIsOneCharacterNotOneByte) {
  EXPECT_TRUE(GlobPattern::Make("m?nchen")->Matches("münchen"));
  EXPECT_TRUE(GlobPattern::Make("?")->Matches("€"));
  EXPECT_FALSE(GlobPattern::Make("??")->Matches("€"));
  EXPECT_FALSE(GlobPattern::Make("?*?")->Matches("€"));
  EXPECT_TRUE(GlobPattern::Make("?*?")->Matches("€€"));
}

TEST(GlobPattern, LongestPatternMatchesToItsLastByte) {
  const std::string value(GlobPattern::kMaxLength, 'a');
  const auto glob = GlobPattern::Make(value);
  EXPECT_TRUE(glob->Matches(value));
  EXPECT_FALSE(glob->Matches(value + "a"));
  EXPECT_FALSE(glob->Matches(value.substr(1)));
  EXPECT_TRUE(GlobPattern::Make("*" + value + "*")->Matches("b" + value + "aab"));
  EXPECT_FALSE(GlobPattern::Make(value + "a").has_value());
}

}  // namespace
}  // namespace tandem::fleet
