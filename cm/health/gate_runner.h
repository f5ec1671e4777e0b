// Runs a gate's probes and tells the event thread what came out.
//
//   ProbeWorkers workers(4);
//   ASSIGN_OR_RETURN(auto gate, GateRunner::Create(loop, workers, GateMode::kHealth, probes, context, grace));
//   gate->Start([&](const GateState& state) { ... });       // on the event thread, at each change
//   gate.reset();                                            // ends it; no call comes after that
#ifndef TANDEM_CM_HEALTH_GATE_RUNNER_H_
#define TANDEM_CM_HEALTH_GATE_RUNNER_H_

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/health/gate.h"
#include "cm/health/probe.h"
#include "common/time/event_loop.h"
#include "common/time/workers.h"
#include "tandem/release/v1/probe.pb.h"

namespace tandem::cm {

// A few workers that block in probes, so that the event thread does not. None is there while nothing is to be done.
// Thread-safe.
class ProbeWorkers {
 public:
  // At most so many at the same time; `workers` must outlive it.
  explicit ProbeWorkers(int at_once, Workers& workers = Workers::Threads());
  // Waits for the probes that are running, which end at their time-outs.
  ~ProbeWorkers();

  ProbeWorkers(const ProbeWorkers&) = delete;
  ProbeWorkers& operator=(const ProbeWorkers&) = delete;

  void Run(std::function<void()> work);

 private:
  struct Active {
    std::unique_ptr<Worker> worker;
    bool ended = false;
  };
  void Work(Active& active);

  const int at_once_;
  Workers& workers_;
  std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
  bool stopped_ = false;
  std::list<Active> active_;
};

struct GateProbeStatus {
  std::string name;
  ProbeProgress progress;
};

// Created, used and destroyed on the event thread. `loop` and `workers` must outlive it, and `loop` must outlive
// `workers`. A precondition gate goes on probing after it passed, so that it can take the pass back.
class GateRunner {
 public:
  // `grace` counts for every probe beside its own. INVALID_ARGUMENT as MakeProbe().
  static absl::StatusOr<std::unique_ptr<GateRunner>> Create(EventLoop& loop, ProbeWorkers& workers, GateMode mode,
                                                            const std::vector<release::v1::Probe>& probes,
                                                            const ProbeContext& context,
                                                            absl::Duration grace = absl::ZeroDuration());
  ~GateRunner();

  GateRunner(const GateRunner&) = delete;
  GateRunner& operator=(const GateRunner&) = delete;

  // `changed` is called with each new verdict or reason, never from inside Start(); it may destroy the runner.
  void Start(std::function<void(const GateState& state)> changed);

  const GateState& state() const;
  std::vector<GateProbeStatus> Probes() const;

 private:
  struct Run;
  explicit GateRunner(std::shared_ptr<Run> run) : run_(std::move(run)) {}
  std::shared_ptr<Run> run_;
};

// Before no gate of these probes can pass.
absl::Duration LongestGrace(const std::vector<release::v1::Probe>& probes, absl::Duration grace);

// By when the gate of a healthy unit has passed, a slow answer of each probe included: what must fit into the trial
// deadline.
absl::Duration TimeToPass(const std::vector<release::v1::Probe>& probes, absl::Duration grace);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_GATE_RUNNER_H_
