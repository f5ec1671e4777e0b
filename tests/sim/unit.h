// A whole unit in simulation, made from a campaign: computers, CM, UMs, network and cloud, with its troubles.
#ifndef TANDEM_TESTS_SIM_UNIT_H_
#define TANDEM_TESTS_SIM_UNIT_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/campaign.h"
#include "tests/sim/cloud.h"
#include "tests/sim/cm.h"
#include "tests/sim/computer.h"
#include "tests/sim/network.h"
#include "tests/sim/um.h"
#include "tests/sim/world.h"

namespace tandem::sim {

class Checks;

class Unit {
 public:
  Unit(const Campaign& campaign, bool tells);
  ~Unit();

  CampaignResult Run();

  World& world() { return world_; }
  Cloud& cloud() { return cloud_; }
  Cm& cm() { return *cm_; }
  const std::map<std::string, std::unique_ptr<Um>>& ums() const { return ums_; }
  const Campaign& campaign() const { return campaign_; }
  bool standstill() const { return moves_ == 0; }
  // Zero at a standstill.
  absl::Duration moving_for() const { return standstill() ? absl::ZeroDuration() : world_.now() - moving_since_; }
  // By sequence and attempt.
  const SimAssignment* FindAssignment(uint64_t sequence, uint32_t attempt) const;
  void Problem(const std::string& text);

 private:
  void Schedule(const Trouble& trouble);
  void Begin(const Trouble& trouble);
  void BeginAtProcess(const Trouble& trouble, Process& process);
  void BeginAtUm(const Trouble& trouble, Um& um);
  void BeginByPeople(const Trouble& trouble);
  void CrashLoop(absl::Duration until);
  // From now on nothing goes wrong.
  void Calm();
  void PhaseChanged();
  void LookAround();
  bool AtRest();
  Computer& ComputerOf(const std::string& whom);
  Process* FindProcess(const std::string& whom);

  const Campaign campaign_;
  World world_;
  Network network_;
  Cloud cloud_;
  std::map<std::string, std::unique_ptr<Computer>> computers_;
  std::unique_ptr<Cm> cm_;
  std::map<std::string, std::unique_ptr<Um>> ums_;
  std::unique_ptr<Checks> checks_;
  int moves_ = 0;
  absl::Duration moving_since_;
  std::string phase_;
  std::set<std::string> phases_seen_;
  // When everything that was begun will be over.
  absl::Duration trouble_until_;
  std::vector<std::string> problems_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_UNIT_H_
