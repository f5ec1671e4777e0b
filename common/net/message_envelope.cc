#include "common/net/message_envelope.h"

#include <google/protobuf/util/json_util.h>
#include <openssl/rand.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/crypto/strict_json.h"
#include "common/status/status.h"

namespace tandem {
namespace {

// Holds a desired state; brokers refuse larger messages anyway.
constexpr size_t kMaxMessageBytes = 40 << 20;
constexpr char kTimeFormat[] = "%Y-%m-%dT%H:%M:%E3SZ";

absl::StatusOr<std::string> StringMember(const nlohmann::json& object, const char* name, bool required) {
  const auto found = object.find(name);
  if (found == object.end() && !required) return std::string();
  if (found == object.end() || !found->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("message: \"", name, "\" is missing or no string"));
  }
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > kMaxMessageIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("message: \"", name, "\" has more than ", kMaxMessageIdBytes, " bytes"));
  }
  if (required && text.empty()) return absl::InvalidArgumentError(absl::StrCat("message: \"", name, "\" is empty"));
  return text;
}

absl::StatusOr<uint64_t> NumberMember(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0;
  if (!found->is_number_unsigned()) {
    return absl::InvalidArgumentError(absl::StrCat("message: \"", name, "\" is no whole number"));
  }
  return found->get<uint64_t>();
}

bool IsJsonObject(const std::string& text) {
  return absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{") && nlohmann::json::accept(text);
}

}  // namespace

UnitTopics::UnitTopics(std::string_view name_space, std::string_view unit_id) {
  const std::string unit = absl::StrCat(std::string(name_space), "/", std::string(unit_id), "/");
  desired = unit + "desired";
  wake = unit + "release/apply";
  verdict = unit + "release/verdict";
  ack = unit + "ack";
  reported = unit + "reported";
  feedback = unit + "release/feedback";
  applied = unit + "release/applied";
  provisional = unit + "release/provisional";
  presence = unit + "presence";
  diagnostics_command = unit + "diagnostics/cmd";
  diagnostics_result = unit + "diagnostics/result";
  key_sets = absl::StrCat(std::string(name_space), "/keysets");
}

absl::Status CheckTopicLevel(std::string_view id, std::string_view what) {
  const bool good = !id.empty() && id.size() <= 64 && std::ranges::all_of(id, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(what), " \"", std::string(id), "\" must be 1 to 64 of a-z A-Z 0-9 - _ ."));
}

absl::StatusOr<std::string> EncodeMessage(const MessageEnvelope& envelope) {
  if (!IsJsonObject(envelope.payload)) {
    return absl::InvalidArgumentError(absl::StrCat("message ", envelope.type, ": the payload is no JSON object"));
  }
  nlohmann::ordered_json object;
  object["v"] = kMessageVersion;
  object["msg_id"] = envelope.msg_id;
  object["type"] = envelope.type;
  object["ts"] = absl::FormatTime(kTimeFormat, envelope.ts, absl::UTCTimeZone());
  object["boot_id"] = envelope.boot_id;
  object["epoch"] = envelope.epoch;
  object["seq"] = envelope.seq;
  if (!envelope.run_id.empty()) object["run_id"] = envelope.run_id;
  if (!envelope.triggered_by.empty()) object["triggered_by"] = envelope.triggered_by;
  std::string json = object.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  // Signed documents are large: they are copied as they are, not taken apart and put together again.
  json.pop_back();
  absl::StrAppend(&json, ",\"payload\":", envelope.payload, "}");
  return json;
}

absl::StatusOr<MessageEnvelope> DecodeMessage(std::string_view json) {
  nlohmann::json payload;
  ASSIGN_OR_RETURN(MessageEnvelope envelope, DecodeMessage(json, payload));
  envelope.payload = payload.dump();
  return envelope;
}

absl::StatusOr<MessageEnvelope> DecodeMessage(std::string_view json, nlohmann::json& payload) {
  if (json.size() > kMaxMessageBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("message: it has ", json.size(), " bytes; at most ", kMaxMessageBytes, " are taken"));
  }
  ASSIGN_OR_RETURN(nlohmann::json object, Annotate(ParseStrictJson(json), "message"));
  if (!object.is_object()) return absl::InvalidArgumentError("message: no JSON object");
  ASSIGN_OR_RETURN(const uint64_t version, NumberMember(object, "v"));
  if (version != kMessageVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("message: version ", version, "; this program reads ", kMessageVersion));
  }
  MessageEnvelope envelope;
  ASSIGN_OR_RETURN(envelope.msg_id, StringMember(object, "msg_id", /*required=*/true));
  ASSIGN_OR_RETURN(envelope.type, StringMember(object, "type", /*required=*/true));
  ASSIGN_OR_RETURN(const std::string ts, StringMember(object, "ts", /*required=*/false));
  if (!ts.empty() && !absl::ParseTime(absl::RFC3339_full, ts, &envelope.ts, nullptr)) {
    return absl::InvalidArgumentError("message: \"ts\" is not a time such as 2026-11-21T10:00:00Z");
  }
  ASSIGN_OR_RETURN(envelope.boot_id, StringMember(object, "boot_id", /*required=*/false));
  ASSIGN_OR_RETURN(envelope.epoch, NumberMember(object, "epoch"));
  ASSIGN_OR_RETURN(envelope.seq, NumberMember(object, "seq"));
  ASSIGN_OR_RETURN(envelope.run_id, StringMember(object, "run_id", /*required=*/false));
  ASSIGN_OR_RETURN(envelope.triggered_by, StringMember(object, "triggered_by", /*required=*/false));
  const auto member = object.find("payload");
  if (member == object.end() || !member->is_object()) {
    return absl::InvalidArgumentError("message: \"payload\" is missing or no object");
  }
  payload = std::move(*member);
  return envelope;
}

std::string NewMessageId() {
  std::string bytes(16, '\0');
  // Without randomness there is no TLS either; the id would merely not be unique.
  RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  const std::string hex = HexEncode(bytes);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4), "-",
                      hex.substr(20));
}

absl::StatusOr<std::string> MessageToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (status.ok()) return json;
  return absl::InternalError(absl::StrCat("write JSON: ", std::string(status.message())));
}

absl::Status MessageFromJson(std::string_view json, google::protobuf::Message& message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message, options);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("payload is not a ", message.GetTypeName(), ": ", std::string(status.message())));
}

}  // namespace tandem
