#include "fleet/messaging/unit_message_reader.h"

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/net/message_envelope.h"
#include "common/net/message_reader.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

using Kind = UnitMessage::Kind;

struct Channel {
  std::string_view topic;
  Kind kind;
};
// What follows {ns}/{unit}/.
constexpr std::array<Channel, 6> kChannels = {{{"reported", Kind::kReported},
                                               {"presence", Kind::kPresence},
                                               {"release/feedback", Kind::kFeedback},
                                               {"release/provisional", Kind::kProvisional},
                                               {"release/applied", Kind::kApplied},
                                               {"diagnostics/result", Kind::kDiagnostic}}};

const char* TypeOf(Kind kind) {
  switch (kind) {
    case Kind::kReported:
      return kReportedMessage;
    case Kind::kPresence:
      return kPresenceMessage;
    case Kind::kFeedback:
      return kFeedbackMessage;
    case Kind::kProvisional:
      return kProvisionalMessage;
    case Kind::kApplied:
      return kAppliedMessage;
    case Kind::kDiagnostic:
      return kDiagnosticResultMessage;
  }
  return "";
}

google::protobuf::Message& PayloadFor(UnitMessage& message) {
  switch (message.kind) {
    case Kind::kReported:
      return message.payload.emplace<unit::v1::Reported>();
    case Kind::kPresence:
      return message.payload.emplace<unit::v1::Presence>();
    case Kind::kFeedback:
      return message.payload.emplace<unit::v1::Feedback>();
    case Kind::kDiagnostic:
      return message.payload.emplace<unit::v1::DiagnosticResult>();
    case Kind::kProvisional:
    case Kind::kApplied:
      break;
  }
  return message.payload.emplace<unit::v1::Applied>();
}

// Ready for a log: what stands in a topic may be anything.
absl::Status NoUnitTopic(std::string_view topic) {
  constexpr size_t kShown = 200;
  const std::string shown(topic.substr(0, kShown));
  return absl::InvalidArgumentError(absl::StrCat("topic \"", absl::CHexEscape(shown), "\" is none that a unit writes"));
}

}  // namespace

absl::StatusOr<UnitTopic> ParseUnitTopic(std::string_view name_space, std::string_view topic) {
  const bool ours =
      topic.starts_with(name_space) && topic.size() > name_space.size() && topic[name_space.size()] == '/';
  if (!ours) return NoUnitTopic(topic);
  const std::string_view rest = topic.substr(name_space.size() + 1);
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return NoUnitTopic(topic);
  const std::string_view unit_id = rest.substr(0, slash);
  if (!CheckTopicLevel(unit_id, "unit id").ok()) return NoUnitTopic(topic);
  for (const Channel& channel : kChannels) {
    if (rest.substr(slash + 1) == channel.topic) return UnitTopic{channel.kind, std::string(unit_id)};
  }
  return NoUnitTopic(topic);
}

absl::Status ReadUnitMessage(const UnitTopic& topic, std::string_view json, size_t max_bytes, UnitMessage& message) {
  message.kind = topic.kind;
  message.unit_id = topic.unit_id;
  MessageEnvelope envelope;
  const absl::Status status = ReadMessage(json, max_bytes, envelope, PayloadFor(message));
  message.msg_id = std::move(envelope.msg_id);
  message.sent_at = envelope.ts;
  message.epoch = envelope.epoch;
  message.seq = envelope.seq;
  message.boot_id = std::move(envelope.boot_id);
  message.run_id = std::move(envelope.run_id);
  message.triggered_by = std::move(envelope.triggered_by);
  // First: of a message in the wrong place the payload cannot be right.
  if (!envelope.type.empty() && envelope.type != TypeOf(topic.kind)) {
    return absl::InvalidArgumentError(absl::StrCat("a message of type \"", absl::CHexEscape(envelope.type),
                                                   "\" where \"", TypeOf(topic.kind), "\" belongs"));
  }
  return status;
}

}  // namespace tandem::fleet
