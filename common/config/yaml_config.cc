#include "common/config/yaml_config.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/timestamp.pb.h"
#include "yaml-cpp/yaml.h"

namespace tandem {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kDurationType[] = "google.protobuf.Duration";
constexpr char kTimestampType[] = "google.protobuf.Timestamp";

// How many single-character edits turn `a` into `b`; for "did you mean".
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

class ConfigReader {
 public:
  ConfigReader(std::string name, ConfigLines& lines) : name_(std::move(name)), lines_(lines) {
    lines_.file_ = name_;
    lines_.lines_.clear();
  }

  absl::Status ReadMessage(const YAML::Node& node, const std::string& path, Message& message) {
    if (node.IsNull() || !node.IsDefined()) return absl::OkStatus();
    const Descriptor& type = *message.GetDescriptor();
    if (type.full_name() == kDurationType) return ReadDuration(node, path, message);
    if (type.full_name() == kTimestampType) return ReadTimestamp(node, path, message);
    if (!node.IsMap()) return Error(node, absl::StrCat(Named(path), " must be a mapping of ", Keys(type)));
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string key = entry.first.Scalar();
      const FieldDescriptor* field = type.FindFieldByName(key);
      const std::string inner = path.empty() ? key : absl::StrCat(path, ".", key);
      if (field == nullptr) return Error(entry.first, UnknownKey(type, key, path));
      if (!seen.insert(key).second) return Error(entry.first, absl::StrCat("\"", inner, "\" is given twice"));
      if (const auto* oneof = field->real_containing_oneof();
          oneof != nullptr && message.GetReflection()->HasOneof(message, oneof)) {
        const FieldDescriptor* other = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
        return Error(entry.first, absl::StrCat("\"", inner, "\" and \"", other->name(), "\" exclude each other"));
      }
      lines_.lines_[inner] = entry.first.Mark().line + 1;
      RETURN_IF_ERROR(ReadField(entry.second, inner, *field, message));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Error(const YAML::Node& node, const std::string& text) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ":", node.Mark().line + 1, ": ", text));
  }

  static std::string Named(const std::string& path) {
    return path.empty() ? std::string("the file") : absl::StrCat("\"", path, "\"");
  }

  static std::string Keys(const Descriptor& type) {
    std::vector<std::string> names;
    names.reserve(type.field_count());
    for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
    return absl::StrJoin(names, ", ");
  }

  static std::string UnknownKey(const Descriptor& type, const std::string& key, const std::string& path) {
    std::string best;
    size_t distance = 3;
    for (int i = 0; i < type.field_count(); ++i) {
      if (const size_t d = EditDistance(key, type.field(i)->name()); d < distance) {
        distance = d;
        best = type.field(i)->name();
      }
    }
    return absl::StrCat(
        "unknown key \"", key, "\" in ", Named(path), "; ",
        best.empty() ? absl::StrCat("known are: ", Keys(type)) : absl::StrCat("did you mean \"", best, "\"?"));
  }

  // Of text to text.
  absl::Status ReadMap(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                       Message& message) {
    const Descriptor& entry_type = *field.message_type();
    if (entry_type.map_value()->type() != FieldDescriptor::TYPE_STRING ||
        entry_type.map_key()->type() != FieldDescriptor::TYPE_STRING) {
      return Error(node, absl::StrCat(Named(path), " cannot be configured"));
    }
    if (node.IsNull()) return absl::OkStatus();
    if (!node.IsMap()) return Error(node, absl::StrCat(Named(path), " must be a mapping of names to text"));
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return Error(entry.first, absl::StrCat("a name in ", Named(path), " is no text"));
      const std::string key = entry.first.Scalar();
      const std::string inner = absl::StrCat(path, ".", key);
      if (!entry.second.IsScalar()) return Error(entry.second, absl::StrCat("\"", inner, "\" must be text"));
      if (!seen.insert(key).second) return Error(entry.first, absl::StrCat("\"", inner, "\" is given twice"));
      lines_.lines_[inner] = entry.first.Mark().line + 1;
      Message* const added = message.GetReflection()->AddMessage(&message, &field);
      RETURN_IF_ERROR(ReadValue(entry.first, inner, *entry_type.map_key(), *added, /*add=*/false));
      RETURN_IF_ERROR(ReadValue(entry.second, inner, *entry_type.map_value(), *added, /*add=*/false));
    }
    return absl::OkStatus();
  }

  absl::Status ReadField(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                         Message& message) {
    if (field.is_map()) return ReadMap(node, path, field, message);
    if (!field.is_repeated()) return ReadValue(node, path, field, message, /*add=*/false);
    if (!node.IsSequence()) return Error(node, absl::StrCat(Named(path), " must be a list"));
    for (size_t i = 0; i < node.size(); ++i) {
      const std::string inner = absl::StrCat(path, "[", i, "]");
      lines_.lines_[inner] = node[i].Mark().line + 1;
      RETURN_IF_ERROR(ReadValue(node[i], inner, field, message, /*add=*/true));
    }
    return absl::OkStatus();
  }

  absl::Status ReadValue(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                         Message& message, bool add) {
    const Reflection& reflection = *message.GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* child = add ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field);
      return ReadMessage(node, path, *child);
    }
    if (!node.IsScalar()) return Error(node, absl::StrCat(Named(path), " must be one value, ", Expected(field)));
    const std::string& text = node.Scalar();
    const auto wrong = [&] {
      return Error(node, absl::StrCat(Named(path), " is \"", text, "\", it must be ", Expected(field)));
    };
    const auto set = [&](auto setter, auto adder, auto value) {
      add ? (reflection.*adder)(&message, &field, value) : (reflection.*setter)(&message, &field, value);
      return absl::OkStatus();
    };
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        add ? reflection.AddString(&message, &field, text) : reflection.SetString(&message, &field, text);
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_BOOL: {
        bool value = false;
        if (!YAML::convert<bool>::decode(node, value)) return wrong();
        return set(&Reflection::SetBool, &Reflection::AddBool, value);
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        int32_t value = 0;
        if (!absl::SimpleAtoi(text, &value)) return wrong();
        return set(&Reflection::SetInt32, &Reflection::AddInt32, value);
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        uint32_t value = 0;
        if (!absl::SimpleAtoi(text, &value)) return wrong();
        return set(&Reflection::SetUInt32, &Reflection::AddUInt32, value);
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        int64_t value = 0;
        if (!absl::SimpleAtoi(text, &value)) return wrong();
        return set(&Reflection::SetInt64, &Reflection::AddInt64, value);
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        uint64_t value = 0;
        if (!absl::SimpleAtoi(text, &value)) return wrong();
        return set(&Reflection::SetUInt64, &Reflection::AddUInt64, value);
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        double value = 0;
        if (!absl::SimpleAtod(text, &value)) return wrong();
        return set(&Reflection::SetDouble, &Reflection::AddDouble, value);
      }
      case FieldDescriptor::CPPTYPE_FLOAT: {
        float value = 0;
        if (!absl::SimpleAtof(text, &value)) return wrong();
        return set(&Reflection::SetFloat, &Reflection::AddFloat, value);
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto* value = field.enum_type()->FindValueByName(absl::AsciiStrToUpper(text));
        if (value == nullptr) return wrong();
        add ? reflection.AddEnum(&message, &field, value) : reflection.SetEnum(&message, &field, value);
        return absl::OkStatus();
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
    return wrong();
  }

  absl::Status ReadDuration(const YAML::Node& node, const std::string& path, Message& message) {
    absl::Duration duration;
    if (!node.IsScalar() || !absl::ParseDuration(node.Scalar(), &duration) || duration < absl::ZeroDuration() ||
        duration == absl::InfiniteDuration()) {
      return Error(node, absl::StrCat(Named(path), " must be a duration such as 500ms, 30s, 5m or 24h"));
    }
    auto& proto = static_cast<google::protobuf::Duration&>(message);
    proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
    proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
    return absl::OkStatus();
  }

  absl::Status ReadTimestamp(const YAML::Node& node, const std::string& path, Message& message) {
    absl::Time time;
    if (!node.IsScalar() || !absl::ParseTime(absl::RFC3339_full, node.Scalar(), &time, nullptr)) {
      return Error(node, absl::StrCat(Named(path), " must be a time such as 2026-12-01T22:00:00Z"));
    }
    static_cast<google::protobuf::Timestamp&>(message).set_seconds(absl::ToUnixSeconds(time));
    return absl::OkStatus();
  }

  static std::string Expected(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64:
        return "a whole number";
      case FieldDescriptor::CPPTYPE_UINT32:
      case FieldDescriptor::CPPTYPE_UINT64:
        return "a whole number from 0 up";
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return "a number";
      case FieldDescriptor::CPPTYPE_ENUM: {
        std::vector<std::string> names;
        names.reserve(field.enum_type()->value_count());
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          names.push_back(absl::AsciiStrToLower(field.enum_type()->value(i)->name()));
        }
        return absl::StrCat("one of ", absl::StrJoin(names, ", "));
      }
      default:
        return "text";
    }
  }

  std::string name_;
  ConfigLines& lines_;
};

std::string ConfigLines::Of(const std::string& path) const {
  for (std::string at = path; !at.empty(); at.resize(std::max(at.find_last_of(".["), size_t{0}))) {
    if (const auto found = lines_.find(at); found != lines_.end()) return absl::StrCat(file_, ":", found->second);
    if (at.find_last_of(".[") == std::string::npos) break;
  }
  return file_;
}

absl::Status LoadYamlText(const std::string& text, const std::string& name, Message& message, ConfigLines* lines) {
  message.Clear();
  ConfigLines unused;
  YAML::Node root;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      return absl::InvalidArgumentError(absl::StrCat(name, ":", documents[1].Mark().line + 1,
                                                     ": a second YAML document begins here, after \"---\" or \"...\"; "
                                                     "everything stands in one"));
    }
    if (!documents.empty()) root = documents[0];
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":", error.mark.line + 1, ": not YAML: ", error.msg));
  }
  try {
    return ConfigReader(name, lines == nullptr ? unused : *lines).ReadMessage(root, "", message);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":", error.mark.line + 1, ": ", error.msg));
  }
}

absl::Status LoadYamlFile(const std::string& path, Message& message, ConfigLines* lines) {
  // A stream opens a folder, too, and finds it empty.
  if (std::error_code error; std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(absl::StrCat("configuration ", path, " is a folder; name the file in it"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const absl::Status status = ErrnoStatus(errno, absl::StrCat("configuration ", path));
    return absl::Status(status.code(), absl::StrCat(status.message(), "; --config names another"));
  }
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) return absl::DataLossError(absl::StrCat("configuration ", path, " cannot be read"));
  return LoadYamlText(text.str(), path, message, lines);
}

absl::Status Require(const std::string& file, const Message& message, const std::vector<std::string>& fields) {
  for (const std::string& path : fields) {
    const Message* at = &message;
    const std::vector<std::string> names = absl::StrSplit(path, '.');
    for (size_t i = 0; i < names.size(); ++i) {
      const FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(names[i]);
      const bool is_set = field != nullptr && (field->is_repeated() ? at->GetReflection()->FieldSize(*at, field) > 0
                                                                    : at->GetReflection()->HasField(*at, field));
      if (!is_set) return absl::InvalidArgumentError(absl::StrCat(file, ": \"", path, "\" is missing; add it"));
      if (i + 1 < names.size()) at = &at->GetReflection()->GetMessage(*at, field);
    }
  }
  return absl::OkStatus();
}

absl::Duration DurationOr(bool is_set, const google::protobuf::Duration& value, absl::Duration otherwise) {
  return is_set ? absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos()) : otherwise;
}

}  // namespace tandem
