// Watches over the unit after a COMMIT (stability.h decides): runs the health probes every now and then, counts starts
// durably, and tells what counts against the release.
//
//   StabilityWatch watch({.loop = loop, .make_probe = ..., .anomaly = ...});
//   watch.Watch({.sequence = 7, .attempt = 1, .probes = probes});     // at CM's start, and after each update
//   watch.Pause();                                                    // while an update runs, and after the window
#ifndef TANDEM_CM_HEALTH_STABILITY_WATCH_H_
#define TANDEM_CM_HEALTH_STABILITY_WATCH_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cm/health/gate_runner.h"
#include "cm/health/probe.h"
#include "cm/health/stability.h"
#include "common/storage/durable_record.h"
#include "common/time/event_loop.h"
#include "tandem/config/v1/cm.pb.h"
#include "tandem/release/v1/probe.pb.h"

namespace tandem::cm {

struct StabilityWatchParts {
  EventLoop& loop;
  FileSystem& fs;
  const config::v1::CmConfig& config;
  std::string boot_id;
  ProbeWorkers& workers;
  ProbeContext probes;
  // On the event thread. Comes again after a crash only when it could not be made durable that it was told.
  std::function<void(const std::string& what)> anomaly;
};

// Created, used and destroyed on the event thread.
class StabilityWatch {
 public:
  explicit StabilityWatch(StabilityWatchParts parts);
  ~StabilityWatch();

  StabilityWatch(const StabilityWatch&) = delete;
  StabilityWatch& operator=(const StabilityWatch&) = delete;

  // The same (sequence, attempt) again changes nothing but the probes. No failure counts before `grace` is over.
  void Watch(uint64_t sequence, uint32_t attempt, const std::vector<release::v1::Probe>& probes, absl::Duration grace);
  void Pause();
  // No probes are run; starts are still counted. For safe mode.
  void SetProbes(bool on) { probes_on_ = on; }
  // CM ends in order.
  void End();

 private:
  struct Watched;
  void Step(const StabilityEvent& event);
  void SetTimer(absl::Duration wait);
  void RunProbes();

  const StabilityWatchParts parts_;
  const StabilityRules rules_;
  const absl::Duration interval_;
  DurableRecord file_;
  StabilityState state_;
  std::vector<std::shared_ptr<Watched>> watched_;
  bool watching_ = false;
  bool probes_on_ = true;
  EventLoop::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_STABILITY_WATCH_H_
