// Reads a message envelope and its payload in one pass over the text, for a program that takes thousands of messages a
// second; as strict as DecodeMessage() and ParseStrictJson(), and several times as fast as these followed by
// MessageFromJson().
//
//   MessageEnvelope envelope;
//   unit::v1::Reported reported;
//   RETURN_IF_ERROR(ReadMessage(json, 256 << 10, envelope, reported));
#ifndef TANDEM_COMMON_NET_MESSAGE_READER_H_
#define TANDEM_COMMON_NET_MESSAGE_READER_H_

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "common/net/message_envelope.h"
#include "google/protobuf/message.h"

namespace tandem {

// Fills `payload` (empty before) and all of `envelope` but its payload text. Unknown members are ignored, on every
// level. INVALID_ARGUMENT with what is wrong: what DecodeMessage() refuses, more than `max_bytes`, a member twice, more
// than 64 levels, and a payload that is not one of its type. The envelope then holds what was read before the error, so
// that its msg_id may be known.
//
// Of proto3's JSON mapping it knows what units say: text, whole numbers (also as text), bool, floating point numbers,
// enums by name, messages, lists, maps of text to text, and timestamps. A field of another kind is refused.
absl::Status ReadMessage(std::string_view json, size_t max_bytes, MessageEnvelope& envelope,
                         google::protobuf::Message& payload);

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_MESSAGE_READER_H_
