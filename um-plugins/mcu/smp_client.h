// Asks a device over SMP, and asks again when a packet was lost.
//
//   ReconnectingTransport line([] { return OpenSerial("/dev/ttyACM0", 115200); }, Clock::Real());
//   SmpClient client(line, Clock::Real(), {});
//   ASSIGN_OR_RETURN(std::vector<ImageSlot> slots, ReadImageState(client));        // mcu_commands.h
//   RETURN_IF_ERROR(UploadImage(client, {.data = file, .size = ..., .sha256 = ...}));  // image_upload.h
#ifndef TANDEM_UM_PLUGINS_MCU_SMP_CLIENT_H_
#define TANDEM_UM_PLUGINS_MCU_SMP_CLIENT_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "um-plugins/mcu/smp_packet.h"
#include "um-plugins/mcu/smp_transport.h"

namespace tandem::smp {

struct SmpClientOptions {
  // A device that says nothing for so long is given up.
  absl::Duration answer_timeout = absl::Seconds(10);
  // A request without an answer is sent again after this, then after twice as long, and so on up to kMaxRetry.
  absl::Duration first_retry = absl::Milliseconds(500);
  // Asked at least every kCancelCheck; optional.
  std::function<bool()> cancelled;
};

inline constexpr absl::Duration kMaxRetry = absl::Seconds(2);
inline constexpr absl::Duration kCancelCheck = absl::Milliseconds(100);

struct SmpRequest {
  // kRead or kWrite.
  SmpOp op = SmpOp::kRead;
  uint16_t group = 0;
  uint8_t command = 0;
  nlohmann::json body = nlohmann::json::object();
  // For people: "the image state".
  std::string what;
  // False for what must not be done twice: it is sent once.
  bool repeat = true;
  // Default SmpClientOptions::answer_timeout.
  std::optional<absl::Duration> timeout;
};

// An answer that fits a request that was sent.
struct SmpAnswer {
  uint8_t sequence = 0;
  nlohmann::json body;
};

// Not thread-safe; blocks its thread, so it belongs on a worker.
class SmpClient {
 public:
  // `transport` and `clock` must outlive it.
  SmpClient(SmpTransport& transport, Clock& clock, SmpClientOptions options);

  // The body of the device's answer. Besides the errors of AnswerStatus(): DEADLINE_EXCEEDED when it is silent,
  // CANCELLED, INVALID_ARGUMENT when the request is too large.
  absl::StatusOr<nlohmann::json> Ask(const SmpRequest& request);

  // ---- For several requests in flight (image_upload.h) ----

  // Sends without waiting; the sequence number tells its answer.
  absl::StatusOr<uint8_t> Send(const SmpRequest& request);
  // The next answer to `group` and `command`, whichever of them it is; nullopt: none until then. CANCELLED.
  absl::StatusOr<std::optional<SmpAnswer>> Await(const SmpRequest& request, absl::Duration until);

  // "no answer from the device for 10s", with what is known of the line.
  absl::Status Silence(const std::string& what, absl::Duration silent) const;

  SmpTransport& transport() { return transport_; }
  Clock& clock() { return clock_; }
  const SmpClientOptions& options() const { return options_; }

 private:
  absl::Status SendAs(const SmpRequest& request, uint8_t sequence);

  SmpTransport& transport_;
  Clock& clock_;
  const SmpClientOptions options_;
  uint8_t version_ = 1;
  uint8_t next_sequence_;
};

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_SMP_CLIENT_H_
