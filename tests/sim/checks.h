// The invariants of the architecture, against what CM sends, what is on disk, and what really runs.
#ifndef TANDEM_TESTS_SIM_CHECKS_H_
#define TANDEM_TESTS_SIM_CHECKS_H_

#include <map>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem::sim {

class Unit;
class Um;

class Checks {
 public:
  explicit Checks(Unit& unit) : unit_(unit) {}

  // CM hands a command to the stream of `to`.
  void OnSend(Um& to, const updatemanager::v2::CMMessages& message);
  void OnPhase();
  // After every step.
  void Always();
  // At rest, when all trouble is long over. What it ended as.
  std::string AtEnd(bool at_rest);

 private:
  void CheckStart(Um& to, bool committed);
  void CheckTrialTime();
  void CheckVersions(const std::string& word);
  bool IsLeftover(const std::string& node_id) const;
  // What must run when nothing newer was applied.
  std::map<std::string, std::string> AppliedVersions() const;

  Unit& unit_;
  absl::Duration looked_at_;
  // What a left-over UM may be told to apply in a later update.
  std::set<std::string> committed_;
  // Undecided, and on trial, since then.
  std::map<std::string, absl::Duration> on_trial_since_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_CHECKS_H_
