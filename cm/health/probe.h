// One check of the running unit: a command, an HTTP answer, a file's age, and so on.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<Probe> probe, MakeProbe(config, context));
//   absl::StatusOr<std::string> result = probe->Run(absl::Seconds(5));   // "12 ms", or why it failed
//   ProbeReport report = probe->Measure(absl::Seconds(5));               // the numbers, too
#ifndef TANDEM_CM_HEALTH_PROBE_H_
#define TANDEM_CM_HEALTH_PROBE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "tandem/release/v1/probe.pb.h"

namespace tandem::cm {

// A number, and what of it was allowed.
struct ProbeMeasurement {
  std::string name;
  double value = 0;
  std::string unit = {};
  std::optional<double> min = std::nullopt;
  std::optional<double> max = std::nullopt;
};

struct ProbeReport {
  // OK: passed, with a few words for people ("12 ms", "3.1 GiB free"). Any error: failed, with the reason;
  // DEADLINE_EXCEEDED: in no time.
  absl::StatusOr<std::string> result = absl::UnknownError("it did not run");
  // It failed because it could not be run: that says nothing of the unit.
  bool broken = false;
  std::vector<ProbeMeasurement> measurements = {};
  // The end of what a command printed; valid UTF-8.
  std::string log = {};
};

class Probe {
 public:
  virtual ~Probe() = default;

  // Measures once. Blocks at most about `timeout`. Called from worker threads, never twice at the same time.
  virtual ProbeReport Measure(absl::Duration timeout) = 0;

  absl::StatusOr<std::string> Run(absl::Duration timeout) { return Measure(timeout).result; }
};

struct ProbeComponent {
  std::string component_id;
  std::string component_type;
  // What runs now.
  std::string version;
  // What the running update brings; empty when it does not touch the component.
  std::string target_version;
};

// A command of a probe, and what came of it.
struct ProbeCommand {
  std::vector<std::string> argv;
  absl::Duration timeout;
  std::vector<std::pair<std::string, std::string>> environment;
  // Its standard input; empty: nothing.
  std::string input_file;
};
struct ProbeCommandResult {
  int exit_code = 0;
  // Of standard output, its beginning.
  std::string output;
  // The end of all that it wrote.
  std::string tail;
};
// Any exit code is OK. DEADLINE_EXCEEDED, ABORTED (a signal), RESOURCE_EXHAUSTED (memory), or why it cannot be started.
using ProbeCommandRunner = std::function<absl::StatusOr<ProbeCommandResult>(const ProbeCommand& command)>;

// As CM itself, which trusts the probes of its own configuration and of the health gate.
absl::StatusOr<ProbeCommandResult> RunAsOurselves(const ProbeCommand& command);

// What probes need from the unit. Its functions are called from worker threads.
struct ProbeContext {
  // Versions as the UMs report them; must be set for a version probe.
  std::function<std::vector<ProbeComponent>()> components;
  // OK while CM's watchdog was fed within its timeout; must be set for a watchdog probe.
  std::function<absl::Status()> watchdog;
  Clock* clock = &Clock::Real();
  // Of exec and replay probes.
  ProbeCommandRunner run_command = RunAsOurselves;
  // Asked for the state of services.
  std::string systemctl = "systemctl";
  // /proc/meminfo, but for tests.
  std::string meminfo_file = "/proc/meminfo";
};

// INVALID_ARGUMENT naming the probe and the field when `config` cannot work.
absl::StatusOr<std::unique_ptr<Probe>> MakeProbe(const release::v1::Probe& config, const ProbeContext& context);

// Checks a whole list as configured or as signed: every probe can be made, names are given and unique.
absl::Status CheckProbes(const std::vector<release::v1::Probe>& probes);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_PROBE_H_
