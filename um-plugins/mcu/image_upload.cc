#include "um-plugins/mcu/image_upload.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bootloader/core/mcuboot_image.h"
#include "common/status/status.h"
#include "um-plugins/mcu/smp_errors.h"

namespace tandem::smp {
namespace {

using nlohmann::json;

constexpr uint8_t kUpload = 1;
constexpr absl::Duration kMinRetry = absl::Milliseconds(200);
constexpr absl::Duration kFirstRetry = absl::Seconds(2);
// Sequence numbers have 8 bits, and late answers must not fit others.
constexpr size_t kMaxWindow = 64;
// Answers in a row before the window and the packets grow again.
constexpr int kGrowAfter = 32;
constexpr size_t kMinChunk = 16;
constexpr int kTries = 8;
// Packets do not become smaller than this on a bad line: two or three frames.
constexpr size_t kMinPacket = 256;

size_t CborHeadSize(uint64_t number) { return number < 24 ? 1 : number < 256 ? 2 : number < 65536 ? 3 : 5; }

// {"data": bytes, "off": number}.
size_t LaterPacketSize(size_t chunk, uint64_t off) {
  constexpr size_t kMapAndKeys = 1 + 5 + 4;
  return kSmpHeaderSize + kMapAndKeys + CborHeadSize(chunk) + chunk + CborHeadSize(off);
}

// Estimates when an answer is overdue (the method of TCP, RFC 6298).
class RetryTimer {
 public:
  // `longest`: of the waits that only grow because nothing is heard.
  absl::Duration Wait(absl::Duration longest) const {
    return std::min({wait_ * backoff_, kMaxRetry, std::max(wait_, longest)});
  }
  void Measured(absl::Duration round_trip) {
    backoff_ = 1;
    if (!mean_.has_value()) {
      mean_ = round_trip;
      deviation_ = round_trip / 2;
    } else {
      const absl::Duration error = absl::AbsDuration(*mean_ - round_trip);
      deviation_ = deviation_ * 0.75 + error * 0.25;
      mean_ = *mean_ * 0.875 + round_trip * 0.125;
    }
    wait_ = std::max(kMinRetry, *mean_ + 4 * deviation_);
  }
  // Since the last answer.
  bool HasTimedOut() const { return backoff_ > 1; }
  void TimedOut() { backoff_ = std::min(backoff_ * 2, 64); }

 private:
  std::optional<absl::Duration> mean_;
  absl::Duration deviation_;
  absl::Duration wait_ = kFirstRetry;
  int backoff_ = 1;
};

class Uploader {
 public:
  Uploader(SmpClient& client, const UploadRequest& request, const std::function<void(uint64_t)>& progress,
           const UploadLimits& limits, BufferParameters buffers)
      : client_(client), request_(request), progress_(progress), limits_(limits) {
    max_packet_ = std::min<size_t>(buffers.size, client.transport().MaxPacket());
    SetPacket(max_packet_);
    first_packet_ = max_packet_;
    // A device looks at the image's header in the first piece. Where both do not fit, the digest is left out.
    with_digest_ = FirstChunk(first_packet_) >= std::min<uint64_t>(boot::kImageHeaderSize, request.size);
    first_chunk_ = FirstChunk(first_packet_);
    max_window_ = request.one_at_a_time ? 1 : std::clamp<size_t>(buffers.count, 1, kMaxWindow);
    window_ = max_window_;
  }

  absl::Status Run();

 private:
  struct InFlight {
    uint8_t sequence = 0;
    uint64_t off = 0;
    uint64_t end = 0;
    absl::Duration sent;
    // How often the upload had gone back when it was sent.
    uint64_t turn = 0;
  };

  absl::Duration Now() { return client_.clock().Monotonic(); }
  std::string What() const { return absl::StrCat("upload at ", have_, " of ", request_.size, " bytes"); }
  // A packet is lost with any of its frames, so a bad line takes small ones only.
  void SetPacket(size_t size);
  void Shrink();
  size_t FirstChunk(size_t buffer) const;
  json FirstBody() const;
  absl::Status SendPiece();
  absl::Status Fill();
  // When the piece that waits longest is overdue.
  absl::Duration NextRetry() const;
  // When the device is given up.
  absl::Duration EndOfPatience() const;
  absl::Status CheckDeadlines();
  absl::Status Take(const SmpAnswer& answer);
  absl::Status TakeOffset(const InFlight& piece, uint64_t off);
  absl::Status Restart(uint64_t off);
  void GoBack(uint64_t off);
  void Advance(uint64_t off);
  // The device wants to begin again after it had everything: perhaps it is done, and its answer was lost.
  absl::StatusOr<bool> HasImage();

  SmpClient& client_;
  const UploadRequest& request_;
  const std::function<void(uint64_t)>& progress_;
  const UploadLimits& limits_;
  // The largest packet that the device takes, and the largest that is sent now.
  size_t max_packet_ = 0;
  size_t packet_ = 0;
  size_t first_packet_ = 0;
  // The first piece tells the digest, by which the device knows an upload again and checks it at its end.
  bool with_digest_ = true;
  size_t chunk_ = 0;
  size_t first_chunk_ = 0;
  size_t max_window_ = 1;
  size_t window_ = 1;
  int answers_in_a_row_ = 0;

  const SmpRequest kind_ = {
      .op = SmpOp::kWrite, .group = kSmpImageGroup, .command = kUpload, .what = "the upload", .timeout = {}};
  // The device has this much, and what is sent next.
  uint64_t have_ = 0;
  uint64_t next_ = 0;
  // Until the first answer only the first request is in flight.
  bool announced_ = false;
  bool sent_all_ = false;
  bool done_ = false;
  std::optional<bool> matches_;
  std::deque<InFlight> flight_;
  uint64_t turn_ = 0;
  int restarts_ = 0;
  RetryTimer timer_;
  absl::Duration heard_;
  absl::Duration started_;
  uint64_t most_ = 0;
  absl::Duration got_on_;
  // A busy device is left alone until then.
  absl::Duration paused_until_ = -absl::InfiniteDuration();
  absl::Status busy_;
};

void Uploader::SetPacket(size_t size) {
  packet_ = size;
  chunk_ = BestChunk(client_.transport(), packet_, request_.size);
}

void Uploader::Shrink() {
  const size_t least = std::min(max_packet_, kMinPacket);
  // At once: there is time for a few attempts only before the device counts as silent.
  if (announced_) return SetPacket(least);
  // The first one may wait for a slot to be erased: that says nothing about the line.
  first_packet_ = std::max(first_packet_ / 2, least);
  first_chunk_ = FirstChunk(first_packet_);
}

size_t Uploader::FirstChunk(size_t buffer) const {
  json body = FirstBody();
  body["data"] = BytesValue("");
  // The length of the data may take 4 bytes more than that of none.
  const size_t around = EncodeSmpPacket({}, body).size() + 4;
  return std::min<uint64_t>(request_.size, std::max(kMinChunk, buffer - std::min(buffer, around)));
}

json Uploader::FirstBody() const {
  json body = {{"len", request_.size}, {"off", 0}};
  if (with_digest_) body["sha"] = BytesValue(request_.sha256);
  // Devices with one image may not know the key.
  if (request_.image != 0) body["image"] = request_.image;
  return body;
}

absl::Status Uploader::SendPiece() {
  const bool first = next_ == 0;
  const size_t size = std::min<uint64_t>(first ? first_chunk_ : chunk_, request_.size - next_);
  ASSIGN_OR_RETURN(const std::string data, request_.file.ReadAt(next_, size));
  if (data.size() != size) return absl::DataLossError("the image's file ends too early");
  SmpRequest request = kind_;
  request.body = first ? FirstBody() : json{{"off", next_}};
  request.body["data"] = BytesValue(data);
  ASSIGN_OR_RETURN(const uint8_t sequence, client_.Send(request));
  flight_.push_back({.sequence = sequence, .off = next_, .end = next_ + size, .sent = Now(), .turn = turn_});
  next_ += size;
  if (next_ == request_.size) sent_all_ = true;
  return absl::OkStatus();
}

absl::Status Uploader::Fill() {
  if (Now() < paused_until_) return absl::OkStatus();
  const size_t window = announced_ ? window_ : 1;
  // All was sent, nothing is on its way, and yet it is not there.
  if (flight_.empty() && next_ >= request_.size) GoBack(have_);
  while (flight_.size() < window && next_ < request_.size) RETURN_IF_ERROR(SendPiece());
  return absl::OkStatus();
}

absl::Duration Uploader::EndOfPatience() const {
  const absl::Duration patience = client_.options().answer_timeout;
  return heard_ + (announced_ ? patience : std::max(patience, limits_.erase_timeout));
}

absl::Duration Uploader::NextRetry() const {
  if (flight_.empty()) return paused_until_;
  // A silent device is asked some times before it is given up.
  return std::max(flight_.front().sent, heard_) + timer_.Wait(client_.options().answer_timeout / kTries);
}

absl::Status Uploader::CheckDeadlines() {
  const absl::Duration now = Now();
  if (now >= EndOfPatience()) return client_.Silence(What(), now - heard_);
  if (now - got_on_ >= limits_.stall_timeout || now - started_ >= limits_.total) {
    if (!busy_.ok()) return Annotate(busy_, What());
    return absl::DeadlineExceededError(absl::StrCat(What(), ": the device answers, but the upload does not get on"));
  }
  if (!flight_.empty() && now >= NextRetry()) {
    // Once may be a device that is busy; again, without an answer in between, is the line.
    if (timer_.HasTimedOut()) Shrink();
    timer_.TimedOut();
    window_ = std::max<size_t>(1, window_ / 2);
    answers_in_a_row_ = 0;
    flight_.clear();
    GoBack(have_);
  }
  return absl::OkStatus();
}

void Uploader::GoBack(uint64_t off) {
  next_ = off;
  ++turn_;
}

void Uploader::Advance(uint64_t off) {
  have_ = off;
  next_ = std::max(next_, off);
  std::erase_if(flight_, [&](const InFlight& piece) { return piece.end <= off; });
  if (off <= most_) return;
  most_ = off;
  got_on_ = Now();
  if (progress_) progress_(off);
}

absl::StatusOr<bool> Uploader::HasImage() {
  if (request_.hash.empty()) return false;
  ASSIGN_OR_RETURN(const std::vector<ImageSlot> slots, ReadImageState(client_));
  heard_ = Now();
  return std::any_of(slots.begin(), slots.end(),
                     [&](const ImageSlot& slot) { return slot.image == request_.image && slot.hash == request_.hash; });
}

absl::Status Uploader::Restart(uint64_t off) {
  if (off == 0 && sent_all_) {
    sent_all_ = false;
    ASSIGN_OR_RETURN(done_, HasImage());
    if (done_) return absl::OkStatus();
  }
  if (++restarts_ > limits_.max_restarts) {
    return absl::AbortedError(absl::StrCat(What(), ": the device has begun again ", limits_.max_restarts, " times"));
  }
  have_ = off;
  if (off == 0) {
    announced_ = false;
    flight_.clear();
  }
  GoBack(off);
  return absl::OkStatus();
}

absl::Status Uploader::TakeOffset(const InFlight& piece, uint64_t off) {
  if (off > request_.size) {
    return absl::InternalError(absl::StrCat(What(), ": the device wants to go on at ", off, ", behind the end"));
  }
  announced_ = true;
  if (off >= piece.end) {
    if (off > have_) Advance(off);
    return absl::OkStatus();
  }
  // It did not take the piece: something before it was lost, or it has begun again. Once for all pieces of a turn.
  if (piece.turn != turn_) return absl::OkStatus();
  if (off < have_ || (off == 0 && piece.off != 0)) return Restart(off);
  // It refuses the very piece that it asks for.
  if (off == piece.off && piece.off == 0) return Restart(off);
  Advance(off);
  GoBack(off);
  return absl::OkStatus();
}

absl::Status Uploader::Take(const SmpAnswer& answer) {
  heard_ = Now();
  const auto found = std::find_if(flight_.begin(), flight_.end(),
                                  [&](const InFlight& piece) { return piece.sequence == answer.sequence; });
  if (found == flight_.end()) return absl::OkStatus();
  const InFlight piece = *found;
  // Devices answer in order: what was sent before it is lost, or its answer is.
  flight_.erase(flight_.begin(), found + 1);
  timer_.Measured(heard_ - piece.sent);

  if (absl::Status refused = AnswerStatus(answer.body, "the upload"); !refused.ok()) {
    if (!absl::IsUnavailable(refused)) return Annotate(refused, What());
    // Out of buffers: fewer at a time from now on.
    busy_ = std::move(refused);
    if (piece.turn != turn_) return absl::OkStatus();
    max_window_ = std::max<size_t>(1, max_window_ - 1);
    window_ = max_window_;
    paused_until_ = heard_ + kMinRetry;
    GoBack(have_);
    return absl::OkStatus();
  }
  const std::optional<uint64_t> off = FindNumber(answer.body, "off");
  if (!off.has_value()) {
    return absl::InternalError(absl::StrCat(What(), ": the device does not say where to go on"));
  }
  if (++answers_in_a_row_ >= kGrowAfter) {
    answers_in_a_row_ = 0;
    window_ = std::min(max_window_, window_ + 1);
    SetPacket(std::min(max_packet_, packet_ * 2));
  }
  if (const std::optional<bool> match = FindBool(answer.body, "match"); match.has_value()) matches_ = match;
  return TakeOffset(piece, *off);
}

absl::Status Uploader::Run() {
  started_ = heard_ = got_on_ = Now();
  while (!done_ && have_ < request_.size) {
    RETURN_IF_ERROR(Fill());
    ASSIGN_OR_RETURN(const std::optional<SmpAnswer> answer,
                     client_.Await(kind_, std::min(NextRetry(), EndOfPatience())));
    if (answer.has_value()) RETURN_IF_ERROR(Take(*answer));
    RETURN_IF_ERROR(CheckDeadlines());
  }
  if (matches_ == false) {
    return absl::DataLossError("upload: what the device has written does not have the image's digest");
  }
  if (progress_) progress_(request_.size);
  return absl::OkStatus();
}

}  // namespace

size_t UploadLineBytes(const SmpTransport& transport, size_t chunk, uint64_t image_size) {
  return transport.LineBytes(LaterPacketSize(chunk, image_size));
}

size_t BestChunk(const SmpTransport& transport, size_t buffer, uint64_t image_size) {
  size_t best = kMinChunk;
  double best_share = 0;
  for (size_t chunk = kMinChunk; LaterPacketSize(chunk, image_size) <= buffer; ++chunk) {
    const double share =
        static_cast<double>(chunk) / static_cast<double>(UploadLineBytes(transport, chunk, image_size));
    if (share >= best_share) {
      best_share = share;
      best = chunk;
    }
  }
  return best;
}

absl::Status UploadImage(SmpClient& client, const UploadRequest& request, const std::function<void(uint64_t)>& progress,
                         const UploadLimits& limits) {
  BufferParameters buffers = request.buffers;
  if (buffers.size == 0) {
    ASSIGN_OR_RETURN(buffers, ReadBufferParameters(client));
  }
  return Uploader(client, request, progress, limits, buffers).Run();
}

}  // namespace tandem::smp
