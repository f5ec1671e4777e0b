#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/fleetctl/spec_options.h"
#include "tools/fleetctl/units_file.h"

namespace tandem::fleetctl {
namespace {

using ::testing::HasSubstr;

TEST(ParseUnits, ReadsCsvWithQuotesAndTags) {
  const auto units = ParseUnits(
      "unit_id,site,tag.lab\r\n"
      "gw-1,\"Hall 3, \"\"north\"\"\",yes\r\n"
      "gw-2,,\n",
      "units.csv");
  ASSERT_TRUE(units.ok()) << units.status();
  ASSERT_EQ(units->size(), 2u);
  EXPECT_EQ((*units)[0].site(), "Hall 3, \"north\"");
  EXPECT_EQ((*units)[0].tags().at("lab"), "yes");
  EXPECT_EQ((*units)[1].tags_size(), 0);
}

TEST(ParseUnits, ReadsJsonLines) {
  const auto units = ParseUnits("{\"unit_id\":\"gw-1\",\"tags\":{\"lab\":\"yes\"}}\n\n{\"unit_id\":\"gw-2\"}\n", "u");
  ASSERT_TRUE(units.ok()) << units.status();
  ASSERT_EQ(units->size(), 2u);
  EXPECT_EQ((*units)[0].tags().at("lab"), "yes");
}

TEST(ParseUnits, SaysWhereTheFileIsWrong) {
  EXPECT_THAT(std::string(ParseUnits("unit_id,colour\ngw-1,red\n", "u.csv").status().message()),
              HasSubstr("u.csv:1: \"colour\" is no column"));
  EXPECT_THAT(std::string(ParseUnits("unit_id,site\ngw-1,a\ngw-2\n", "u.csv").status().message()),
              HasSubstr("u.csv:3: 1 cells; the header has 2"));
  EXPECT_THAT(std::string(ParseUnits("unit_id\n\"gw-1\n", "u.csv").status().message()), HasSubstr("not closed"));
  EXPECT_THAT(std::string(ParseUnits("{\"unit_id\":\"a\"}\n{\"color\":1}\n", "u").status().message()),
              HasSubstr("u:2: "));
}

TEST(ReadSpec, TakesNamedAndUnnamedRings) {
  const auto spec = ReadSpec({.release = "gw-2", .rings = "canary=5%, 10, full=100%", .score_age = "15m"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->rings_size(), 3);
  EXPECT_EQ(spec->rings(0).name(), "canary");
  EXPECT_EQ(spec->rings(1).name(), "");
  EXPECT_DOUBLE_EQ(spec->rings(1).percent(), 10);
  EXPECT_EQ(spec->score_age().seconds(), 900);
  EXPECT_EQ(spec->name(), "gw-2");
}

TEST(ReadSpec, RefusesWhatItCannotRead) {
  EXPECT_FALSE(ReadSpec({}).ok()) << "no release";
  for (const char* rings : {"", "0%", "101%", "x", "5%,,10%", "nan"}) {
    if (*rings == '\0') continue;
    EXPECT_FALSE(ReadSpec({.release = "r", .rings = rings}).ok()) << rings;
  }
  EXPECT_FALSE(ReadSpec({.release = "r", .start = "tomorrow"}).ok());
  EXPECT_FALSE(ReadSpec({.release = "r", .score_age = "-1m"}).ok());
}

}  // namespace
}  // namespace tandem::fleetctl
