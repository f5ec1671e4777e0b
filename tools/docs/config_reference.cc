#include "tools/docs/config_reference.h"

#include <algorithm>
#include <map>
#include <regex>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/descriptor.h"
#include "tools/docs/markdown.h"

namespace tandem::docs {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::SourceLocation;

constexpr char kDuration[] = "google.protobuf.Duration";

// A comment as one line.
std::string OneLine(const std::string& comment) {
  std::string text = absl::StrReplaceAll(comment, {{"\n", " "}});
  absl::RemoveExtraAsciiWhitespace(&text);
  return text;
}

template <typename D>
std::string CommentOf(const D* descriptor) {
  SourceLocation location;
  if (!descriptor->GetSourceLocation(&location)) return "";
  return OneLine(location.leading_comments);
}

// A heading's anchor as Git forges make it.
std::string Link(const Descriptor* message) {
  return absl::StrCat("[", message->name(), "](#", absl::AsciiStrToLower(message->name()), ")");
}

bool IsSection(const FieldDescriptor* field) {
  return field->message_type() != nullptr && field->message_type()->full_name() != kDuration && !field->is_map();
}

std::string EnumNames(const EnumDescriptor* type) {
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) {
    const std::string name = absl::AsciiStrToLower(type->value(i)->name());
    if (!absl::EndsWith(name, "_unspecified")) names.push_back(absl::StrCat("`", name, "`"));
  }
  return absl::StrJoin(names, ", ");
}

std::string ScalarName(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "number";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", EnumNames(field->enum_type()));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return IsSection(field) ? Link(field->message_type()) : "duration";
    default:
      return "whole number";
  }
}

std::string TypeName(const FieldDescriptor* field) {
  if (field->is_map()) return "map of text to text";
  return absl::StrCat(field->is_repeated() ? "list of " : "", ScalarName(field));
}

// What holds when neither the key nor its comment says anything.
std::string ImplicitDefault(const FieldDescriptor* field) {
  if (field->is_repeated() || field->has_presence()) return "";
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "false";
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumValueDescriptor* value = field->default_value_enum();
      return absl::EndsWith(value->name(), "_UNSPECIFIED") ? "" : absl::AsciiStrToLower(value->name());
    }
    default:
      return "";
  }
}

class Reference {
 public:
  Reference(const Descriptor* root, std::ostream& out) : root_(root), out_(out) { Visit(root, ""); }

  void Print() {
    for (const Descriptor* message : order_) PrintSection(message);
  }

 private:
  void Visit(const Descriptor* message, const std::string& path) {
    std::vector<std::string>& places = places_[message];
    if (!path.empty()) places.push_back(absl::StrCat("`", path, "`"));
    if (std::find(order_.begin(), order_.end(), message) != order_.end()) return;
    order_.push_back(message);
    for (int i = 0; i < message->field_count(); ++i) {
      const FieldDescriptor* field = message->field(i);
      if (!IsSection(field)) continue;
      Visit(field->message_type(), absl::StrCat(path, path.empty() ? "" : ".", field->name(),  //
                                                field->is_repeated() ? "[]" : ""));
    }
  }

  void PrintSection(const Descriptor* message) {
    if (message == root_) {
      out_ << "## Keys of the file\n\n";
    } else {
      out_ << "## " << message->name() << "\n\nAt " << absl::StrJoin(places_[message], ", ") << ".";
      const std::string comment = CommentOf(message);
      out_ << (comment.empty() ? "" : " ") << comment << "\n\n";
    }
    if (message->field_count() == 0) {
      out_ << "No keys: write `{}`.\n\n";
      return;
    }
    std::vector<std::vector<std::string>> rows;
    rows.reserve(message->field_count());
    for (int i = 0; i < message->field_count(); ++i) rows.push_back(Row(message->field(i)));
    PrintTable(out_, {"key", "type", "default", "meaning"}, rows);
    for (int i = 0; i < message->field_count(); ++i) PrintEnum(message->field(i));
  }

  static std::vector<std::string> Row(const FieldDescriptor* field) {
    KeyText text = ReadKeyComment(CommentOf(field));
    if (const auto* oneof = field->real_containing_oneof(); oneof != nullptr) {
      text.meaning =
          absl::StrCat(text.meaning, text.meaning.empty() ? "" : " ", "Exactly one ", oneof->name(), " is given.");
    }
    std::string default_value = text.required ? "**required**" : text.default_value;
    if (default_value.empty()) default_value = ImplicitDefault(field);
    return {absl::StrCat("`", field->name(), "`"), TypeName(field), default_value, text.meaning};
  }

  // The values of an enum, where they need explaining.
  void PrintEnum(const FieldDescriptor* field) {
    if (field->enum_type() == nullptr) return;
    std::vector<std::vector<std::string>> rows;
    for (int i = 0; i < field->enum_type()->value_count(); ++i) {
      const EnumValueDescriptor* value = field->enum_type()->value(i);
      const std::string comment = CommentOf(value);
      if (!comment.empty()) rows.push_back({absl::StrCat("`", absl::AsciiStrToLower(value->name()), "`"), comment});
    }
    if (!rows.empty()) PrintTable(out_, {absl::StrCat("`", field->name(), "`"), "meaning"}, rows);
  }

  const Descriptor* const root_;
  std::ostream& out_;
  std::vector<const Descriptor*> order_;
  std::map<const Descriptor*, std::vector<std::string>> places_;
};

// Files may come in any order; each needs its imports built first.
absl::Status Build(const FileDescriptorSet& files, DescriptorPool& pool) {
  for (const FileDescriptorProto& file : files.file()) {
    if (pool.BuildFile(file) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(file.name(), " does not fit the files it imports"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

KeyText ReadKeyComment(const std::string& comment) {
  KeyText text{.meaning = OneLine(comment)};
  if (text.meaning.ends_with("(required)")) {
    text.required = true;
    text.meaning.resize(text.meaning.size() - std::string("(required)").size());
  }
  // "..., default 30s." and "Default: /run/x.sock." at the end of a sentence.
  static const std::regex* const kDefault = new std::regex(R"((^|[;.] )[Dd]efault:? ((?:[^.]|\.\S)+)\.(?= |$))");
  std::smatch match;
  if (std::regex_search(text.meaning, match, *kDefault)) {
    text.default_value = match[2];
    const std::string before = match.prefix();
    std::string after = match.suffix();
    text.meaning = absl::StrCat(before, match[1].length() > 0 || !before.empty() ? "." : "", after);
    if (before.empty()) text.meaning = std::string(absl::StripAsciiWhitespace(after));
  }
  absl::StripAsciiWhitespace(&text.meaning);
  return text;
}

absl::Status PrintConfigReference(const FileDescriptorSet& files, const ConfigPage& page, std::ostream& out) {
  DescriptorPool pool;
  if (absl::Status status = Build(files, pool); !status.ok()) return status;
  const Descriptor* root = pool.FindMessageTypeByName(page.message);
  if (root == nullptr) return absl::NotFoundError(absl::StrCat("no message ", page.message));
  out << "# " << page.title << "\n\n";
  PrintOrigin(out, absl::StrCat("proto/", root->file()->name()));
  out << page.introduction << "\n\n";
  out << "Durations are written `500ms`, `30s`, `5m`, `1h30m`. Unknown keys, wrong types and impossible values are "
         "refused,\nwith the file, the line and the mend.\n\n";
  if (!page.example.empty()) {
    out << "## Example\n\n";
    PrintFenced(out, "yaml", page.example);
  }
  Reference(root, out).Print();
  return absl::OkStatus();
}

}  // namespace tandem::docs
