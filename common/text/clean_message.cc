#include "common/text/clean_message.h"

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace tandem {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void CleanString(Message& message, const FieldDescriptor& field, size_t limit) {
  const Reflection& reflection = *message.GetReflection();
  std::string scratch;
  const auto clean_if_needed = [limit](const std::string& text, auto set) {
    if (std::string clean = CleanText(text, limit); clean != text) set(std::move(clean));
  };
  if (!field.is_repeated()) {
    clean_if_needed(reflection.GetStringReference(message, &field, &scratch),
                    [&](std::string clean) { reflection.SetString(&message, &field, std::move(clean)); });
    return;
  }
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    clean_if_needed(reflection.GetRepeatedStringReference(message, &field, i, &scratch),
                    [&](std::string clean) { reflection.SetRepeatedString(&message, &field, i, std::move(clean)); });
  }
}

}  // namespace

void CleanTexts(Message& message, size_t limit) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->type() == FieldDescriptor::TYPE_STRING) {
      CleanString(message, *field, limit);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && field->is_repeated()) {
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        CleanTexts(*reflection.MutableRepeatedMessage(&message, field, i), limit);
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      CleanTexts(*reflection.MutableMessage(&message, field), limit);
    }
  }
}

}  // namespace tandem
