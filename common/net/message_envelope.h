// The JSON envelope of every message between unit and fleet:
//
//   {"v":2,"msg_id":"…","type":"feedback","ts":"2026-11-21T10:00:00.123Z","boot_id":"…","epoch":3,"seq":17,"payload":{…}}
//
// (epoch, seq) orders what one sender says, whatever order it arrives in; msg_id is what `ack` names. Optional:
// run_id and triggered_by, before payload.
#ifndef TANDEM_COMMON_NET_MESSAGE_ENVELOPE_H_
#define TANDEM_COMMON_NET_MESSAGE_ENVELOPE_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"

namespace tandem {

// The version of this format, and the most that an id in it may have.
inline constexpr int kMessageVersion = 2;
inline constexpr size_t kMaxMessageIdBytes = 128;

// Values of `type`.
inline constexpr char kDesiredMessage[] = "desired";
inline constexpr char kKeySetsMessage[] = "keysets";
inline constexpr char kWakeMessage[] = "wake";
inline constexpr char kVerdictMessage[] = "verdict";
inline constexpr char kAckMessage[] = "ack";
inline constexpr char kReportedMessage[] = "reported";
inline constexpr char kFeedbackMessage[] = "feedback";
inline constexpr char kAppliedMessage[] = "applied";
inline constexpr char kProvisionalMessage[] = "provisional";
inline constexpr char kPresenceMessage[] = "presence";
inline constexpr char kDiagnosticRunMessage[] = "diagnostic.run";
inline constexpr char kDiagnosticResultMessage[] = "diagnostic.result";

// Topics of one unit, and of the whole namespace.
struct UnitTopics {
  UnitTopics(std::string_view name_space, std::string_view unit_id);
  std::string desired;
  std::string wake;
  std::string verdict;
  std::string ack;
  std::string reported;
  std::string feedback;
  std::string applied;
  std::string provisional;
  std::string presence;
  std::string diagnostics_command;
  std::string diagnostics_result;
  std::string key_sets;
};

// INVALID_ARGUMENT unless `id` is 1 to 64 of a-z A-Z 0-9 - _ . : what may stand in a topic.
absl::Status CheckTopicLevel(std::string_view id, std::string_view what);

struct MessageEnvelope {
  // Unique; see NewMessageId().
  std::string msg_id;
  std::string type;
  absl::Time ts;
  std::string boot_id;
  uint64_t epoch = 0;
  uint64_t seq = 0;
  std::string run_id;
  std::string triggered_by;
  // A JSON object.
  std::string payload;
};

// INVALID_ARGUMENT when the payload is not a JSON object.
absl::StatusOr<std::string> EncodeMessage(const MessageEnvelope& envelope);

// Unknown members are ignored. INVALID_ARGUMENT with what is wrong: another version, no msg_id, no payload, too large.
absl::StatusOr<MessageEnvelope> DecodeMessage(std::string_view json);
// For a payload that is read further: it is given as it was parsed, and the envelope has none.
absl::StatusOr<MessageEnvelope> DecodeMessage(std::string_view json, nlohmann::json& payload);

// A random UUID.
std::string NewMessageId();

// proto3's JSON mapping with the field names of the .proto; unknown members are ignored when reading.
absl::StatusOr<std::string> MessageToJson(const google::protobuf::Message& message);
absl::Status MessageFromJson(std::string_view json, google::protobuf::Message& message);

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_MESSAGE_ENVELOPE_H_
