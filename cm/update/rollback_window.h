// The rollback window after a COMMIT, and its end: floors rise, and old bytes may go.
#ifndef TANDEM_CM_UPDATE_ROLLBACK_WINDOW_H_
#define TANDEM_CM_UPDATE_ROLLBACK_WINDOW_H_

#include <functional>
#include <utility>

#include "absl/time/time.h"
#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/delivery.h"
#include "cm/update/records/desired_store.h"
#include "cm/update/update_port.h"
#include "common/time/clock.h"
#include "common/time/loop_scope.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

struct RollbackWindowParts {
  EventLoop& loop;
  Clock& clock;
  const config::v1::CmConfig& config;
  TrustStore& trust;
  DesiredStore& desired;
  UmRegistry& ums;
  ArtifactDelivery& delivery;
  UpdatePort& update;
  // After each seal.
  std::function<void()> sealed;
};

// Used on the event thread. The window's time is durable: a crash forgets only the last few minutes of it.
class RollbackWindow {
 public:
  // What the parts refer to must outlive it.
  explicit RollbackWindow(RollbackWindowParts parts) : parts_(std::move(parts)), scope_(parts_.loop) {}

  // At the start, and after each end of an update: time before does not count.
  void Watch();
  // What was committed before cannot be gone back to any more.
  void NextUpdateBegins() { MaybeSeal(/*next_update_begins=*/true); }
  // Tells UMs at rest that what they run is sealed.
  void SealUms();

 private:
  // Seals when the window is over, or the next update begins; not while the unit is to go back.
  void MaybeSeal(bool next_update_begins);
  absl::Duration Left() const;

  const RollbackWindowParts parts_;
  absl::Duration checked_at_;
  EventLoop::TimerId timer_ = 0;
  LoopScope scope_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_ROLLBACK_WINDOW_H_
