// What holds an update up before Start, and judges it on trial: preconditions, install window, health gate, verdict.
#ifndef TANDEM_CM_UPDATE_TRIAL_GATES_H_
#define TANDEM_CM_UPDATE_TRIAL_GATES_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/health/gate_runner.h"
#include "cm/trust/trust_store.h"
#include "cm/update/update_port.h"
#include "cm/update/update_reporter.h"
#include "common/time/clock.h"
#include "common/time/loop_scope.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

// Makes a gate for a list of probes; what probes need from the unit is bound in.
using GateFactory = std::function<absl::StatusOr<std::unique_ptr<GateRunner>>(
    GateMode mode, const std::vector<release::v1::Probe>& probes, absl::Duration grace)>;

// The unit's own health probes, and those that were signed with `releases`.
std::vector<release::v1::Probe> HealthProbes(const config::v1::HealthGate& health,
                                             const std::vector<AcceptedRelease>& releases);

struct TrialGatesParts {
  EventLoop& loop;
  Clock& clock;
  const config::v1::CmConfig& config;
  const Limits& limits;
  const TrustStore& trust;
  GateFactory make_gate;
  UpdatePort& update;
  UpdateReporter& reporter;
};

// Used on the event thread. Nothing here is durable: after a restart of CM every gate begins again.
class TrialGates {
 public:
  // What the parts refer to must outlive it.
  explicit TrialGates(TrialGatesParts parts) : parts_(std::move(parts)), scope_(parts_.loop) {}

  // Ends what does not belong to the update's new phase, and begins what does.
  void EnterPhase();
  // After each step: conditions are asked anew before each StartUpdate.
  void AskConditions(const std::vector<Action>& actions);
  // Once a second while an update runs.
  void Tick();

  // How long a healthy unit takes to pass the gate of these releases.
  absl::Duration TimeToPass(const std::vector<AcceptedRelease>& releases) const;
  // Of the gate that runs, for Status(); empty when none does.
  std::vector<GateProbeStatus> Probes() const;

 private:
  void StartPreconditions();
  // Starts the probes of all conditions; an error says why they cannot be asked.
  absl::Status AskAll();
  void ForgetConditions();
  void StartHealthGate();
  void UpdateReadiness();
  void CheckVerdictTimeout();
  absl::Duration Grace() const;

  const TrialGatesParts parts_;
  std::unique_ptr<GateRunner> preconditions_;
  bool preconditions_met_ = false;
  std::string preconditions_reason_;
  std::unique_ptr<GateRunner> gate_;
  absl::Duration gate_passed_at_;
  LoopScope scope_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_TRIAL_GATES_H_
