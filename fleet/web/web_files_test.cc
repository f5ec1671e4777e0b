#include "fleet/web/web_files.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr size_t kMostCompressed = 200'000;
// gzip, deflate.
constexpr std::string_view kGzipMagic = "\x1f\x8b\x08";

TEST(WebFiles, HaveAPageAndWhatItNeeds) {
  const WebFile* page = FindWebFile("/");
  ASSERT_NE(page, nullptr);
  EXPECT_THAT(std::string(page->content_type), StartsWith("text/html"));
  EXPECT_FALSE(page->immutable);
  EXPECT_EQ(FindWebFile("/index.html"), nullptr);
  EXPECT_EQ(FindWebFile("/assets/../index.html"), nullptr);
  EXPECT_EQ(FindWebFile(""), nullptr);
}

TEST(WebFiles, AreCompressedWithATagOfTheirContentAndKeptForeverWhenTheirNameHoldsAHash) {
  std::set<std::string_view> tags;
  for (const WebFile& file : WebFiles()) {
    EXPECT_EQ(file.gzip.substr(0, 3), kGzipMagic) << file.path;
    EXPECT_TRUE(file.etag.starts_with('"') && file.etag.ends_with('"') && file.etag.size() == 34) << file.etag;
    EXPECT_TRUE(tags.insert(file.etag).second) << file.path;
    EXPECT_EQ(file.immutable, file.path.starts_with("/assets/")) << file.path;
    EXPECT_EQ(FindWebFile(file.path), &file);
  }
  EXPECT_GE(tags.size(), 3U);
}

TEST(WebFiles, AreTogetherUnderTwoHundredKilobytes) {
  size_t sum = 0;
  for (const WebFile& file : WebFiles()) sum += file.gzip.size();
  RecordProperty("bytes", static_cast<int>(sum));
  EXPECT_LT(sum, kMostCompressed);
}

TEST(WebFiles, NothingInlineIsAllowedToRun) {
  EXPECT_THAT(std::string(kPageSecurityPolicy), Not(HasSubstr("unsafe")));
  EXPECT_THAT(std::string(kPageSecurityPolicy), HasSubstr("default-src 'none'"));
}

}  // namespace
}  // namespace tandem::fleet
