#include "tools/release/describe.h"

#include <google/protobuf/descriptor.h>

#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/artifacts/bundle.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/crypto/strict_json.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "tandem/release/v1/release.pb.h"
#include "tools/release/command.h"

namespace tandem::release_tool {
namespace {

using Json = nlohmann::ordered_json;

std::unique_ptr<google::protobuf::Message> NewDocument(const std::string& type) {
  if (type == kKeySetType) return std::make_unique<release::v1::KeySet>();
  if (type == kReleaseType) return std::make_unique<release::v1::Release>();
  if (type == kReleaseListType) return std::make_unique<release::v1::ReleaseList>();
  if (type == kAssignmentType) return std::make_unique<release::v1::Assignment>();
  return nullptr;
}

// proto3's JSON writes bytes as base64; people compare digests in hex. Chunk digests are only counted.
void BytesToHex(Json& value, const std::string& name) {
  if (value.is_object()) {
    for (auto& [key, member] : value.items()) BytesToHex(member, key);
  } else if (value.is_array()) {
    for (Json& element : value) BytesToHex(element, name);
  } else if (value.is_string() && (name == "sha256" || name == "release_digest" || name == "release_digests" ||
                                   name == "rollback_of" || name == "der" || name == "digests")) {
    if (absl::StatusOr<std::string> bytes = DecodeBase64Strict(value.get<std::string>()); bytes.ok()) {
      value = name == "digests" ? absl::StrCat(bytes->size() / kSha256Size, " chunk digests") : HexEncode(*bytes);
    }
  }
}

bool IsScalarList(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& e) { return e.is_primitive(); });
}

std::string ScalarText(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// Indented "name: value" lines, as in YAML.
void PrintTree(const Json& value, const std::string& indent) {
  for (const auto& [key, member] : value.items()) {
    const std::string label = value.is_array() ? indent + "-" : indent + key + ":";
    if (member.is_primitive()) {
      std::cout << label << " " << ScalarText(member) << "\n";
    } else if (IsScalarList(member)) {
      std::string list;
      for (const Json& element : member) absl::StrAppend(&list, list.empty() ? "" : ", ", ScalarText(element));
      std::cout << label << " " << list << "\n";
    } else {
      std::cout << label << "\n";
      PrintTree(member, indent + "  ");
    }
  }
}

absl::StatusOr<Json> DescribeDesired(const std::string& text) {
  ASSIGN_OR_RETURN(const DesiredEnvelopes desired, ParseDesired(text));
  Json result;
  ASSIGN_OR_RETURN(result["assignment"], DescribeEnvelope(desired.assignment));
  result["releases"] = Json::array();
  for (const std::string& envelope : desired.releases) {
    ASSIGN_OR_RETURN(Json release, DescribeEnvelope(envelope));
    result["releases"].push_back(std::move(release));
  }
  if (!desired.release_list.empty()) {
    ASSIGN_OR_RETURN(result["release_list"], DescribeEnvelope(desired.release_list));
  }
  result["key_sets"] = Json::array();
  for (const std::string& envelope : desired.key_sets) {
    ASSIGN_OR_RETURN(Json key_set, DescribeEnvelope(envelope));
    result["key_sets"].push_back(std::move(key_set));
  }
  return result;
}

absl::StatusOr<Json> DescribeBundle(const std::string& path) {
  ASSIGN_OR_RETURN(const cm::Bundle bundle, cm::OpenBundle(path));
  ASSIGN_OR_RETURN(const std::string desired, SerializeDesired(DocumentsOf(bundle)));
  ASSIGN_OR_RETURN(Json result, DescribeDesired(desired));
  result["artifacts"] = Json::array();
  for (const auto& [digest, range] : bundle.artifacts) {
    result["artifacts"].push_back({{"sha256", HexEncode(digest)}, {"size", range.size}, {"offset", range.offset}});
  }
  return result;
}

absl::StatusOr<Json> DescribeFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadJsonUnlessBundle(path));
  if (!text.has_value()) return DescribeBundle(path);
  ASSIGN_OR_RETURN(const nlohmann::json object, Annotate(ParseStrictJson(*text), path));
  if (object.contains("payloadType")) return Annotate(DescribeEnvelope(*text), path);
  if (object.contains("v")) {
    ASSIGN_OR_RETURN(const MessageEnvelope message, Annotate(DecodeMessage(*text), path));
    if (message.type != kDesiredMessage) return Json::parse(*text, nullptr, /*allow_exceptions=*/false);
    return Annotate(DescribeDesired(message.payload), path);
  }
  return Annotate(DescribeDesired(*text), path);
}

}  // namespace

absl::StatusOr<Json> DescribeEnvelope(const std::string& envelope) {
  ASSIGN_OR_RETURN(const DsseEnvelope parsed, ParseDsse(envelope));
  Json result;
  result["type"] = parsed.payload_type;
  result["digest"] = HexEncode(Sha256(parsed.payload));
  result["signed_by"] = Json::array();
  for (const DsseSignature& signature : parsed.signatures) result["signed_by"].push_back(signature.keyid);
  std::unique_ptr<google::protobuf::Message> document = NewDocument(parsed.payload_type);
  if (document == nullptr) return result;
  if (!document->ParseFromString(parsed.payload)) {
    return absl::InvalidArgumentError(absl::StrCat("the payload is no ", parsed.payload_type));
  }
  ASSIGN_OR_RETURN(const std::string json, MessageToJson(*document));
  result["document"] = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  BytesToHex(result["document"], "");
  return result;
}

absl::Status ShowFile(const std::string& path, bool json) {
  ASSIGN_OR_RETURN(const Json described, DescribeFile(path));
  if (json) {
    std::cout << described.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    PrintTree(described, "");
  }
  return absl::OkStatus();
}

}  // namespace tandem::release_tool
