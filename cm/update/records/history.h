// What happened to this unit: past updates and their events, for people and for `tandemctl history`.
//
// Losing history never stops an update: errors are logged, and the update goes on.
#ifndef TANDEM_CM_UPDATE_RECORDS_HISTORY_H_
#define TANDEM_CM_UPDATE_RECORDS_HISTORY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/local/v1/local.pb.h"

namespace tandem::cm {

// Used on the event thread.
class History {
 public:
  virtual ~History() = default;

  // Inserts or replaces the line of `summary.update_id`.
  virtual void Record(const local::v1::UpdateSummary& summary) = 0;
  virtual void AddEvent(const std::string& update_id, absl::Time at, const std::string& phase,
                        const std::string& text) = 0;

  // Newest first.
  virtual absl::StatusOr<std::vector<local::v1::UpdateSummary>> List(uint32_t limit) = 0;
  // By a unique prefix of the id; empty: the newest. NOT_FOUND, or INVALID_ARGUMENT when several begin so.
  virtual absl::StatusOr<local::v1::UpdateDetail> Get(const std::string& update_id_prefix) = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_RECORDS_HISTORY_H_
