// Messages from the broker, and what their payloads are read into, in two steps and in one pass.
#include <google/protobuf/util/message_differencer.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/crypto/dsse.h"
#include "common/net/message_envelope.h"
#include "common/net/message_reader.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<tandem::MessageEnvelope> message =
      tandem::DecodeMessage({reinterpret_cast<const char*>(data), size});
  tandem::MessageEnvelope envelope;
  tandem::unit::v1::Reported reported;
  if (tandem::ReadMessage({reinterpret_cast<const char*>(data), size}, size, envelope, reported).ok()) {
    // One pass is never less strict.
    FUZZ_CHECK(message.ok());
    FUZZ_CHECK(envelope.msg_id == message->msg_id && envelope.seq == message->seq && envelope.ts == message->ts);
    tandem::unit::v1::Reported expected;
    FUZZ_CHECK(tandem::MessageFromJson(message->payload, expected).ok());
    FUZZ_CHECK(google::protobuf::util::MessageDifferencer::Equals(reported, expected));
  }
  if (!message.ok()) return 0;
  tandem::unit::v1::Ack ack;
  tandem::unit::v1::Wake wake;
  (void)tandem::ParseDsse(message->payload);
  (void)tandem::MessageFromJson(message->payload, ack);
  (void)tandem::MessageFromJson(message->payload, wake);
  const absl::StatusOr<std::string> written = tandem::EncodeMessage(*message);
  FUZZ_CHECK(written.ok());
  const absl::StatusOr<tandem::MessageEnvelope> again = tandem::DecodeMessage(*written);
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->msg_id == message->msg_id && again->seq == message->seq && again->epoch == message->epoch);
  return 0;
}
