// What a device, or noise, puts on an SMP line: frames, packets, and what commands make of them.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/check.h"
#include "um-plugins/mcu/mcu_commands.h"
#include "um-plugins/mcu/serial_framing.h"
#include "um-plugins/mcu/smp_client.h"
#include "um-plugins/mcu/smp_errors.h"
#include "um-plugins/mcu/smp_packet.h"

namespace {

using namespace tandem;

// Answers each request with the same body.
class OneAnswerLine : public smp::SmpTransport {
 public:
  OneAnswerLine(FakeClock& clock, nlohmann::json body) : clock_(clock), body_(std::move(body)) {}
  absl::Status Send(std::string_view packet) override {
    request_ = smp::DecodeSmpPacket(packet).value().header;
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<std::string>> Receive(absl::Duration until) override {
    if (!request_.has_value()) {
      clock_.Advance(std::max(until - clock_.Monotonic(), absl::Milliseconds(1)));
      return std::nullopt;
    }
    smp::SmpHeader header = *std::exchange(request_, std::nullopt);
    header.op = header.op == smp::SmpOp::kRead ? smp::SmpOp::kReadAnswer : smp::SmpOp::kWriteAnswer;
    return smp::EncodeSmpPacket(header, body_);
  }
  size_t MaxPacket() const override { return 4096; }

 private:
  FakeClock& clock_;
  const nlohmann::json body_;
  std::optional<smp::SmpHeader> request_;
};

void AskEverything(const nlohmann::json& body) {
  FakeClock clock;
  OneAnswerLine line(clock, body);
  smp::SmpClient client(line, clock, {});
  (void)smp::ReadImageState(client);
  (void)smp::ReadBufferParameters(client);
  (void)smp::ReadSlotSize(client, 0);
  (void)smp::ReadBootInfo(client);
  (void)smp::RaiseSecurityCounter(client, 1);
}

void DecodeOne(std::string_view bytes) {
  const absl::StatusOr<smp::SmpPacket> packet = smp::DecodeSmpPacket(bytes);
  if (!packet.ok()) return;
  (void)smp::AnswerStatus(packet->body, "it");
  AskEverything(packet->body);
  const std::string again = smp::EncodeSmpPacket(packet->header, packet->body);
  if (again.size() - smp::kSmpHeaderSize > smp::kMaxSmpBody) return;
  FUZZ_CHECK(smp::DecodeSmpPacket(again).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  DecodeOne(bytes);
  smp::SerialDecoder whole;
  const std::vector<std::string> packets = whole.Feed(bytes);
  for (const std::string& packet : packets) {
    FUZZ_CHECK(packet.size() <= smp::kMaxSerialPacket);
    DecodeOne(packet);
  }
  // In whatever pieces they come.
  smp::SerialDecoder pieces;
  std::vector<std::string> same;
  for (size_t at = 0; at < size; at += 7) {
    for (std::string& packet : pieces.Feed(bytes.substr(at, 7))) same.push_back(std::move(packet));
  }
  FUZZ_CHECK(packets == same);
  // What follows is not lost, as long as the line before has ended.
  const std::string next = smp::EncodeSerialFrames("next");
  (void)whole.Feed("\n");
  FUZZ_CHECK(whole.Feed(next) == std::vector<std::string>{"next"});
  return 0;
}
