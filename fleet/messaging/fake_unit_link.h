// Units in memory, for tests of what stands above the link: keeps what was published, and says what a test wants.
//
//   FakeUnitLink link("acme");
//   link.HoldAnswers();                        // the broker has said nothing yet
//   controller.Deploy(...);
//   link.AnswerAll(absl::OkStatus());
//   link.Deliver(FakeUnitLink::Message("gw-17", 1, 1, feedback));
#ifndef TANDEM_FLEET_MESSAGING_FAKE_UNIT_LINK_H_
#define TANDEM_FLEET_MESSAGING_FAKE_UNIT_LINK_H_

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/net/message_envelope.h"
#include "common/net/mqtt_message.h"
#include "common/net/pending_publishes.h"
#include "common/status/status.h"
#include "fleet/messaging/unit_link.h"
#include "fleet/messaging/unit_message_reader.h"

namespace tandem::fleet {

// Thread-safe. The callbacks of Start() are called by Deliver…() and SetConnected(), on the caller's thread.
class FakeUnitLink : public UnitLink {
 public:
  explicit FakeUnitLink(std::string name_space = "acme", int max_in_flight = 250)
      : name_space_(std::move(name_space)), max_in_flight_(max_in_flight) {}
  ~FakeUnitLink() override { Stop(); }

  absl::Status Start(UnitLinkCallbacks callbacks) override {
    {
      std::lock_guard lock(mutex_);
      if (callbacks_.has_value()) return absl::FailedPreconditionError("the link was started before");
      callbacks_ = std::move(callbacks);
    }
    SetConnected(true);
    return absl::OkStatus();
  }
  void Stop() override {
    {
      std::lock_guard lock(mutex_);
      callbacks_.reset();
      connected_ = false;
    }
    pending_.Stop();
  }

  void PublishDesired(const std::string& unit_id, const std::string& documents, Done done) override {
    PublishRetained(
        "desired " + unit_id, CheckedJson(unit_id, documents),
        [this, unit_id, documents] { desired_[unit_id] = documents; }, std::move(done));
  }
  int MaxInFlight() const override { return max_in_flight_; }
  void ClearDesired(const std::string& unit_id, Done done) override {
    PublishRetained(
        "clear " + unit_id, CheckTopicLevel(unit_id, "unit id"), [this, unit_id] { desired_.erase(unit_id); },
        std::move(done));
  }
  void PublishKeySets(const std::string& key_sets, Done done) override {
    PublishRetained(
        "keysets", CheckedJson("all", key_sets), [this, key_sets] { key_sets_ = key_sets; }, std::move(done));
  }
  absl::Status Wake(const std::string& unit_id, uint64_t sequence, absl::Duration expiry) override {
    return Note(unit_id, [&] { wakes_.push_back({unit_id, sequence, expiry}); });
  }
  void PublishDiagnostic(const std::string& unit_id, const std::string& command, absl::Duration expiry,
                         Done done) override {
    PublishRetained(
        "diagnostic " + unit_id, CheckedJson(unit_id, command),
        [this, unit_id, command, expiry] {
          diagnostics_.push_back({unit_id, command, expiry});
        },
        std::move(done));
  }
  absl::Status PublishVerdict(const std::string& unit_id, const std::string& envelope) override {
    RETURN_IF_ERROR(CheckedJson(unit_id, envelope));
    return Note(unit_id, [&] { verdicts_.emplace_back(unit_id, envelope); });
  }
  absl::Status Acknowledge(const std::string& unit_id, const std::vector<std::string>& msg_ids) override {
    return Note(unit_id, [&] { acknowledged_[unit_id].insert(msg_ids.begin(), msg_ids.end()); });
  }
  UnitLinkState state() const override {
    std::lock_guard lock(mutex_);
    UnitLinkState state = state_;
    state.connected = connected_;
    state.error = error_;
    state.endpoint = "fake";
    return state;
  }

  // --- what a test sees; copies ---
  struct WakeCall {
    std::string unit_id;
    uint64_t sequence = 0;
    absl::Duration expiry;
  };
  // What is retained for a unit now.
  std::optional<std::string> desired(const std::string& unit_id) const {
    std::lock_guard lock(mutex_);
    const auto found = desired_.find(unit_id);
    return found == desired_.end() ? std::nullopt : std::make_optional(found->second);
  }
  struct DiagnosticCall {
    std::string unit_id;
    // The envelope.
    std::string command;
    absl::Duration expiry;
  };
  std::vector<DiagnosticCall> diagnostics() const { return Copy(diagnostics_); }
  std::string key_sets() const { return Copy(key_sets_); }
  std::vector<WakeCall> wakes() const { return Copy(wakes_); }
  // Units and envelopes.
  std::vector<std::pair<std::string, std::string>> verdicts() const { return Copy(verdicts_); }
  std::map<std::string, std::set<std::string>> acknowledged() const { return Copy(acknowledged_); }
  // "desired gw-17", "clear gw-17" and "keysets", in the order asked for, failed ones included.
  std::vector<std::string> published() const { return Copy(published_); }

  // --- what a test makes happen ---
  // From now on, what asks for an answer and what has none fails with `status`; OK ends it.
  void FailPublishes(absl::Status status) {
    std::lock_guard lock(mutex_);
    publish_status_ = std::move(status);
  }
  // Keeps answers back until AnswerOldest() or AnswerAll(). Without it they come at once, on a thread of the link.
  void HoldAnswers() {
    std::lock_guard lock(mutex_);
    hold_ = true;
  }
  size_t held() const {
    std::lock_guard lock(mutex_);
    return held_.size();
  }
  // On the caller's thread; what is answered with OK is retained from then on. False: none is held.
  bool AnswerOldest(const absl::Status& status) {
    Held oldest;
    {
      std::lock_guard lock(mutex_);
      if (held_.empty()) return false;
      oldest = std::move(held_.front());
      held_.pop_front();
      if (status.ok()) Retain(oldest.retain);
    }
    oldest.done(status);
    return true;
  }
  // Of those that are held now, not of those that their answers bring.
  void AnswerAll(const absl::Status& status) {
    for (size_t left = held(); left > 0; --left) AnswerOldest(status);
  }
  void SetConnected(bool connected, const std::string& reason = "") {
    UnitLinkCallbacks callbacks;
    {
      std::lock_guard lock(mutex_);
      connected_ = connected;
      error_ = reason;
      if (!callbacks_.has_value()) return;
      callbacks = *callbacks_;
    }
    if (callbacks.connection) callbacks.connection(connected, reason);
  }

  // As a unit says it: reported, presence, feedback, applied, a diagnostic's result; for a provisional report change
  // the kind.
  template <typename Payload>
  static UnitMessage Message(const std::string& unit_id, uint64_t epoch, uint64_t seq, const Payload& payload) {
    UnitMessage message;
    message.unit_id = unit_id;
    message.msg_id = absl::StrCat(unit_id, "-", epoch, "-", seq);
    message.epoch = epoch;
    message.seq = seq;
    message.payload = payload;
    // In the order of the alternatives.
    constexpr UnitMessage::Kind kKinds[] = {UnitMessage::Kind::kReported, UnitMessage::Kind::kPresence,
                                            UnitMessage::Kind::kFeedback, UnitMessage::Kind::kApplied,
                                            UnitMessage::Kind::kDiagnostic};
    message.kind = kKinds[message.payload.index()];
    return message;
  }
  // Whether it was taken.
  bool Deliver(const UnitMessage& message) {
    UnitLinkCallbacks callbacks;
    {
      std::lock_guard lock(mutex_);
      if (!callbacks_.has_value()) return false;
      callbacks = *callbacks_;
      ++state_.received;
    }
    UnitMessage copy = message;
    if (callbacks.message(std::move(copy))) return true;
    std::lock_guard lock(mutex_);
    ++state_.dropped;
    return false;
  }
  // In an order of `seed`, some of them twice; as a shared subscription may.
  void DeliverMixed(std::vector<UnitMessage> messages, uint64_t seed) {
    std::mt19937_64 random(seed);
    const size_t count = messages.size();
    for (size_t i = 0; i < count; ++i) {
      if (random() % 3 == 0) messages.push_back(messages[i]);
    }
    std::shuffle(messages.begin(), messages.end(), random);
    for (const UnitMessage& message : messages) Deliver(message);
  }
  // As it comes from a broker; what cannot be read is told to the callback.
  void DeliverRaw(const std::string& topic, const std::string& json) {
    const absl::StatusOr<UnitTopic> unit = ParseUnitTopic(name_space_, topic);
    UnitMessage message;
    const absl::Status status = unit.ok() ? ReadUnitMessage(*unit, json, kMaxMessageBytes, message) : unit.status();
    if (status.ok()) {
      Deliver(message);
      return;
    }
    UnitLinkCallbacks callbacks;
    {
      std::lock_guard lock(mutex_);
      if (!callbacks_.has_value()) return;
      callbacks = *callbacks_;
      ++state_.received;
      ++state_.unreadable;
    }
    if (callbacks.unreadable) callbacks.unreadable(unit.ok() ? unit->unit_id : "", message.msg_id, status);
  }

 private:
  static constexpr size_t kMaxMessageBytes = 256 << 10;

  struct Held {
    std::function<void()> retain;
    Done done;
  };

  template <typename T>
  T Copy(const T& value) const {
    std::lock_guard lock(mutex_);
    return value;
  }
  static absl::Status CheckedJson(const std::string& unit_id, const std::string& json) {
    RETURN_IF_ERROR(CheckTopicLevel(unit_id, "unit id"));
    return EncodeMessage({.msg_id = "id", .type = kDesiredMessage, .payload = json}).status();
  }
  // The caller holds the lock.
  void Retain(const std::function<void()>& retain) {
    ++state_.published;
    retain();
  }
  absl::Status Allowed() const {
    if (!callbacks_.has_value()) return absl::UnavailableError("the link is not started");
    if (!connected_) return absl::UnavailableError("not connected to the broker");
    return publish_status_;
  }
  void PublishRetained(const std::string& what, absl::Status status, std::function<void()> retain, Done done) {
    std::unique_lock lock(mutex_);
    published_.push_back(what);
    if (status.ok()) status = Allowed();
    if (status.ok() && hold_) {
      held_.push_back({std::move(retain), std::move(done)});
      return;
    }
    if (status.ok()) Retain(retain);
    lock.unlock();
    pending_.Complete(pending_.Add(absl::Minutes(1), std::move(done)), status);
  }
  template <typename F>
  absl::Status Note(const std::string& unit_id, F note) {
    RETURN_IF_ERROR(CheckTopicLevel(unit_id, "unit id"));
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(Allowed());
    ++state_.published;
    note();
    return absl::OkStatus();
  }

  const std::string name_space_;
  const int max_in_flight_;
  mutable std::mutex mutex_;
  std::optional<UnitLinkCallbacks> callbacks_;
  bool connected_ = false;
  std::string error_;
  absl::Status publish_status_;
  bool hold_ = false;
  std::deque<Held> held_;
  std::map<std::string, std::string> desired_;
  std::string key_sets_;
  std::vector<WakeCall> wakes_;
  std::vector<DiagnosticCall> diagnostics_;
  std::vector<std::pair<std::string, std::string>> verdicts_;
  std::map<std::string, std::set<std::string>> acknowledged_;
  std::vector<std::string> published_;
  UnitLinkState state_;
  PendingPublishes pending_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_MESSAGING_FAKE_UNIT_LINK_H_
