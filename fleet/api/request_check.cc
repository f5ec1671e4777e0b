#include "fleet/api/request_check.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/dsse.h"
#include "common/status/status.h"
#include "google/protobuf/descriptor.h"

namespace tandem::fleet {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxCertificateBytes = 64 << 10;

struct TextRule {
  size_t bytes = kMaxTextBytes;
  // Line feeds, carriage returns and tabs.
  bool lines = false;
};

TextRule RuleOf(const FieldDescriptor& field) {
  const std::string& name = field.name();
  if (name == "envelope" || name == "envelopes") return {.bytes = kMaxEnvelopeBytes, .lines = true};
  if (name == "certificate") return {.bytes = kMaxCertificateBytes, .lines = true};
  // Expressions, and what units run: both may be written over several lines.
  if (name == "target" || name == "filter") return {.lines = true};
  if (absl::StartsWith(field.containing_type()->full_name(), "tandem.release.")) return {.lines = true};
  return {};
}

absl::Status CheckText(const FieldDescriptor& field, const std::string& path, const std::string& text) {
  const TextRule rule = RuleOf(field);
  if (text.size() > rule.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", text.size(), " bytes; at most ", rule.bytes, " are taken"));
  }
  for (const char c : text) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (control && !(rule.lines && (c == '\n' || c == '\r' || c == '\t'))) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " holds a control character (code ", static_cast<int>(c), ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMessage(const Message& message, const std::string& prefix) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = absl::StrCat(prefix, field->name());
    const int size = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    if (size > kMaxItems) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " has ", size, " items; at most ", kMaxItems, " are taken at a time"));
    }
    for (int i = 0; i < size; ++i) {
      const std::string here = field->is_repeated() ? absl::StrCat(path, "[", i, "]") : path;
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        const Message& inner = field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                    : reflection.GetMessage(message, field);
        RETURN_IF_ERROR(CheckMessage(inner, absl::StrCat(here, ".")));
      } else if (field->type() == FieldDescriptor::TYPE_STRING) {
        RETURN_IF_ERROR(CheckText(*field, here,
                                  field->is_repeated() ? reflection.GetRepeatedString(message, field, i)
                                                       : reflection.GetString(message, field)));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const google::protobuf::Message& request) { return CheckMessage(request, ""); }

}  // namespace tandem::fleet
