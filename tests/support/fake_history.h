// The unit's history in memory: as much of it as CM itself asks for.
#ifndef TANDEM_TESTS_SUPPORT_FAKE_HISTORY_H_
#define TANDEM_TESTS_SUPPORT_FAKE_HISTORY_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cm/update/records/history.h"

namespace tandem::cm {

class FakeHistory : public History {
 public:
  void Record(const local::v1::UpdateSummary& summary) override {
    for (local::v1::UpdateSummary& known : updates) {
      if (known.update_id() != summary.update_id()) continue;
      known = summary;
      return;
    }
    updates.push_back(summary);
  }
  void AddEvent(const std::string& update_id, absl::Time, const std::string& phase, const std::string& text) override {
    events.push_back(absl::StrCat(update_id, " ", phase, " ", text));
  }
  absl::StatusOr<std::vector<local::v1::UpdateSummary>> List(uint32_t limit) override {
    std::vector<local::v1::UpdateSummary> newest;
    for (auto update = updates.rbegin(); update != updates.rend() && newest.size() < limit; ++update) {
      newest.push_back(*update);
    }
    return newest;
  }
  absl::StatusOr<local::v1::UpdateDetail> Get(const std::string&) override {
    return absl::NotFoundError("not kept in tests");
  }

  // In the order of their beginning.
  std::vector<local::v1::UpdateSummary> updates;
  // In the order written.
  std::vector<std::string> events;
};

}  // namespace tandem::cm

#endif  // TANDEM_TESTS_SUPPORT_FAKE_HISTORY_H_
