#include "um-plugins/mcu/mcu_commands.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::smp {
namespace {

using nlohmann::json;

constexpr uint8_t kReset = 5;
constexpr uint8_t kBufferParameters = 6;
constexpr uint8_t kImageState = 0;
constexpr uint8_t kSlotInfo = 6;
constexpr uint8_t kBootInfo = 0;
constexpr uint8_t kSecurityCounter = 1;

// A device that never got the reset, or got it and cannot say so.
constexpr absl::Duration kResetAnswer = absl::Seconds(1);
constexpr absl::Duration kOptionalTimeout = absl::Seconds(3);

ImageSlot ReadSlot(const json& entry) {
  return {.image = static_cast<uint32_t>(FindNumber(entry, "image").value_or(0)),
          .slot = static_cast<uint32_t>(FindNumber(entry, "slot").value_or(0)),
          .version = FindText(entry, "version").value_or(""),
          .hash = FindBytes(entry, "hash").value_or(""),
          .bootable = FindBool(entry, "bootable"),
          .pending = FindBool(entry, "pending").value_or(false),
          .confirmed = FindBool(entry, "confirmed").value_or(false),
          .active = FindBool(entry, "active").value_or(false),
          .permanent = FindBool(entry, "permanent").value_or(false)};
}

// Without a hash: of the image that runs.
absl::Status WriteImageState(SmpClient& client, const std::string& hash, bool confirm, const std::string& what) {
  SmpRequest request = {.op = SmpOp::kWrite,
                        .group = kSmpImageGroup,
                        .command = kImageState,
                        .body = {{"confirm", confirm}},
                        .what = what};
  if (!hash.empty()) request.body["hash"] = BytesValue(hash);
  return client.Ask(request).status();
}

// A device may name a slot by its letter, or by a number.
std::optional<std::string> FindName(const json& body, const char* key) {
  if (const std::optional<uint64_t> number = FindNumber(body, key); number.has_value()) return absl::StrCat(*number);
  return FindText(body, key);
}

// A device need not know the command: UNIMPLEMENTED then. Some say nothing at all, though they answer others.
absl::StatusOr<json> AskOptional(SmpClient& client, SmpRequest request) {
  request.timeout = kOptionalTimeout;
  absl::StatusOr<json> body = client.Ask(request);
  if (body.ok()) return body;
  if (absl::IsDeadlineExceeded(body.status())) RETURN_IF_ERROR(ReadImageState(client).status());
  const bool unknown = absl::IsDeadlineExceeded(body.status()) || absl::IsUnimplemented(body.status()) ||
                       absl::IsNotFound(body.status());
  return unknown ? absl::UnimplementedError(body.status().message()) : body.status();
}

}  // namespace

absl::StatusOr<std::vector<ImageSlot>> ReadImageState(SmpClient& client, std::optional<absl::Duration> timeout) {
  ASSIGN_OR_RETURN(
      const json body,
      client.Ask({.group = kSmpImageGroup, .command = kImageState, .what = "the image state", .timeout = timeout}));
  const auto images = body.find("images");
  if (images == body.end() || !images->is_array()) {
    return absl::InternalError("the image state: the device's answer has no list of images");
  }
  std::vector<ImageSlot> slots;
  for (const json& entry : *images) slots.push_back(ReadSlot(entry));
  return slots;
}

absl::Status TestImage(SmpClient& client, const std::string& hash) {
  return WriteImageState(client, hash, /*confirm=*/false, "the test of the image");
}

absl::Status ConfirmImage(SmpClient& client, const std::string& hash) {
  return WriteImageState(client, hash, /*confirm=*/true, "the confirmation of the image");
}

absl::Status ConfirmRunningImage(SmpClient& client) {
  return WriteImageState(client, "", /*confirm=*/true, "the confirmation of the running image");
}

absl::Status ResetDevice(SmpClient& client) {
  const absl::Status status = client
                                  .Ask({.op = SmpOp::kWrite,
                                        .group = kSmpOsGroup,
                                        .command = kReset,
                                        .what = "the reset",
                                        .repeat = false,
                                        .timeout = kResetAnswer})
                                  .status();
  return absl::IsDeadlineExceeded(status) ? absl::OkStatus() : status;
}

absl::StatusOr<BufferParameters> ReadBufferParameters(SmpClient& client) {
  const absl::StatusOr<json> body =
      AskOptional(client, {.group = kSmpOsGroup, .command = kBufferParameters, .what = "the buffer parameters"});
  if (absl::IsUnimplemented(body.status())) return kUnknownBuffers;
  RETURN_IF_ERROR(body.status());
  const std::optional<uint64_t> size = FindNumber(*body, "buf_size");
  const std::optional<uint64_t> count = FindNumber(*body, "buf_count");
  if (!size.has_value() || !count.has_value()) return kUnknownBuffers;
  return BufferParameters{.size = static_cast<uint32_t>(std::min<uint64_t>(*size, kMaxSmpBody)),
                          .count = static_cast<uint32_t>(std::clamp<uint64_t>(*count, 1, 0xffff))};
}

absl::StatusOr<std::optional<uint64_t>> ReadSlotSize(SmpClient& client, uint32_t image) {
  const absl::StatusOr<json> body =
      AskOptional(client, {.group = kSmpImageGroup, .command = kSlotInfo, .what = "the slot sizes"});
  if (absl::IsUnimplemented(body.status())) return std::nullopt;
  RETURN_IF_ERROR(body.status());
  const auto images = body->find("images");
  if (images == body->end() || !images->is_array()) return std::nullopt;
  for (const json& entry : *images) {
    if (FindNumber(entry, "image").value_or(0) != image) continue;
    // The bootloader's own data takes some of a slot: this is what it leaves.
    if (const std::optional<uint64_t> room = FindNumber(entry, "max_image_size"); room.has_value()) return room;
    std::optional<uint64_t> largest;
    const auto slots = entry.find("slots");
    if (slots == entry.end() || !slots->is_array()) return std::nullopt;
    for (const json& slot : *slots) {
      if (const std::optional<uint64_t> size = FindNumber(slot, "size"); size.has_value()) {
        largest = std::max(largest.value_or(0), *size);
      }
    }
    return largest;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<BootInfo>> ReadBootInfo(SmpClient& client, std::optional<absl::Duration> timeout) {
  const absl::StatusOr<json> body =
      client.Ask({.group = kSmpBootGroup, .command = kBootInfo, .what = "the boot state", .timeout = timeout});
  if (absl::IsUnimplemented(body.status())) return std::nullopt;
  RETURN_IF_ERROR(body.status());
  BootInfo info{.running = FindName(*body, "running"),
                .confirmed = FindName(*body, "confirmed"),
                .trial = FindName(*body, "trial"),
                .security_counter = FindNumber(*body, "security_counter")};
  if (const std::optional<uint64_t> left = FindNumber(*body, "attempts_left"); left.has_value()) {
    info.attempts_left = static_cast<uint32_t>(*left);
  }
  return info;
}

absl::Status RaiseSecurityCounter(SmpClient& client, uint64_t counter) {
  return client
      .Ask({.op = SmpOp::kWrite,
            .group = kSmpBootGroup,
            .command = kSecurityCounter,
            .body = {{"security_counter", counter}},
            .what = "the security counter"})
      .status();
}

}  // namespace tandem::smp
