// One check of the running unit: a command, an HTTP answer, a file's age, and so on.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<Probe> probe, MakeProbe(config, context));
//   absl::StatusOr<std::string> result = probe->Run(absl::Seconds(5));   // "12 ms", or why it failed
#ifndef TANDEM_CM_HEALTH_PROBE_H_
#define TANDEM_CM_HEALTH_PROBE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "tandem/release/v1/probe.pb.h"

namespace tandem::cm {

class Probe {
 public:
  virtual ~Probe() = default;

  // Measures once. OK: passed, with a few words for people ("12 ms", "3.1 GiB free"). Any error: failed, with the
  // reason. Blocks at most about `timeout`. Called from worker threads, never twice at the same time.
  virtual absl::StatusOr<std::string> Run(absl::Duration timeout) = 0;
};

struct ProbeComponent {
  std::string component_id;
  std::string component_type;
  // What runs now.
  std::string version;
  // What the running update brings; empty when it does not touch the component.
  std::string target_version;
};

// What probes need from the unit. Both functions are called from worker threads.
struct ProbeContext {
  // Versions as the UMs report them; must be set for a version probe.
  std::function<std::vector<ProbeComponent>()> components;
  // OK while CM's watchdog was fed within its timeout; must be set for a watchdog probe.
  std::function<absl::Status()> watchdog;
  Clock* clock = &Clock::Real();
  // /proc/meminfo, but for tests.
  std::string meminfo_file = "/proc/meminfo";
};

// INVALID_ARGUMENT naming the probe and the field when `config` cannot work.
absl::StatusOr<std::unique_ptr<Probe>> MakeProbe(const release::v1::Probe& config, const ProbeContext& context);

// Checks a whole list as configured or as signed: every probe can be made, names are given and unique.
absl::Status CheckProbes(const std::vector<release::v1::Probe>& probes);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_PROBE_H_
