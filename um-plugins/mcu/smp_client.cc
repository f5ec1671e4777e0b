#include "um-plugins/mcu/smp_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "um-plugins/mcu/smp_errors.h"

namespace tandem::smp {

SmpClient::SmpClient(SmpTransport& transport, Clock& clock, SmpClientOptions options)
    : transport_(transport),
      clock_(clock),
      options_(std::move(options)),
      // Answers to a process before this one should not fit.
      next_sequence_(static_cast<uint8_t>(absl::ToInt64Microseconds(clock.Monotonic()))) {}

absl::Status SmpClient::SendAs(const SmpRequest& request, uint8_t sequence) {
  const std::string packet = EncodeSmpPacket(
      {.op = request.op, .version = version_, .group = request.group, .sequence = sequence, .command = request.command},
      request.body);
  if (packet.size() > transport_.MaxPacket()) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.what, ": a request of ", packet.size(), " bytes is too large for the line"));
  }
  return transport_.Send(packet);
}

absl::StatusOr<uint8_t> SmpClient::Send(const SmpRequest& request) {
  const uint8_t sequence = next_sequence_++;
  RETURN_IF_ERROR(SendAs(request, sequence));
  return sequence;
}

absl::StatusOr<std::optional<SmpAnswer>> SmpClient::Await(const SmpRequest& request, absl::Duration until) {
  const SmpOp answer = request.op == SmpOp::kRead ? SmpOp::kReadAnswer : SmpOp::kWriteAnswer;
  while (true) {
    if (options_.cancelled && options_.cancelled())
      return absl::CancelledError(absl::StrCat(request.what, ": cancelled"));
    const absl::Duration now = clock_.Monotonic();
    const absl::Duration slice = options_.cancelled ? std::min(until, now + kCancelCheck) : until;
    ASSIGN_OR_RETURN(const std::optional<std::string> bytes, transport_.Receive(slice));
    if (bytes.has_value()) {
      // What is damaged was sent for nothing, and is asked for again.
      absl::StatusOr<SmpPacket> packet = DecodeSmpPacket(*bytes);
      if (packet.ok() && packet->header.op == answer && packet->header.group == request.group &&
          packet->header.command == request.command) {
        if (WantsVersion1(packet->body)) version_ = 0;
        return SmpAnswer{.sequence = packet->header.sequence, .body = std::move(packet->body)};
      }
    } else if (clock_.Monotonic() >= until) {
      return std::nullopt;
    }
  }
}

absl::Status SmpClient::Silence(const std::string& what, absl::Duration silent) const {
  const std::string trouble = transport_.Trouble();
  return absl::DeadlineExceededError(absl::StrCat(what, ": the device has not answered for ",
                                                  absl::FormatDuration(absl::Trunc(silent, absl::Milliseconds(1))),
                                                  trouble.empty() ? "" : " (", trouble, trouble.empty() ? "" : ")"));
}

absl::StatusOr<nlohmann::json> SmpClient::Ask(const SmpRequest& request) {
  const absl::Duration timeout = request.timeout.value_or(options_.answer_timeout);
  const absl::Duration start = clock_.Monotonic();
  const absl::Duration end = start + timeout;
  uint8_t sequence = next_sequence_++;
  absl::Duration retry = options_.first_retry;
  absl::Duration next_send = start;
  bool first = true;
  // What a busy device said last.
  absl::Status busy;
  while (true) {
    const absl::Duration now = clock_.Monotonic();
    if (now >= end) return busy.ok() ? Silence(request.what, timeout) : busy;
    if (now >= next_send) {
      RETURN_IF_ERROR(SendAs(request, sequence));
      next_send = request.repeat ? now + retry : absl::InfiniteDuration();
      if (!first) retry = std::min(retry * 2, kMaxRetry);
      first = false;
    }
    const uint8_t version = version_;
    ASSIGN_OR_RETURN(std::optional<SmpAnswer> answer, Await(request, std::min(end, next_send)));
    if (!answer.has_value() || answer->sequence != sequence) continue;
    if (version != version_) {
      next_send = clock_.Monotonic();
      continue;
    }
    absl::Status status = AnswerStatus(answer->body, request.what);
    if (status.ok()) return std::move(answer->body);
    if (!absl::IsUnavailable(status) || !request.repeat) return status;
    // Asked again as a new request, after a pause.
    busy = std::move(status);
    sequence = next_sequence_++;
    next_send = clock_.Monotonic() + retry;
  }
}

}  // namespace tandem::smp
