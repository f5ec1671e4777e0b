#include "common/diagnostic/diagnostic.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <sstream>

namespace tandem {
namespace {

TEST(DiagnosticTest, WritesTheLinesOfTheConvention) {
  std::ostringstream output;
  Diagnostic diagnostic(output);
  diagnostic.Log("warming up");
  diagnostic.Measure("latency", 12.5, "ms");
  diagnostic.Measure("frames lost", 3);
  diagnostic.Measure("nothing", std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(diagnostic.Fail("too\nslow"), 1);
  EXPECT_EQ(output.str(), "warming up\nmeasure latency 12.5 ms\nmeasure frames_lost 3\nreason too slow\n");
}

TEST(DiagnosticTest, ExitCodesAreThoseOfTheConvention) {
  std::ostringstream output;
  Diagnostic diagnostic(output);
  EXPECT_EQ(diagnostic.Pass(), 0);
  EXPECT_EQ(output.str(), "");
  EXPECT_EQ(diagnostic.Pass("fine"), 0);
  EXPECT_GT(diagnostic.Error("no model"), 1);
}

TEST(DiagnosticTest, ParametersComeFromTheEnvironment) {
  setenv("TANDEM_LIMIT_MS", "40.5", 1);
  setenv("TANDEM_WORD", "4x", 1);
  const Diagnostic diagnostic;
  EXPECT_EQ(diagnostic.Parameter("limit_ms"), "40.5");
  EXPECT_EQ(diagnostic.Number("limit_ms"), 40.5);
  EXPECT_EQ(diagnostic.Number("word"), std::nullopt);
  EXPECT_EQ(diagnostic.Parameter("other"), std::nullopt);
  EXPECT_EQ(diagnostic.Number("other"), std::nullopt);
}

}  // namespace
}  // namespace tandem
