#include "common/text/text.h"

#include "common/text/clean_message.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem {
namespace {

using ::testing::EndsWith;

TEST(ValidUtf8, KeepsCharactersAndReplacesEverythingElse) {
  EXPECT_EQ(ValidUtf8("Grüße 21 °C \xf0\x9f\x9a\x97\n\t"), "Grüße 21 °C \xf0\x9f\x9a\x97\n\t");
  EXPECT_EQ(ValidUtf8(std::string("a\0b\x1b[1m\x7f", 8)), "a?b?[1m?");
  EXPECT_EQ(ValidUtf8("\xc2\x9b"), "??") << "a control character of two bytes";
  for (const auto& [bytes, valid] : std::vector<std::pair<std::string, std::string>>{{"\xc3", "?"},
                                                                                     {"\xa0x", "?x"},
                                                                                     {"\xc0\x80", "??"},
                                                                                     {"\xe0\x80\x80", "???"},
                                                                                     {"\xed\xa0\x80", "???"},
                                                                                     {"\xf4\x90\x80\x80", "????"},
                                                                                     {"\xff\xfe", "??"}}) {
    EXPECT_EQ(ValidUtf8(bytes), valid);
  }
}

TEST(CleanText, IsOneLineOfAtMostSoManyBytes) {
  EXPECT_EQ(CleanText("mod\xe8le\t\xff\n"), "mod?le ? ");
  EXPECT_EQ(CleanText("12345", 5), "12345");
  EXPECT_EQ(CleanText("123456", 5), "12…");
  EXPECT_EQ(CleanText("üüüü", 6), "ü…") << "no character is cut in two";
  const std::string longest = CleanText(std::string(65'000, 'x'));
  EXPECT_EQ(longest.size(), kMaxTextBytes);
  EXPECT_THAT(longest, EndsWith("x…"));
  for (size_t limit = 0; limit < 12; ++limit) {
    const std::string cut = CleanText("a\xf0\x9f\x9a\x97ü\xff\xf0\x9f\x9a\x97", limit);
    EXPECT_LE(cut.size(), limit);
    EXPECT_EQ(ValidUtf8(cut), cut);
  }
}

TEST(WithoutUrlSecrets, HidesWhatOpensSomething) {
  const std::string token(kUrlTokenDigits, 'a');
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"no URL: a:b@c?d#e", "no URL: a:b@c?d#e"},
      {"fetch http://ota:s3cr3t@cdn:80/site/a.img: 404", "fetch http://cdn:80/site/a.img: 404"},
      {"https://cdn/a?sv=1&sig=a%2Fb failed", "https://cdn/a failed"},
      {"https://cdn?sig=x#y", "https://cdn"},
      {"(\"https://u@cdn/a#frag\")", "(\"https://cdn/a\")"},
      {"http://u:p@ss@cdn/", "http://cdn/"},
      {"http://u:p?q@cdn/", "http://cdn/"},
      {"http://cdn/a@b", "http://cdn/a@b"},
      {"http://10.0.0.1:8081/a/" + token + "/" + std::string(64, 'b') + ": 403",
       "http://10.0.0.1:8081/a/***/" + std::string(64, 'b') + ": 403"},
      {"http://a:b@one/x?y http://c:d@two/x?y.", "http://one/x http://two/x"},
      {"mqtts://unit:key@broker:8883", "mqtts://broker:8883"},
      {"://", "://"},
      {"http://@", "http://"},
  };
  for (const auto& [text, shown] : cases) EXPECT_EQ(WithoutUrlSecrets(text), shown) << text;
}

TEST(CleanText, ShowsNoSecretOfAUrlWhereverItIsCut) {
  for (size_t before = 0; before < 60; ++before) {
    const std::string text =
        std::string(before, 'x') + " http://user:" + std::string(2'000, 's') + "@cdn/a?sig=" + std::string(5'000, 's');
    EXPECT_THAT(CleanText(text, 50), testing::Not(testing::HasSubstr("ss"))) << before;
  }
}

TEST(CleanTexts, ReachesEveryTextOfAMessage) {
  updatemanager::v2::UpdateStatus status;
  status.set_activity("a\nb");
  status.mutable_error()->set_message("\xff");
  auto* component = status.add_components();
  component->set_version("1\x1b");
  component->mutable_error()->set_message(std::string(5'000, 'e'));
  component->mutable_slots()->set_trial("\xe9");
  CleanTexts(status);
  EXPECT_EQ(status.activity(), "a b");
  EXPECT_EQ(status.error().message(), "?");
  EXPECT_EQ(status.components(0).version(), "1?");
  EXPECT_EQ(status.components(0).error().message().size(), kMaxTextBytes);
  EXPECT_EQ(status.components(0).slots().trial(), "?");
  updatemanager::v2::UpdateStatus copy;
  EXPECT_TRUE(copy.ParseFromString(status.SerializeAsString()));
}

}  // namespace
}  // namespace tandem
