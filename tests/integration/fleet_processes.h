// A fleet of real processes: Mosquitto, one or more tandem-fleet on SQLite or PostgreSQL, and simulated units that
// speak with a unit's own message code. All on loopback; everything ends with its owner.
#ifndef TANDEM_TESTS_INTEGRATION_FLEET_PROCESSES_H_
#define TANDEM_TESTS_INTEGRATION_FLEET_PROCESSES_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/net/mqtt_client.h"
#include "tandem/fleet/v1/fleet.grpc.pb.h"
#include "tests/support/child_process.h"
#include "tests/support/mosquitto.h"
#include "tests/support/postgres.h"
#include "tests/support/test_documents.h"

namespace tandem {

// For machines under load; on an idle one a rollout takes little more than the score age of each ring.
inline constexpr absl::Duration kLong = absl::Seconds(200);

struct FleetProcessesOptions {
  int controllers = 1;
  // Else SQLite, for one controller.
  bool postgres = false;
  int units = 60;
  // Releases carry one that runs after the update, "inference"; it may take 2 s.
  bool diagnostics = false;
  // Until a unit is scored.
  absl::Duration score_age = absl::Seconds(15);
  // Further arguments of tandem-fleet-sim.
  std::vector<std::string> simulator;
};

class FleetProcesses {
 public:
  // Units are online and registered when it returns; releases r1, r2 and r3 (versions 1.0.0 to 3.0.0) are imported.
  explicit FleetProcesses(FleetProcessesOptions options);
  ~FleetProcesses();

  Mosquitto& broker() { return *broker_; }
  Postgres& postgres() { return *postgres_; }
  void Kill(int controller) { controllers_.at(controller)->Kill(); }
  // Ready when it returns.
  void Start(int controller);

  // Through the first controller that answers.
  fleet::v1::Rollout Roll(const std::string& release, std::vector<double> percents);
  fleet::v1::Rollout Show(uint64_t rollout);
  fleet::v1::FleetOverview Overview();
  // Units that run a release, as the fleet knows it.
  uint64_t UnitsAt(const std::string& release_id);
  absl::Status Change(uint64_t rollout, const std::string& verb);
  fleet::v1::Release Release(const std::string& release_id);
  fleet::v1::Verification Verification(uint64_t rollout);
  // Entries of the audit log with this event.
  size_t Audits(const std::string& event);
  bool WaitUntil(const std::function<bool()>& done, absl::Duration timeout);

  // Units that were ordered to two different things by one sequence. Must stay empty.
  std::vector<std::string> Conflicts();
  std::string Log(int controller) const;

 private:
  using Stub = fleet::v1::Fleet::Stub;
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response);
  void WriteConfig(int controller, const std::string& url);
  void Import();
  void TakeDesired(const MqttMessage& message);

  const FleetProcessesOptions options_;
  std::string folder_;
  TestMaker maker_;
  std::unique_ptr<Mosquitto> broker_;
  std::unique_ptr<Postgres> postgres_;
  std::vector<std::unique_ptr<ChildProcess>> controllers_;
  std::unique_ptr<ChildProcess> simulator_;
  std::string token_;
  std::mutex mutex_;
  // Unit and sequence to the assignment's digest.
  std::map<std::pair<std::string, uint64_t>, std::string> orders_;
  std::vector<std::string> conflicts_;
  std::unique_ptr<MqttClient> watcher_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_INTEGRATION_FLEET_PROCESSES_H_
