#include "common/crypto/desired_documents.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/strict_json.h"
#include "common/status/status.h"

namespace tandem {
namespace {

// An update names a handful of releases; a bound keeps a hostile list from costing time.
constexpr size_t kMaxReleases = 64;
constexpr size_t kMaxKeySets = 1024;

absl::StatusOr<std::vector<std::string>> Objects(const nlohmann::json& object, const char* name, size_t limit) {
  std::vector<std::string> result;
  const auto found = object.find(name);
  if (found == object.end()) return result;
  if (!found->is_array() || found->size() > limit) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no array, or has more than ", limit, " entries"));
  }
  for (const nlohmann::json& entry : *found) {
    if (!entry.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat("an entry of \"", name, "\" is no DSSE object"));
    }
    result.push_back(entry.dump());
  }
  return result;
}

absl::StatusOr<nlohmann::json> ParseObject(std::string_view json) {
  if (json.size() > kMaxDesiredBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", json.size(), " bytes; at most ", kMaxDesiredBytes, " are taken"));
  }
  ASSIGN_OR_RETURN(nlohmann::json object, ParseStrictJson(json));
  if (!object.is_object()) return absl::InvalidArgumentError("no JSON object");
  return object;
}

template <typename Json>
absl::StatusOr<Json> Envelope(const std::string& text, const char* name) {
  Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError(absl::StrCat(name, " is not a DSSE object"));
  return object;
}

template <typename Json>
absl::StatusOr<Json> ToJson(const DesiredEnvelopes& desired) {
  Json object;
  ASSIGN_OR_RETURN(object["assignment"], Envelope<Json>(desired.assignment, "assignment"));
  object["releases"] = Json::array();
  for (const std::string& release : desired.releases) {
    ASSIGN_OR_RETURN(Json envelope, Envelope<Json>(release, "release"));
    object["releases"].push_back(std::move(envelope));
  }
  if (!desired.release_list.empty()) {
    ASSIGN_OR_RETURN(object["release_list"], Envelope<Json>(desired.release_list, "release_list"));
  }
  object["key_sets"] = Json::array();
  for (const std::string& key_set : desired.key_sets) {
    ASSIGN_OR_RETURN(Json envelope, Envelope<Json>(key_set, "key set"));
    object["key_sets"].push_back(std::move(envelope));
  }
  return object;
}

}  // namespace

absl::StatusOr<DesiredEnvelopes> ParseDesired(std::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json object, Annotate(ParseObject(json), "desired state"));
  return DesiredFromJson(object);
}

absl::StatusOr<DesiredEnvelopes> DesiredFromJson(const nlohmann::json& object) {
  if (!object.is_object()) return absl::InvalidArgumentError("desired state: no JSON object");
  DesiredEnvelopes desired;
  const auto assignment = object.find("assignment");
  if (assignment == object.end() || !assignment->is_object()) {
    return absl::InvalidArgumentError("desired state: \"assignment\" is missing or no DSSE object");
  }
  desired.assignment = assignment->dump();
  if (const auto list = object.find("release_list"); list != object.end()) {
    if (!list->is_object()) return absl::InvalidArgumentError("desired state: \"release_list\" is no DSSE object");
    desired.release_list = list->dump();
  }
  ASSIGN_OR_RETURN(desired.releases, Annotate(Objects(object, "releases", kMaxReleases), "desired state"));
  ASSIGN_OR_RETURN(desired.key_sets, Annotate(Objects(object, "key_sets", kMaxKeySets), "desired state"));
  return desired;
}

absl::StatusOr<std::string> SerializeDesired(const DesiredEnvelopes& desired) {
  ASSIGN_OR_RETURN(const nlohmann::ordered_json object, ToJson<nlohmann::ordered_json>(desired));
  return object.dump();
}

absl::StatusOr<nlohmann::json> DesiredToJson(const DesiredEnvelopes& desired) {
  return ToJson<nlohmann::json>(desired);
}

absl::StatusOr<std::vector<std::string>> ParseKeySets(std::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json object, Annotate(ParseObject(json), "key sets"));
  if (!object.contains("key_sets")) return absl::InvalidArgumentError("key sets: \"key_sets\" is missing");
  return Annotate(Objects(object, "key_sets", kMaxKeySets), "key sets");
}

absl::StatusOr<std::string> SerializeKeySets(const std::vector<std::string>& key_sets) {
  nlohmann::ordered_json object;
  object["key_sets"] = nlohmann::ordered_json::array();
  for (const std::string& key_set : key_sets) {
    ASSIGN_OR_RETURN(nlohmann::ordered_json envelope, Envelope<nlohmann::ordered_json>(key_set, "key set"));
    object["key_sets"].push_back(std::move(envelope));
  }
  return object.dump();
}

}  // namespace tandem
