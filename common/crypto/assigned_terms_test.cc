#include "common/crypto/assigned_terms.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem {
namespace {

using release::v1::Assignment;
using release::v1::Probe;
using ::testing::HasSubstr;

std::string Refusal(const Assignment& assignment) {
  return std::string(CheckAssignedConditions(assignment.preconditions(), assignment.conditions()).message());
}

// Whatever kind is added to Probe later is refused until somebody says that it reaches nothing.
TEST(AssignedTerms, OnlyKindsThatReachNothingAreTaken) {
  const std::set<std::string> harmless = {"watchdog", "memory", "version"};
  const google::protobuf::OneofDescriptor& kinds = *Probe::descriptor()->FindOneofByName("kind");
  ASSERT_GE(kinds.field_count(), 12);
  for (int i = 0; i < kinds.field_count(); ++i) {
    Assignment assignment;
    Probe& probe = *assignment.add_preconditions();
    probe.set_name("ask");
    probe.GetReflection()->MutableMessage(&probe, kinds.field(i));
    const std::string kind(kinds.field(i)->name());
    if (harmless.contains(kind)) {
      EXPECT_EQ(Refusal(assignment), "") << kind;
    } else {
      EXPECT_THAT(Refusal(assignment), HasSubstr(absl::StrCat("precondition \"ask\" is of kind ", kind)));
      EXPECT_THAT(Refusal(assignment), HasSubstr("`conditions`"));
    }
  }
  Assignment without;
  without.add_preconditions()->set_name("none");
  EXPECT_THAT(Refusal(without), HasSubstr("is of kind no"));
}

TEST(AssignedTerms, NamesAreGivenOnceAndBounded) {
  Assignment assignment;
  assignment.add_conditions("standstill");
  EXPECT_EQ(Refusal(assignment), "");
  assignment.add_conditions("standstill");
  EXPECT_THAT(Refusal(assignment), HasSubstr("\"standstill\" is named twice"));
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a b"), std::string("a\n")}) {
    Assignment bad;
    bad.add_conditions(name);
    EXPECT_THAT(Refusal(bad), HasSubstr("the name of a condition")) << name;
  }
  Assignment many;
  for (int i = 0; i <= kMaxAssignedConditions; ++i) many.add_conditions(absl::StrCat("c", i));
  EXPECT_THAT(Refusal(many), HasSubstr("at most 64"));
}

TEST(AssignedTerms, BaseUrlsAreHttpWithAHost) {
  const auto check = [](const std::string& url) {
    Assignment assignment;
    assignment.add_base_urls(url);
    return CheckBaseUrls(assignment.base_urls());
  };
  for (const char* good : {"http://cdn", "https://cdn.example.com:8443/site/", "https://[2001:db8::1]/x",
                           "https://user:secret@cdn/x", "https://cdn/site?sv=1&sig=a%2Fb"}) {
    EXPECT_TRUE(check(good).ok()) << good << ": " << check(good);
  }
  for (const char* bad : {"", "cdn", "file:///etc", "ftp://cdn/", "gopher://cdn/", "javascript:x", "../..", "https://",
                          "http:///x", "https://?x", "https://cdn/a b", "https://cdn/\n",
                          "https://c\xc3\xa4"
                          "dn/",
                          "https://cdn/#x", "HTTPX://cdn"}) {
    EXPECT_EQ(check(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_THAT(std::string(check("ftp://user:secret@cdn/").message()), ::testing::Not(HasSubstr("secret")));
  EXPECT_FALSE(check("https://cdn/" + std::string(kMaxBaseUrlBytes, 'a')).ok());
}

}  // namespace
}  // namespace tandem
