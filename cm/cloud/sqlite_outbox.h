// The outbox of a unit: what it has taken survives a power cut.
#ifndef TANDEM_CM_CLOUD_SQLITE_OUTBOX_H_
#define TANDEM_CM_CLOUD_SQLITE_OUTBOX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/cloud/outbox.h"
#include "cm/cloud/send_schedule.h"
#include "common/storage/sqlite.h"

namespace tandem::cm {

// As Outbox says.
class SqliteOutbox : public Outbox {
 public:
  // A damaged database is kept aside and logged; its messages are lost, and a fresh one is started.
  static absl::StatusOr<std::unique_ptr<SqliteOutbox>> Open(const std::string& path, OutboxOptions options = {});

  absl::Status Add(const OutboxMessage& message) override;
  absl::StatusOr<std::vector<OutboxMessage>> TakeDue(absl::Duration now, int limit) override;
  absl::Duration NextDue() const override { return schedule_.NextDue(); }
  void ResetDelays() override { schedule_.Reset(); }
  absl::Status Acknowledge(const std::vector<std::string>& msg_ids) override;
  uint64_t size() const override { return schedule_.size(); }
  uint64_t dropped() const override { return dropped_; }
  uint64_t newest_epoch() const override { return newest_epoch_; }

 private:
  SqliteOutbox(std::unique_ptr<Database> db, OutboxOptions options)
      : db_(std::move(db)), options_(options), schedule_(options.backoff) {}
  absl::Status Load();
  absl::Status DropOverLimit(std::vector<int64_t>& dropped_rows);

  std::unique_ptr<Database> db_;
  const OutboxOptions options_;
  // By row: rows ascend as messages are added.
  SendSchedule schedule_;
  uint64_t dropped_ = 0;
  uint64_t newest_epoch_ = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_SQLITE_OUTBOX_H_
