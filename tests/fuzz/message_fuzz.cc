// Messages from the broker, and what their payloads are read into.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/net/message_envelope.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<tandem::MessageEnvelope> message =
      tandem::DecodeMessage({reinterpret_cast<const char*>(data), size});
  if (!message.ok()) return 0;
  tandem::unit::v1::Verdict verdict;
  tandem::unit::v1::Ack ack;
  tandem::unit::v1::Wake wake;
  (void)tandem::MessageFromJson(message->payload, verdict);
  (void)tandem::MessageFromJson(message->payload, ack);
  (void)tandem::MessageFromJson(message->payload, wake);
  const absl::StatusOr<std::string> written = tandem::EncodeMessage(*message);
  FUZZ_CHECK(written.ok());
  const absl::StatusOr<tandem::MessageEnvelope> again = tandem::DecodeMessage(*written);
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->msg_id == message->msg_id && again->seq == message->seq && again->epoch == message->epoch);
  return 0;
}
