#include "common/net/host_port.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(HostPort, IsSplitAtTheRightColon) {
  EXPECT_EQ(ParseHostPort("gw:80")->host, "gw");
  EXPECT_EQ(ParseHostPort("gw:80")->port, 80);
  EXPECT_EQ(ParseHostPort("gw")->port, std::nullopt);
  EXPECT_EQ(ParseHostPort("[::1]:0")->host, "::1");
  EXPECT_EQ(ParseHostPort("[::1]:0")->port, 0);
  EXPECT_EQ(ParseHostPort("[::1]")->host, "::1");
  for (const char* bad : {"", ":80", "gw:", "gw:x", "gw:65536", "gw:-1", "gw:+1", "::1", "[::1", "[::1]evil:80",
                          "gw/x:80", "localhost:1883@evil.com"}) {
    EXPECT_FALSE(ParseHostPort(bad).ok()) << bad;
  }
}

TEST(HostPort, OnlyThisComputerIsLoopback) {
  for (const char* host : {"localhost", "127.0.0.1", "127.8.9.10", "::1"}) EXPECT_TRUE(IsLoopbackHost(host)) << host;
  for (const char* host : {"localhost.evil.com", "127.x.evil.com", "127.0.0.1.evil.com", "0.0.0.0", "::", "10.0.0.1",
                           "broker", "", "127.0.0.1@evil.com", "1270.0.0.1"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

}  // namespace
}  // namespace tandem
