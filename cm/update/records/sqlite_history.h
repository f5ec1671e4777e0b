// History in SQLite ({state_dir}/history.db), bounded: the oldest updates go first.
#ifndef TANDEM_CM_UPDATE_RECORDS_SQLITE_HISTORY_H_
#define TANDEM_CM_UPDATE_RECORDS_SQLITE_HISTORY_H_

#include <memory>
#include <string>
#include <vector>

#include "cm/update/records/history.h"
#include "common/storage/sqlite.h"

namespace tandem::cm {

// Updates kept.
inline constexpr int kHistoryLimit = 1000;

class SqliteHistory : public History {
 public:
  // A damaged database is kept aside, and a fresh one begun: history must not keep a unit from updating.
  static absl::StatusOr<std::unique_ptr<SqliteHistory>> Open(const std::string& path);

  void Record(const local::v1::UpdateSummary& summary) override;
  void AddEvent(const std::string& update_id, absl::Time at, const std::string& phase,
                const std::string& text) override;
  absl::StatusOr<std::vector<local::v1::UpdateSummary>> List(uint32_t limit) override;
  absl::StatusOr<local::v1::UpdateDetail> Get(const std::string& update_id_prefix) override;

 private:
  explicit SqliteHistory(std::unique_ptr<Database> db) : db_(std::move(db)) {}

  std::unique_ptr<Database> db_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_RECORDS_SQLITE_HISTORY_H_
