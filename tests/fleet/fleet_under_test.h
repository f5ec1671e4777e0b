// A fleet in memory, moved step by step on a clock of its own: the real store, controller parts and documents, with
// units that answer orders as a test wants. No threads, no network, no waiting.
//
//   FleetUnderTest fleet;
//   fleet.AddUnits(100);
//   const std::string release = fleet.Import("r2", "2.0.0");
//   const int64_t rollout = fleet.Roll(release);
//   fleet.RunUntil([&] { return fleet.State(rollout) == RolloutState::kComplete; });
#ifndef TANDEM_TESTS_FLEET_FLEET_UNDER_TEST_H_
#define TANDEM_TESTS_FLEET_FLEET_UNDER_TEST_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fleet/controller/diagnostic_publisher.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/orders.h"
#include "fleet/controller/publisher.h"
#include "fleet/controller/registry.h"
#include "fleet/controller/report_intake.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/controller/rollout_runner.h"
#include "fleet/controller/unit_operations.h"
#include "fleet/controller/verification.h"
#include "fleet/messaging/fake_unit_link.h"
#include "fleet/store/faulty_database.h"
#include "fleet/store/store.h"
#include "tests/support/test_documents.h"

namespace tandem::fleet {

// How a unit answers an order for a release.
enum class Behaviour {
  kGood,
  // Goes back by itself, and says so.
  kReverts,
  // Never says a word.
  kSilent,
  // Says applied, with the versions of before.
  kLies,
  // Applied, and some time later it runs the old one again.
  kFallsBackLater,
  // commit_on: verified: waits for the verdict.
  kProvisional,
};

// How a unit answers a diagnostic.
enum class Diagnosis {
  kPasses,
  kFails,
  // Never.
  kHangs,
};

struct SimulatedUnit {
  std::string unit_id;
  bool online = true;
  // Release digest (hex) and version per plane; what it committed.
  std::map<std::string, std::pair<std::string, std::string>> runs;
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  uint64_t epoch = 1;
  uint64_t seq = 0;
  // When it falls back; 0: it does not.
  int64_t falls_back_at = 0;
  std::map<std::string, std::pair<std::string, std::string>> previous;
  // Not committed: a verdict decides.
  bool on_trial = false;
  // The desired state that it has looked at.
  std::string seen;
  // Runs that it has answered, or never will.
  std::set<std::string> diagnosed;
  // All orders it was given, in order: sequence and the digests.
  std::vector<std::pair<uint64_t, std::string>> orders;
};

inline Behaviour Reverts(const SimulatedUnit&) { return Behaviour::kReverts; }

class FleetUnderTest {
 public:
  // `folder`: where the store is; empty: a temporary one.
  FleetUnderTest();
  ~FleetUnderTest();

  // So many units, all on release r1, by a rollout of one ring; returns its digest.
  std::string Begin(int units);
  // Named u000, u001, …; hardware gw-2, regions eu and us in turn.
  void AddUnits(int count);
  SimulatedUnit& unit(const std::string& unit_id) { return units_.at(unit_id); }
  std::map<std::string, SimulatedUnit>& units() { return units_; }
  // What units do with a release, by its release_id; default kGood. May depend on the unit.
  void Behave(const std::string& release_id, std::function<Behaviour(const SimulatedUnit&)> how) {
    behaviours_[release_id] = std::move(how);
  }
  // What a diagnostic finds while the unit runs a release, by its release_id; default kPasses.
  void Diagnose(const std::string& release_id, std::function<Diagnosis(const SimulatedUnit&)> how) {
    diagnoses_[release_id] = std::move(how);
  }
  void Diagnose(const std::string& release_id, Diagnosis diagnosis) {
    Diagnose(release_id, [diagnosis](const SimulatedUnit&) { return diagnosis; });
  }
  void SetOnline(const std::string& unit_id, bool online);

  // Signs, lists and imports; returns its digest.
  std::string Import(const std::string& release_id, const std::string& version,
                     release::v1::Plane plane = release::v1::FIRMWARE);
  // With these diagnostics, which run after the update; of one part for each plane.
  std::string ImportVerified(const std::string& release_id, const std::string& version,
                             const std::vector<release::v1::Plane>& planes = {release::v1::FIRMWARE},
                             const std::vector<release::v1::Plane>& rollback_order = {},
                             const std::vector<std::string>& diagnostics = {"inference"});
  std::string Import(const release::v1::Release& release);
  static v1::RolloutSpec Spec(const std::string& release);
  int64_t Roll(const v1::RolloutSpec& spec);
  absl::StatusOr<int64_t> TryRoll(const v1::RolloutSpec& spec);
  int64_t Roll(const std::string& release) { return Roll(Spec(release)); }
  absl::Status Change(int64_t rollout, const std::string& verb, const std::string& unit_id = "");

  // One round of everything: messages, rollouts, orders, units. Errors of the store end the round.
  absl::Status Step();
  // Rounds of a second each; false: not within `rounds`.
  bool RunUntil(const std::function<bool()>& done, int rounds = 2000);
  void Run(int rounds);
  // The controller is gone, with all it had in memory; another starts on the store.
  void Restart();
  // Messages arrive in another order, some twice.
  void MixMessages(uint64_t seed) { mix_ = std::mt19937_64(seed); }

  v1::Rollout View(int64_t rollout);
  std::string State(int64_t rollout) { return View(rollout).state(); }
  uint64_t Count(int64_t rollout, int ring, const std::string& state);
  UnitRow Row(const std::string& unit_id);
  std::vector<AttemptRow> AttemptsOf(const std::string& unit_id);
  std::vector<DiagnosticRunRow> RunsOf(const std::string& unit_id);
  ReleaseRow ReleaseOf(const std::string& digest);
  StormGuard Guard();
  // Of one event; newest first.
  std::vector<AuditRow> Audits(const std::string& event);
  // After its commit the unit finds that it is not well.
  void SayAnomaly(const std::string& unit_id, const std::string& reason) { Say(units_.at(unit_id), "anomaly", reason); }
  // A result as the unit would send it.
  void SayResult(const std::string& unit_id, const std::string& run_id, const std::string& diagnostic,
                 const std::string& outcome);
  int64_t Counter(const std::string& name);
  // Units whose firmware is at this release, as they themselves know.
  int UnitsAt(const std::string& digest, const std::string& plane = "FIRMWARE") const;
  // A verdict that was sent; verified.
  release::v1::Verdict VerdictOf(const std::string& envelope) const;
  // The assignment that is retained for a unit; verified.
  std::optional<release::v1::Assignment> Retained(const std::string& unit_id);
  void Write(const Store::Work& work);

  int64_t now = 1'800'000'000;
  TestMaker maker;
  std::shared_ptr<FaultPlan> faults = std::make_shared<FaultPlan>();
  FakeUnitLink link;
  std::unique_ptr<Documents> documents;
  std::unique_ptr<Orders> orders;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<RolloutOperations> operations;
  VerificationOptions verification_options;
  std::unique_ptr<Verification> verification;
  std::unique_ptr<UnitOperations> unit_operations;
  std::unique_ptr<Store> store;

 private:
  void Start();
  absl::Status Reap();
  void Read(const Store::Work& work);
  void AnswerDiagnostics();
  void Answer(SimulatedUnit& unit);
  void Obey(SimulatedUnit& unit, const release::v1::Assignment& assignment);
  void Say(SimulatedUnit& unit, const std::string& state, const std::string& reason = "");
  void SayApplied(SimulatedUnit& unit, bool provisional,
                  const std::map<std::string, std::pair<std::string, std::string>>& runs);
  void SayReported(SimulatedUnit& unit);
  template <typename Payload>
  void Send(SimulatedUnit& unit, const Payload& payload, bool provisional = false);
  std::string ReleaseIdOf(const std::string& digest) const;

  std::string folder_;
  std::unique_ptr<RolloutRunner> runner_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<DiagnosticPublisher> diagnostic_publisher_;
  std::map<std::string, SimulatedUnit> units_;
  std::map<std::string, std::function<Behaviour(const SimulatedUnit&)>> behaviours_;
  std::vector<std::string> envelopes_;
  std::map<std::string, release::v1::Release> releases_;
  std::vector<UnitMessage> messages_;
  std::set<std::string> acknowledged_;
  std::optional<std::mt19937_64> mix_;
  uint64_t list_version_ = 0;
  size_t verdicts_seen_ = 0;
  size_t diagnostics_seen_ = 0;
  int64_t reaped_at_ = 0;
  std::map<std::string, std::function<Diagnosis(const SimulatedUnit&)>> diagnoses_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_TESTS_FLEET_FLEET_UNDER_TEST_H_
