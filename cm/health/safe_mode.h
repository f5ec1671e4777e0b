// Safe mode: after several starts of the unit in a row that did not last, CM and the network are all that runs, so that
// the fleet, or a person, can mend what is wrong (docs/recovery.md).
//
//   SafeMode safe_mode(fs, config, boot_id, update_runs);    // counts this start; the flag file is as it must be
//   after safe_mode.lasting():  safe_mode.Lasted();
//   in the end, in order:       safe_mode.EndedInOrder();
//
// What must not run then looks at the flag file: ConditionPathExists=!/run/tandem/safe-mode.
#ifndef TANDEM_CM_HEALTH_SAFE_MODE_H_
#define TANDEM_CM_HEALTH_SAFE_MODE_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/storage/durable_record.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

// The decision, pure.
struct StartsState {
  // In a row, none of which lasted.
  uint32_t failed = 0;
  // The last start has neither lasted nor ended in order.
  bool open = false;
  std::string boot_id;
  bool safe_mode = false;
  // Why; for people.
  std::string reason;

  bool operator==(const StartsState&) const = default;
};
struct StartsRules {
  // 4294967295: never.
  uint32_t failed_starts = 5;
};
// CM starts in this boot. `asked`: an update switches boots, and watches over them itself.
StartsState AfterStart(const StartsRules& rules, StartsState state, const std::string& boot_id, bool asked);
StartsState AfterLasting(StartsState state);
StartsState AfterOrderlyEnd(StartsState state);
// A person, or an update that was applied.
StartsState AfterLeaving(StartsState state);

// All on one thread. A record that cannot be read or written never keeps CM from starting: it is logged.
class SafeMode {
 public:
  SafeMode(FileSystem& fs, const config::v1::CmConfig& config, const std::string& boot_id);

  // Why; empty: the unit is not in it.
  const std::string& reason() const { return state_.reason; }
  // This start began it.
  bool is_new() const { return is_new_; }
  // A start that lasted so long was good.
  absl::Duration lasting() const { return lasting_; }

  void Lasted();
  void EndedInOrder();
  // False: it was not in it.
  bool Leave();
  // While an update tries new versions, what safe mode keeps from running may run: the update must prove itself.
  void SetTrial(bool on_trial);

 private:
  void Change(const StartsState& next);
  void SetFlag();

  FileSystem& fs_;
  const StartsRules rules_;
  const absl::Duration lasting_;
  const std::string flag_file_;
  DurableRecord file_;
  StartsState state_;
  bool on_trial_ = false;
  bool is_new_ = false;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_SAFE_MODE_H_
