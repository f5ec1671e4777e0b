#include "fleet/api/routes.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fleet/api/methods.h"
#include "fleet/api/openapi.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

const google::protobuf::ServiceDescriptor& Service() {
  return *v1::GetFleetRequest::descriptor()->file()->FindServiceByName("Fleet");
}

TEST(Routes, HaveEveryRpcOnce) {
  std::map<std::string, int> count;
  for (const Route& route : Routes()) ++count[std::string(route.method)];
  for (int i = 0; i < Service().method_count(); ++i) {
    EXPECT_EQ(count[Service().method(i)->name()], 1) << Service().method(i)->name();
  }
  EXPECT_EQ(Routes().size(), static_cast<size_t>(Service().method_count()));
}

TEST(Routes, AreDifferentPathsWithARoleEach) {
  std::set<std::string> seen;
  for (const Route& route : Routes()) {
    EXPECT_TRUE(seen.insert(absl::StrCat(std::string(route.verb), " ", std::string(route.path))).second);
    EXPECT_GE(route.role, v1::VIEWER) << route.method;
    EXPECT_TRUE(route.verb == "GET" || route.verb == "POST") << route.method;
  }
}

TEST(Routes, NameFieldsOfTheRequestInTheirPaths) {
  for (const Route& route : Routes()) {
    const std::string path(route.path);
    const auto* request = Service().FindMethodByName(std::string(route.method))->input_type();
    for (size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
      const std::string name = path.substr(at + 1, path.find('}', at) - at - 1);
      EXPECT_NE(request->FindFieldByName(name), nullptr) << route.method << " " << name;
    }
  }
}

TEST(Routes, AreAllServed) {
  for (const Route& route : Routes()) {
    const Method* method = FindMethod(route.method);
    ASSERT_NE(method, nullptr) << route.method;
    EXPECT_EQ(method->route, &route);
    EXPECT_EQ(method->make_request()->GetDescriptor(),
              Service().FindMethodByName(std::string(route.method))->input_type());
  }
}

TEST(OpenApi, IsJsonThatHasEveryRouteAndNoDanglingReference) {
  const nlohmann::json document = nlohmann::json::parse(OpenApiDocument(), nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(document.is_object());
  EXPECT_EQ(document["openapi"], "3.1.0");
  for (const Route& route : Routes()) {
    const auto& operation = document["paths"][std::string(route.path)][absl::AsciiStrToLower(std::string(route.verb))];
    EXPECT_EQ(operation["operationId"], std::string(route.method));
    EXPECT_EQ(operation["x-role"], v1::Role_Name(route.role));
    EXPECT_TRUE(operation["responses"]["200"].is_object()) << route.method;
  }
  const nlohmann::json flat = document.flatten();
  int references = 0;
  for (const auto& [path, value] : flat.items()) {
    if (!absl::EndsWith(path, "/$ref")) continue;
    ++references;
    const std::string target = value.get<std::string>();
    ASSERT_TRUE(absl::StartsWith(target, "#/components/schemas/")) << target;
    EXPECT_TRUE(document["components"]["schemas"].contains(target.substr(21))) << target;
    EXPECT_FALSE(document["components"]["schemas"][target.substr(21)].is_null()) << target;
  }
  EXPECT_GT(references, 50);
  EXPECT_EQ(document["components"]["schemas"]["Unit"]["properties"]["unit_id"]["type"], "string");
  EXPECT_EQ(document["components"]["schemas"]["Rollout"]["properties"]["rings"]["items"]["$ref"],
            "#/components/schemas/Ring");
}

}  // namespace
}  // namespace tandem::fleet
