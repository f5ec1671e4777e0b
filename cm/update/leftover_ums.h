// UMs that are still in an update that is over: each is told how that ended, until it is at rest.
#ifndef TANDEM_CM_UPDATE_LEFTOVER_UMS_H_
#define TANDEM_CM_UPDATE_LEFTOVER_UMS_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/records/desired_store.h"
#include "cm/update/update_port.h"
#include "common/time/clock.h"
#include "common/time/loop_scope.h"

namespace tandem::cm {

struct LeftoverUmsParts {
  EventLoop& loop;
  Clock& clock;
  const DesiredStore& desired;
  UmRegistry& ums;
  UpdatePort& update;
  // One was told again: whoever waits for them looks again.
  std::function<void()> looked;
};

// Used on the event thread; does nothing while an update runs that knows its participants. Nothing here is durable: a
// UM says at each registration where it is.
class LeftoverUms {
 public:
  // What the parts refer to must outlive it.
  explicit LeftoverUms(LeftoverUmsParts parts) : parts_(std::move(parts)), scope_(parts_.loop) {}

  // A UM reported; `registered`: the first time on its stream.
  void Look(const UmInfo& um, bool registered);
  // What kept a UM may be mended by it: all that are left over are told again.
  void AnUpdateIsOver();

  // Those on their way out of an update that is over: what they run now is not what they will run. One that does not
  // answer is not waited for.
  std::vector<std::string> Unsettled() const;

 private:
  // When it was last told, and how often since it registered, or since the last update.
  struct Told {
    absl::Duration at = -absl::InfiniteDuration();
    int times = 0;
  };

  bool NobodyElseTellsIt() const;

  const LeftoverUmsParts parts_;
  std::map<std::string, Told> told_;
  LoopScope scope_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_LEFTOVER_UMS_H_
