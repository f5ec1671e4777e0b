#include "fleet/api/authenticator.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/fleet_api.h"

namespace tandem::fleet {
namespace {

Credentials WithToken(const std::string& token, const std::string& peer = "10.0.0.7") {
  return {.authorization = {absl::StrCat("Bearer ", token)}, .peer = peer};
}

TEST(Authenticator, SaysTheSameWhateverWasWrong) {
  ApiFixture fixture;
  const std::string expired = fixture.Token("a", v1::VIEWER, absl::Minutes(1));
  fixture.clock.Advance(absl::Minutes(1));
  const absl::Status nothing = fixture.authenticator.Authenticate({.peer = "1"}).status();
  EXPECT_EQ(nothing.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(fixture.authenticator.Authenticate(WithToken(expired, "2")).status(), nothing);
  EXPECT_EQ(fixture.authenticator.Authenticate(WithToken("tnd_x", "3")).status(), nothing);
  EXPECT_EQ(fixture.authenticator.Authenticate({.certificate_names = {"x"}, .peer = "4"}).status(), nothing);
  EXPECT_EQ(fixture.authenticator.Authenticate({.is_unix_socket = true, .peer = "unix"}).status(), nothing);
}

TEST(Authenticator, StopsGuessingWithoutLockingOutWhoWasGoodBefore) {
  ApiFixture fixture({.failures_per_minute = 3});
  const std::string known = fixture.Token("known", v1::VIEWER);
  const std::string fresh = fixture.Token("fresh", v1::VIEWER);
  ASSERT_TRUE(fixture.authenticator.Authenticate(WithToken(known)).ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(fixture.authenticator.Authenticate(WithToken("tnd_guess")).status().code(),
              absl::StatusCode::kUnauthenticated);
  }
  EXPECT_EQ(fixture.authenticator.Authenticate(WithToken("tnd_guess")).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(fixture.authenticator.Authenticate(WithToken(fresh)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(fixture.authenticator.Authenticate(WithToken(known)).ok());
  EXPECT_TRUE(fixture.authenticator.Authenticate(WithToken(fresh, "10.0.0.8")).ok()) << "another address";
  fixture.clock.Advance(absl::Minutes(1));
  EXPECT_EQ(fixture.authenticator.Authenticate(WithToken("tnd_guess")).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST(Authenticator, RefusesARevokedTokenAtOnce) {
  ApiFixture fixture;
  const std::string token = fixture.Token("a", v1::OPERATOR);
  const auto caller = fixture.authenticator.Authenticate(WithToken(token));
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->actor, "token:a");
  EXPECT_EQ(caller->role, v1::OPERATOR);
  v1::RevokeTokenRequest revoke;
  revoke.set_id(1);
  ASSERT_TRUE(fixture.operations.RevokeToken(kManager, revoke).ok());
  EXPECT_FALSE(fixture.authenticator.Authenticate(WithToken(token)).ok());
}

TEST(Authenticator, TakesOneAuthorizationOnly) {
  ApiFixture fixture;
  Credentials credentials = WithToken(fixture.Token("a", v1::OPERATOR));
  credentials.authorization.push_back(credentials.authorization[0]);
  EXPECT_FALSE(fixture.authenticator.Authenticate(credentials).ok());
}

TEST(Authenticator, TheFirstRuleThatFitsACertificateCounts) {
  ApiFixture fixture({.principals = {{"ci", v1::VIEWER}, {"ci.example.com", v1::RELEASE_MANAGER}}});
  const auto caller = fixture.authenticator.Authenticate({.certificate_names = {"ci.example.com", "ci"}});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->actor, "certificate:ci");
  EXPECT_EQ(caller->role, v1::VIEWER);
}

}  // namespace
}  // namespace tandem::fleet
