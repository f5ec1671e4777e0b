#include "fleet/api/event_stream.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(EventStream, WatchNamesUnitsAndRollouts) {
  const auto watched = ParseWatch("unit/gw-17,rollout/7,unit/a.b");
  ASSERT_TRUE(watched.ok()) << watched.status();
  EXPECT_THAT(watched->units, ElementsAre("a.b", "gw-17"));
  EXPECT_THAT(watched->rollouts, ElementsAre(7));
  EXPECT_TRUE(ParseWatch("")->units.empty());
}

TEST(EventStream, WatchRefusesWhatIsNeitherAndWhatIsTooMuch) {
  for (const std::string text : {"gw-17", "unit/", "rollout/x", "rollout/-1", "rollout/0", "release/r1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseWatch(text).status())) << text;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(ParseWatch("unit/" + std::string(65, 'a')).status()));
  std::string many;
  for (int i = 0; i < 21; ++i) many += "unit/a" + std::to_string(i) + ",";
  EXPECT_TRUE(absl::IsInvalidArgument(ParseWatch(many).status()));
}

TEST(EventStream, HelloTellsTheTime) {
  EXPECT_EQ(HelloEvent(absl::FromUnixMillis(1'763'749'200'500)), "event: hello\ndata: {\"now\":1763749200.5}\n\n");
}

TEST(EventStream, ANameCannotEndItsEvent) {
  const std::string event = ChangeEvent({"release/a\n\nevent: end\xff", "fleet"});
  EXPECT_THAT(event, HasSubstr(R"(data: {"changed":["fleet","release/a\n\nevent: end)"));
  EXPECT_EQ(event.find("\n\n"), event.size() - 2);
  EXPECT_THAT(KeepAlive(), Not(HasSubstr("data")));
}

}  // namespace
}  // namespace tandem::fleet
