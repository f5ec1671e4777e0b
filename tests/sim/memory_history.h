// The unit's history in memory: as much of it as CM itself asks for.
#ifndef TANDEM_TESTS_SIM_MEMORY_HISTORY_H_
#define TANDEM_TESTS_SIM_MEMORY_HISTORY_H_

#include <string>
#include <vector>

#include "cm/update/records/history.h"

namespace tandem::sim {

class MemoryHistory : public cm::History {
 public:
  void Record(const local::v1::UpdateSummary& summary) override {
    for (local::v1::UpdateSummary& known : updates_) {
      if (known.update_id() != summary.update_id()) continue;
      known = summary;
      return;
    }
    updates_.push_back(summary);
  }
  void AddEvent(const std::string&, absl::Time, const std::string&, const std::string&) override {}
  absl::StatusOr<std::vector<local::v1::UpdateSummary>> List(uint32_t limit) override {
    std::vector<local::v1::UpdateSummary> newest;
    for (auto update = updates_.rbegin(); update != updates_.rend() && newest.size() < limit; ++update) {
      newest.push_back(*update);
    }
    return newest;
  }
  absl::StatusOr<local::v1::UpdateDetail> Get(const std::string&) override {
    return absl::NotFoundError("not kept in the simulation");
  }

 private:
  std::vector<local::v1::UpdateSummary> updates_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_MEMORY_HISTORY_H_
