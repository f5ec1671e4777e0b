#include "fleet/api/http_request.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/strict_json.h"
#include "common/status/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"

namespace tandem::fleet {
namespace {

using google::protobuf::FieldDescriptor;

constexpr size_t kMaxUrlBytes = 8192;

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// INVALID_ARGUMENT: a broken escape, or a control character.
absl::StatusOr<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const std::optional<int> high = i + 2 < text.size() ? HexDigit(text[i + 1]) : std::nullopt;
      const std::optional<int> low = i + 2 < text.size() ? HexDigit(text[i + 2]) : std::nullopt;
      if (!high.has_value() || !low.has_value()) return absl::InvalidArgumentError("the URL has a broken % escape");
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return absl::InvalidArgumentError("the URL holds a control character");
    }
    decoded.push_back(c);
  }
  return decoded;
}

absl::StatusOr<std::vector<std::string>> SegmentsOf(std::string_view path) {
  if (path.empty() || path[0] != '/') return absl::InvalidArgumentError("the path must begin with /");
  std::vector<std::string> segments;
  for (const absl::string_view part : absl::StrSplit(absl::string_view(path.data() + 1, path.size() - 1), '/')) {
    ASSIGN_OR_RETURN(std::string segment, PercentDecode({part.data(), part.size()}, /*plus_is_space=*/false));
    if (segment.empty() || segment == "." || segment == "..") {
      return absl::InvalidArgumentError("the path has an empty part, \".\" or \"..\"");
    }
    segments.push_back(std::move(segment));
  }
  return segments;
}

// What the braces of `route` stand for; nullopt: it is another path.
std::optional<std::map<std::string, std::string>> MatchPath(const Route& route,
                                                            const std::vector<std::string>& segments) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(route.path.substr(1)), '/');
  if (parts.size() != segments.size()) return std::nullopt;
  std::map<std::string, std::string> fields;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].front() == '{') {
      fields[parts[i].substr(1, parts[i].size() - 2)] = segments[i];
    } else if (parts[i] != segments[i]) {
      return std::nullopt;
    }
  }
  return fields;
}

absl::Status AddQuery(std::string_view query, std::map<std::string, std::string>& fields) {
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(query.data(), query.size()), '&', absl::SkipEmpty())) {
    const size_t equals = part.find('=');
    const std::string_view all(part.data(), part.size());
    ASSIGN_OR_RETURN(const std::string name, PercentDecode(all.substr(0, equals), /*plus_is_space=*/true));
    const std::string_view rest = equals == absl::string_view::npos ? std::string_view() : all.substr(equals + 1);
    ASSIGN_OR_RETURN(const std::string value, PercentDecode(rest, /*plus_is_space=*/true));
    if (!fields.emplace(name, value).second) {
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is given twice"));
    }
  }
  return absl::OkStatus();
}

// Numbers, enums, times and durations are texts in proto3 JSON, or may be; booleans are not.
absl::StatusOr<nlohmann::json> JsonOf(const FieldDescriptor& field, const std::string& text) {
  const bool well_known =
      field.message_type() != nullptr && absl::StartsWith(field.message_type()->full_name(), "google.protobuf.");
  if (field.is_repeated() || (field.message_type() != nullptr && !well_known)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", field.name(), "\" cannot stand in the URL"));
  }
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_BOOL) return nlohmann::json(text);
  if (text == "true") return nlohmann::json(true);
  if (text == "false") return nlohmann::json(false);
  return absl::InvalidArgumentError(absl::StrCat("\"", field.name(), "\" must be true or false"));
}

absl::StatusOr<nlohmann::json> ParseBody(std::string_view body) {
  if (absl::StripAsciiWhitespace(absl::string_view(body.data(), body.size())).empty()) return nlohmann::json::object();
  ASSIGN_OR_RETURN(nlohmann::json json, Annotate(ParseStrictJson(body), "the body"));
  if (!json.is_object()) return absl::InvalidArgumentError("the body must be a JSON object");
  return json;
}

}  // namespace

absl::StatusOr<RoutedRequest> RouteRequest(std::string_view verb, std::string_view target) {
  if (target.size() > kMaxUrlBytes) return absl::InvalidArgumentError("the URL is too long");
  const size_t question = target.find('?');
  ASSIGN_OR_RETURN(const std::vector<std::string> segments, SegmentsOf(target.substr(0, question)));
  bool other_verb = false;
  for (const Route& route : Routes()) {
    std::optional<std::map<std::string, std::string>> fields = MatchPath(route, segments);
    if (!fields.has_value()) continue;
    if (route.verb != verb) {
      other_verb = true;
      continue;
    }
    RoutedRequest routed{&route, *std::move(fields)};
    if (question != std::string_view::npos) {
      RETURN_IF_ERROR(AddQuery(target.substr(question + 1), routed.fields));
    }
    return routed;
  }
  if (other_verb) return absl::UnimplementedError(absl::StrCat("this path does not take ", std::string(verb)));
  return absl::NotFoundError("there is no such path; GET /v1/openapi.json has them all");
}

absl::Status FillRequest(const RoutedRequest& routed, std::string_view body, google::protobuf::Message& request) {
  ASSIGN_OR_RETURN(nlohmann::json json, ParseBody(body));
  for (const auto& [name, value] : routed.fields) {
    const FieldDescriptor* field = request.GetDescriptor()->FindFieldByName(name);
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", name, "\" is no parameter of ", std::string(routed.route->method)));
    }
    if (json.contains(name) || json.contains(field->json_name())) {
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" stands in the URL and in the body"));
    }
    ASSIGN_OR_RETURN(json[name], JsonOf(*field, value));
  }
  // Texts of the URL may be no UTF-8.
  const std::string text = json.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &request, options);
  if (status.ok()) return absl::OkStatus();
  const auto message = status.message();
  return absl::InvalidArgumentError(std::string(message.data(), message.size()));
}

std::string ErrorJson(const absl::Status& status) {
  nlohmann::ordered_json error;
  error["code"] = absl::StatusCodeToString(status.code());
  error["message"] = std::string(status.message());
  nlohmann::ordered_json json;
  json["error"] = std::move(error);
  return json.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace) + "\n";
}

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnimplemented:
      return 405;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "{}";
  return json;
}

}  // namespace tandem::fleet
