#include "common/net/fake_http_fetcher.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(FakeHttpFetcherTest, ServesRangesAndInjectsFaults) {
  FakeHttpFetcher fetcher;
  fetcher.Serve("http://m/f", "0123456789");
  fetcher.SetPieceSize(3);
  std::string got;
  auto fetch = [&](uint64_t offset, uint64_t length) {
    got.clear();
    return fetcher.Fetch({.url = "http://m/f", .offset = offset, .length = length}, [&](std::string_view piece) {
      got.append(piece);
      return absl::OkStatus();
    });
  };
  ASSERT_TRUE(fetch(2, 5).ok());
  EXPECT_EQ(got, "23456");

  fetcher.FailAt("http://m/f", 4, absl::UnavailableError("connection reset"));
  EXPECT_TRUE(absl::IsUnavailable(fetch(0, 0)));
  EXPECT_EQ(got, "0123");
  ASSERT_TRUE(fetch(0, 0).ok());

  fetcher.CorruptAt("http://m/f", 4, 1);
  ASSERT_TRUE(fetch(0, 0).ok());
  EXPECT_EQ(got, "0123556789");
  EXPECT_TRUE(absl::IsUnavailable(fetch(8, 5))) << "the file is shorter";
  EXPECT_EQ(fetcher.requests().size(), 5);
  EXPECT_TRUE(
      absl::IsNotFound(fetcher.Fetch({.url = "http://m/other"}, [](std::string_view) { return absl::OkStatus(); })));
}

}  // namespace
}  // namespace tandem
