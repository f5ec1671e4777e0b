// An outbox in memory, for thousands of simulated units in one program: what it holds is gone with it.
#ifndef TANDEM_CM_CLOUD_MEMORY_OUTBOX_H_
#define TANDEM_CM_CLOUD_MEMORY_OUTBOX_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cm/cloud/outbox.h"
#include "cm/cloud/send_schedule.h"

namespace tandem::cm {

// As Outbox says.
class MemoryOutbox : public Outbox {
 public:
  explicit MemoryOutbox(OutboxOptions options = {}) : options_(options), schedule_(options.backoff) {}

  absl::Status Add(const OutboxMessage& message) override {
    for (const auto& [row, waiting] : messages_) {
      if (!message.once_key.empty() && waiting.once_key == message.once_key) return absl::OkStatus();
      if (waiting.msg_id == message.msg_id) return absl::InternalError("outbox: the msg_id is not unique");
    }
    messages_.emplace(++newest_row_, message);
    schedule_.Add(newest_row_);
    newest_epoch_ = std::max(newest_epoch_, message.epoch);
    for (auto oldest = messages_.begin(); messages_.size() > options_.limit && oldest != messages_.end();) {
      const auto at = oldest++;
      if (!at->second.droppable) continue;
      Remove(at);
      ++dropped_;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<OutboxMessage>> TakeDue(absl::Duration now, int limit) override {
    std::vector<OutboxMessage> due;
    for (const int64_t row : schedule_.TakeDue(now, limit)) due.push_back(messages_.at(row));
    return due;
  }
  absl::Duration NextDue() const override { return schedule_.NextDue(); }
  void ResetDelays() override { schedule_.Reset(); }

  absl::Status Acknowledge(const std::vector<std::string>& msg_ids) override {
    for (auto next = messages_.begin(); next != messages_.end();) {
      const auto at = next++;
      if (std::find(msg_ids.begin(), msg_ids.end(), at->second.msg_id) != msg_ids.end()) Remove(at);
    }
    return absl::OkStatus();
  }

  uint64_t size() const override { return messages_.size(); }
  uint64_t dropped() const override { return dropped_; }
  uint64_t newest_epoch() const override { return newest_epoch_; }

 private:
  void Remove(std::map<int64_t, OutboxMessage>::iterator at) {
    schedule_.Remove(at->first);
    messages_.erase(at);
  }

  const OutboxOptions options_;
  SendSchedule schedule_;
  std::map<int64_t, OutboxMessage> messages_;
  int64_t newest_row_ = 0;
  uint64_t dropped_ = 0;
  uint64_t newest_epoch_ = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_MEMORY_OUTBOX_H_
