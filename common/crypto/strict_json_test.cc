#include "common/crypto/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace tandem {
namespace {

using ::testing::HasSubstr;

std::string Repeated(size_t count, std::string_view text) {
  std::string result;
  for (size_t i = 0; i < count; ++i) result += text;
  return result;
}

TEST(StrictJson, ReadsWhatTheLibraryReads) {
  for (const std::string& text :
       {std::string("null"), std::string("true"), std::string("-3"), std::string("18446744073709551615"),
        std::string("2.5e-3"), std::string("\"caf\\u00e9 \xc3\xa9\""), std::string("[]"), std::string("{}"),
        std::string(" [1, [2, {\"a\": [3, {}], \"b\": {\"a\": null}}], \"x\", false] \n"),
        std::string("{\"a\":{\"b\":{\"c\":[[],[{}],{\"d\":1}]}},\"b\":\"\",\"\":0}")}) {
    const auto value = ParseStrictJson(text);
    ASSERT_TRUE(value.ok()) << text << ": " << value.status();
    EXPECT_EQ(*value, nlohmann::json::parse(text)) << text;
  }
}

TEST(StrictJson, SaysWhatIsWrongAndWhere) {
  const struct {
    std::string text;
    std::string error;
  } cases[] = {
      {"", "not JSON at byte 1"},
      {"{\"a\":1", "not JSON at byte 7"},
      {"[1,]", "not JSON at byte 4"},
      {"{} {}", "not JSON at byte 4"},
      {"nan", "not JSON at byte"},
      {"1e999", "not JSON at byte"},
      {"\"caf\xe9\"", "not JSON at byte"},
      {"// no\n1", "not JSON at byte 1"},
      {"{\"a\":1,\"b\":2,\"a\":1}", "member \"a\" occurs twice"},
      {"[{\"a\":{\"b\":1,\"b\":{}}}]", "member \"b\" occurs twice"},
      {"{\"a\":1,\"\\u0061\":1}", "member \"a\" occurs twice"},
      {Repeated(65, "["), "JSON nests deeper than 64"},
      {Repeated(65, "{\"a\":"), "JSON nests deeper than 64"},
  };
  for (const auto& [text, error] : cases) {
    const auto value = ParseStrictJson(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(value.status().message()), HasSubstr(error)) << text;
  }
  EXPECT_TRUE(ParseStrictJson(Repeated(64, "[") + Repeated(64, "]")).ok());
}

// What two readers could take differently is refused; all else means what the library says.
TEST(StrictJson, DiffersFromTheLibraryOnlyByRefusing) {
  const std::string document =
      R"({"payloadType":"a","payload":"e30=","signatures":[{"keyid":"k","sig":"c2ln"},{"keyid":"l","sig":""}],"n":[1,2.5]})";
  std::mt19937 random(7);
  size_t taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = document;
    for (size_t change = 0; change <= random() % 3; ++change) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text.erase(at, random() % 4);
          break;
        case 1:
          text.insert(at, text.substr(random() % text.size(), random() % 12));
          break;
        default:
          text[at] = "{}[]\",:0e-\\u \n\x80"[random() % 15];
          break;
      }
      if (text.empty()) text = " ";
    }
    const auto value = ParseStrictJson(text);
    const auto expected = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (value.ok()) {
      ++taken;
      EXPECT_EQ(*value, expected) << text;
    } else if (value.status().message().find("not JSON") != absl::string_view::npos) {
      EXPECT_TRUE(expected.is_discarded()) << text;
    }
  }
  EXPECT_GT(taken, 1'000u);
}

}  // namespace
}  // namespace tandem
