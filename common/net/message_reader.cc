#include "common/net/message_reader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/timestamp.pb.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/strict_json.h"

namespace tandem {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

enum class Member {
  kFormat,
  kMsgId,
  kType,
  kTime,
  kBootId,
  kEpoch,
  kSeq,
  kRunId,
  kTriggeredBy,
  kPayload,
};
constexpr std::array<std::string_view, 10> kMembers = {"v",     "msg_id", "type",   "ts",           "boot_id",
                                                       "epoch", "seq",    "run_id", "triggered_by", "payload"};

enum class Place { kEnvelope, kMessage, kMap, kList, kUnknown };

// An object or list that is open.
struct Frame {
  Place place = Place::kUnknown;
  // Of kMessage, kMap and kList: the message that is filled.
  Message* message = nullptr;
  // Of kMap and kList: the repeated field. Of kMessage: the field whose value comes next; nullptr: an unknown one.
  const FieldDescriptor* field = nullptr;
  // Of kEnvelope: the member whose value comes next.
  std::optional<Member> member;
  // Of kMap: the key whose value comes next.
  std::string key;
  // Which members came: known ones by their number, others by name.
  uint64_t seen = 0;
  absl::flat_hash_set<std::string> names;
};

class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  Reader(MessageEnvelope& envelope, Message& payload) : envelope_(envelope), payload_(payload) { frames_.reserve(8); }

  bool null() override {
    if (frames_.empty()) return Fail("message: no JSON object");
    switch (Top().place) {
      case Place::kEnvelope:
        return Top().member.has_value() ? WrongMember() : true;
      case Place::kMessage:
        // A null is as if the field was not there.
        return true;
      case Place::kMap:
      case Place::kList:
        return WrongValue("null");
      case Place::kUnknown:
        return true;
    }
    return false;
  }

  bool boolean(bool value) override {
    if (!OnValue()) return false;
    const FieldDescriptor* const field = Target();
    if (field == nullptr) return NoMember();
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_BOOL || InMap() || IsListWithoutOne(*field))
      return WrongValue("a bool");
    const auto& [message, reflection] = Filled();
    field->is_repeated() ? reflection->AddBool(message, field, value) : reflection->SetBool(message, field, value);
    return true;
  }

  bool number_integer(number_integer_t value) override {
    if (!OnValue()) return false;
    if (Target() == nullptr) return NoMember();
    // The parser calls this for negative ones only.
    return SetSigned(value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!OnValue()) return false;
    if (const Frame& top = Top(); top.place == Place::kEnvelope && top.member.has_value()) return SetNumber(value);
    if (Target() == nullptr) return NoMember();
    return SetUnsigned(value);
  }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    if (!OnValue()) return false;
    const FieldDescriptor* const field = Target();
    if (field == nullptr) return NoMember();
    if (InMap() || IsListWithoutOne(*field)) return WrongValue("a number");
    const auto& [message, reflection] = Filled();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
      field->is_repeated() ? reflection->AddDouble(message, field, value)
                           : reflection->SetDouble(message, field, value);
      return true;
    }
    // 3e2 and 3.0 are whole numbers.
    if (std::trunc(value) != value || std::fabs(value) > 9007199254740992.0) return WrongValue("a fraction");
    return value < 0 ? SetSigned(static_cast<int64_t>(value)) : SetUnsigned(static_cast<uint64_t>(value));
  }

  bool string(string_t& value) override {
    if (!OnValue()) return false;
    Frame& top = Top();
    if (top.place == Place::kEnvelope && top.member.has_value()) return SetText(value);
    const FieldDescriptor* const field = Target();
    if (field == nullptr) return NoMember();
    if (top.place == Place::kMap) return AddToMap(top, value);
    if (IsListWithoutOne(*field)) return WrongValue("text");
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING: {
        if (field->type() == FieldDescriptor::TYPE_BYTES) return WrongValue("bytes, which are not read here");
        const auto& [message, reflection] = Filled();
        field->is_repeated() ? reflection->AddString(message, field, std::move(value))
                             : reflection->SetString(message, field, std::move(value));
        return true;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return SetTimestamp(field, value);
      case FieldDescriptor::CPPTYPE_ENUM:
        return SetEnum(field, value);
      default:
        return SetNumberText(value);
    }
  }
  bool binary(binary_t& /*value*/) override { return false; }

  bool start_object(std::size_t /*elements*/) override {
    if (frames_.size() >= kMaxJsonDepth) return TooDeep();
    if (frames_.empty()) {
      Push({.place = Place::kEnvelope});
      return true;
    }
    Frame& top = Top();
    if (top.place == Place::kEnvelope && top.member.has_value()) {
      if (*top.member != Member::kPayload) return WrongMember();
      Push({.place = Place::kMessage, .message = &payload_});
      return true;
    }
    const FieldDescriptor* const field = Target();
    if (field == nullptr) {
      Push({.place = Place::kUnknown});
      return true;
    }
    Message* const message = top.message;
    const Reflection* const reflection = message->GetReflection();
    if (top.place == Place::kMap) return WrongValue("an object");
    if (field->is_map() && top.place == Place::kMessage) {
      Push({.place = Place::kMap, .message = message, .field = field});
      return true;
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || IsTimestamp(*field)) return WrongValue("an object");
    // List and single one alike: a list's field is only a list's frame's.
    if (field->is_repeated() != (top.place == Place::kList)) return WrongValue("an object");
    Push({.place = Place::kMessage,
          .message = field->is_repeated() ? reflection->AddMessage(message, field)
                                          : reflection->MutableMessage(message, field)});
    return true;
  }

  bool key(string_t& name) override {
    Frame& top = Top();
    switch (top.place) {
      case Place::kEnvelope:
        top.member = FindMember(name);
        if (top.member.has_value()) return NoteSeen(top, static_cast<int>(*top.member), name);
        break;
      case Place::kMessage: {
        // As protobuf's reader.
        if (name.empty()) return Fail("a member has no name");
        const Descriptor& type = *top.message->GetDescriptor();
        top.field = type.FindFieldByName(name);
        if (top.field == nullptr) top.field = type.FindFieldByCamelcaseName(name);
        if (top.field == nullptr) break;
        if (const auto* oneof = top.field->real_containing_oneof();
            oneof != nullptr && top.message->GetReflection()->HasOneof(*top.message, oneof)) {
          return Fail(absl::StrCat("member \"", name, "\" excludes another one"));
        }
        if (top.field->index() < 64) return NoteSeen(top, top.field->index(), name);
        return NoteName(top, top.field->name());
      }
      case Place::kMap:
        top.key = name;
        break;
      case Place::kList:
      case Place::kUnknown:
        break;
    }
    return NoteName(top, name);
  }
  bool end_object() override { return Pop(); }

  bool start_array(std::size_t /*elements*/) override {
    if (frames_.empty()) return Fail("message: no JSON object");
    if (frames_.size() >= kMaxJsonDepth) return TooDeep();
    Frame& top = Top();
    if (top.place == Place::kEnvelope && top.member.has_value()) return WrongMember();
    const FieldDescriptor* const field = Target();
    if (field == nullptr) {
      Push({.place = Place::kUnknown});
      return true;
    }
    if (top.place != Place::kMessage || !field->is_repeated() || field->is_map()) return WrongValue("a list");
    Push({.place = Place::kList, .message = top.message, .field = field});
    return true;
  }
  bool end_array() override { return Pop(); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*exception*/) override {
    return Fail(absl::StrCat("not JSON at byte ", position));
  }

  // After the text was read.
  absl::Status Finish() {
    if (version_ != kMessageVersion) {
      return absl::InvalidArgumentError(
          absl::StrCat("message: version ", version_, "; this program reads ", kMessageVersion));
    }
    for (const auto& [text, name] : {std::pair(&envelope_.msg_id, "msg_id"), std::pair(&envelope_.type, "type")}) {
      if (text->empty()) return absl::InvalidArgumentError(absl::StrCat("message: \"", name, "\" is missing or empty"));
    }
    if (!payload_seen_) return absl::InvalidArgumentError("message: \"payload\" is missing or no object");
    return absl::OkStatus();
  }
  absl::Status error() const {
    return absl::InvalidArgumentError(error_.empty() ? std::string("message: not JSON") : error_);
  }

 private:
  Frame& Top() { return frames_.back(); }
  void Push(Frame frame) {
    if (frame.place == Place::kMessage && frame.message == &payload_) payload_seen_ = true;
    frames_.push_back(std::move(frame));
  }
  bool Pop() {
    frames_.pop_back();
    return true;
  }
  bool Fail(std::string text) {
    if (error_.empty()) error_ = absl::StrCat("message: ", text);
    return false;
  }
  bool TooDeep() { return Fail(absl::StrCat("JSON nests deeper than ", kMaxJsonDepth)); }
  // For a value that is no object and no list: the text is more than one value.
  bool OnValue() { return frames_.empty() ? Fail("no JSON object") : true; }
  // An envelope's member must have another type; a member nobody knows may have any.
  bool NoMember() { return Top().place == Place::kEnvelope && Top().member.has_value() ? WrongMember() : true; }
  bool WrongMember() {
    static constexpr std::array<std::string_view, 10> kWanted = {
        "no whole number",      "missing or no string", "missing or no string", "missing or no string",
        "missing or no string", "no whole number",      "no whole number",      "missing or no string",
        "missing or no string", "missing or no object"};
    const auto index = static_cast<size_t>(*Top().member);
    return Fail(absl::StrCat("\"", std::string(kMembers[index]), "\" is ", std::string(kWanted[index])));
  }
  bool WrongValue(const char* found) {
    const Frame& top = Top();
    return Fail(absl::StrCat("payload is not a ", payload_.GetTypeName(), ": \"",
                             top.field == nullptr ? "" : top.field->full_name(), "\" is ", found));
  }
  bool InMap() { return Top().place == Place::kMap; }

  static std::optional<Member> FindMember(const std::string& name) {
    for (size_t i = 0; i < kMembers.size(); ++i) {
      if (name == kMembers[i]) return static_cast<Member>(i);
    }
    return std::nullopt;
  }
  bool NoteSeen(Frame& frame, int number, const std::string& name) {
    const uint64_t bit = uint64_t{1} << number;
    if ((frame.seen & bit) != 0) return Fail(absl::StrCat("member \"", name, "\" occurs twice"));
    frame.seen |= bit;
    return true;
  }
  bool NoteName(Frame& frame, const std::string& name) {
    if (frame.names.insert(name).second) return true;
    return Fail(absl::StrCat("member \"", name, "\" occurs twice"));
  }

  // The field that a value belongs to; nullptr: to none of the payload's.
  const FieldDescriptor* Target() {
    const Frame& top = Top();
    if (top.place == Place::kEnvelope || top.place == Place::kUnknown) return nullptr;
    return top.field;
  }
  // A repeated field takes values from its list only.
  bool IsListWithoutOne(const FieldDescriptor& field) { return field.is_repeated() && Top().place == Place::kMessage; }
  std::pair<Message*, const Reflection*> Filled() {
    Message* const message = Top().message;
    return {message, message->GetReflection()};
  }
  static bool IsTimestamp(const FieldDescriptor& field) {
    return field.message_type() == google::protobuf::Timestamp::descriptor();
  }

  bool SetNumber(uint64_t value) {
    switch (*Top().member) {
      case Member::kFormat:
        version_ = value;
        return true;
      case Member::kEpoch:
        envelope_.epoch = value;
        return true;
      case Member::kSeq:
        envelope_.seq = value;
        return true;
      default:
        return WrongMember();
    }
  }

  bool SetText(std::string& value) {
    const Member member = *Top().member;
    std::string* text = nullptr;
    switch (member) {
      case Member::kMsgId:
        text = &envelope_.msg_id;
        break;
      case Member::kType:
        text = &envelope_.type;
        break;
      case Member::kBootId:
        text = &envelope_.boot_id;
        break;
      case Member::kRunId:
        text = &envelope_.run_id;
        break;
      case Member::kTriggeredBy:
        text = &envelope_.triggered_by;
        break;
      case Member::kTime:
        break;
      default:
        return WrongMember();
    }
    if (value.size() > kMaxMessageIdBytes) {
      return Fail(absl::StrCat("\"", std::string(kMembers[static_cast<size_t>(member)]), "\" has more than ",
                               kMaxMessageIdBytes, " bytes"));
    }
    if (text != nullptr) {
      *text = std::move(value);
      return true;
    }
    if (value.empty() || absl::ParseTime(absl::RFC3339_full, value, &envelope_.ts, nullptr)) return true;
    return Fail("\"ts\" is not a time such as 2026-11-21T10:00:00Z");
  }

  bool SetUnsigned(uint64_t value) {
    const FieldDescriptor* const field = Target();
    if (InMap() || IsListWithoutOne(*field)) return WrongValue("a number");
    const auto& [message, reflection] = Filled();
    const bool add = field->is_repeated();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_UINT64:
        add ? reflection->AddUInt64(message, field, value) : reflection->SetUInt64(message, field, value);
        return true;
      case FieldDescriptor::CPPTYPE_UINT32: {
        if (value > UINT32_MAX) return WrongValue("too large");
        const auto small = static_cast<uint32_t>(value);
        add ? reflection->AddUInt32(message, field, small) : reflection->SetUInt32(message, field, small);
        return true;
      }
      default:
        if (value > INT64_MAX) return WrongValue("too large");
        return SetSigned(static_cast<int64_t>(value));
    }
  }

  bool SetSigned(int64_t value) {
    const FieldDescriptor* const field = Target();
    if (InMap() || IsListWithoutOne(*field)) return WrongValue("a number");
    const auto& [message, reflection] = Filled();
    const bool add = field->is_repeated();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT64:
        add ? reflection->AddInt64(message, field, value) : reflection->SetInt64(message, field, value);
        return true;
      case FieldDescriptor::CPPTYPE_INT32: {
        if (value > INT32_MAX || value < INT32_MIN) return WrongValue("too large");
        const auto small = static_cast<int32_t>(value);
        add ? reflection->AddInt32(message, field, small) : reflection->SetInt32(message, field, small);
        return true;
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const auto wide = static_cast<double>(value);
        add ? reflection->AddDouble(message, field, wide) : reflection->SetDouble(message, field, wide);
        return true;
      }
      default:
        return WrongValue("a number");
    }
  }

  // 64-bit numbers are written as text.
  bool SetNumberText(const std::string& text) {
    const size_t first = !text.empty() && text[0] == '-' ? 1 : 0;
    if (text.size() <= first || !absl::ascii_isdigit(static_cast<unsigned char>(text[first]))) {
      return WrongValue("text");
    }
    if (first == 1) {
      int64_t value = 0;
      return absl::SimpleAtoi(text, &value) && absl::ascii_isdigit(static_cast<unsigned char>(text.back()))
                 ? SetSigned(value)
                 : WrongValue("text");
    }
    uint64_t value = 0;
    // SimpleAtoi() would take a space at the end.
    return absl::SimpleAtoi(text, &value) && absl::ascii_isdigit(static_cast<unsigned char>(text.back()))
               ? SetUnsigned(value)
               : WrongValue("text");
  }

  bool SetEnum(const FieldDescriptor* field, const std::string& name) {
    const auto* const value = field->enum_type()->FindValueByName(name);
    // One that a newer program knows.
    if (value == nullptr) return true;
    const auto& [message, reflection] = Filled();
    field->is_repeated() ? reflection->AddEnum(message, field, value) : reflection->SetEnum(message, field, value);
    return true;
  }

  bool SetTimestamp(const FieldDescriptor* field, const std::string& text) {
    absl::Time time;
    if (!IsTimestamp(*field) || field->is_repeated()) return WrongValue("text");
    if (!absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) return WrongValue("no time");
    const int64_t seconds = absl::ToUnixSeconds(time);
    // Years 1 to 9999, as the type says.
    if (seconds < -62135596800 || seconds > 253402300799) return WrongValue("no time");
    const auto& [message, reflection] = Filled();
    auto& timestamp = static_cast<google::protobuf::Timestamp&>(*reflection->MutableMessage(message, field));
    timestamp.set_seconds(seconds);
    timestamp.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
    return true;
  }

  bool AddToMap(Frame& top, std::string& value) {
    const FieldDescriptor* const key_field = top.field->message_type()->map_key();
    const FieldDescriptor* const value_field = top.field->message_type()->map_value();
    if (key_field->type() != FieldDescriptor::TYPE_STRING || value_field->type() != FieldDescriptor::TYPE_STRING) {
      return WrongValue("a map that is not read here");
    }
    Message* const entry = top.message->GetReflection()->AddMessage(top.message, top.field);
    entry->GetReflection()->SetString(entry, key_field, std::move(top.key));
    entry->GetReflection()->SetString(entry, value_field, std::move(value));
    return true;
  }

  MessageEnvelope& envelope_;
  Message& payload_;
  std::vector<Frame> frames_;
  uint64_t version_ = 0;
  bool payload_seen_ = false;
  std::string error_;
};

}  // namespace

absl::Status ReadMessage(std::string_view json, size_t max_bytes, MessageEnvelope& envelope, Message& payload) {
  if (json.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("message: it has ", json.size(), " bytes; at most ", max_bytes, " are taken"));
  }
  Reader reader(envelope, payload);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) return reader.error();
  return reader.Finish();
}

}  // namespace tandem
