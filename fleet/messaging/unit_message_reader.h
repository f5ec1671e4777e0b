// What comes on a unit's topic as a UnitMessage: one pass over the text, for thousands of messages a second.
#ifndef TANDEM_FLEET_MESSAGING_UNIT_MESSAGE_READER_H_
#define TANDEM_FLEET_MESSAGING_UNIT_MESSAGE_READER_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/messaging/unit_link.h"

namespace tandem::fleet {

struct UnitTopic {
  UnitMessage::Kind kind = UnitMessage::Kind::kReported;
  std::string unit_id;
};

// INVALID_ARGUMENT: not one of the namespace's topics that units write, or the unit id is none (CheckTopicLevel()).
absl::StatusOr<UnitTopic> ParseUnitTopic(std::string_view name_space, std::string_view topic);

// Fills `message`, whose kind and unit are `topic`'s. INVALID_ARGUMENT: ReadMessage() refuses it, or its type is not
// the topic's; `message` then holds its msg_id if that was read.
absl::Status ReadUnitMessage(const UnitTopic& topic, std::string_view json, size_t max_bytes, UnitMessage& message);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_MESSAGING_UNIT_MESSAGE_READER_H_
