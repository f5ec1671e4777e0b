#include "common/log/log.h"

#include "gtest/gtest.h"

namespace tandem {
namespace {

TEST(Log, QuotesOnlyWhatWouldNotBeOneField) {
  EXPECT_EQ(FormatLogLine("update accepted", {{"unit", "gw-17"}, {"reason", "no space"}, {"empty", ""}}),
            "update accepted unit=gw-17 reason=\"no space\" empty=\"\"");
}

TEST(Log, EscapesControlCharactersSoThatOneLineStaysOneLine) {
  EXPECT_EQ(FormatLogLine("x", {{"e", "a\nunit=b"}}), "x e=\"a\\nunit=b\"");
}

TEST(Log, RefusesAnUnknownLevel) { EXPECT_EQ(InitLog({.level = "loud"}).code(), absl::StatusCode::kInvalidArgument); }

}  // namespace
}  // namespace tandem
