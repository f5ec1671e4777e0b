// A whole unit in simulation: the real machine of cm/update/machine/unit_update.h, its record made durable before its
// actions, and simulated UMs; streams break, processes and computers restart, jobs fail, all by the seed.
//
// After every step the invariants of the architecture are checked against what the UMs really do.
#ifndef TANDEM_TESTS_SIM_SIM_UNIT_H_
#define TANDEM_TESTS_SIM_SIM_UNIT_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cm/update/machine/unit_update.h"
#include "tandem/record/v1/record.pb.h"
#include "tests/sim/sim_um.h"

namespace tandem {

class SimUnit {
 public:
  explicit SimUnit(uint64_t seed);

  // To the end: Idle, or NeedsService with everybody quiet. Fills `problems`.
  void Run();

  // Broken invariants; empty: all is well.
  const std::vector<std::string>& problems() const { return problems_; }
  const cm::UnitUpdate& update() const { return update_; }
  bool HasCommitted() const { return was_committed_; }
  // What happened, line by line.
  std::string Story() const;

 private:
  struct Link {
    std::unique_ptr<SimUm> um;
    // Messages of an older stream do not arrive.
    uint64_t stream = 0;
    bool connected = false;
    // In order on one stream.
    absl::Duration last_arrival;
  };

  void AddUm(SimUmOptions options);
  void Begin();

  // --- streams ---
  void Connect(const std::string& node_id);
  void Disconnect(const std::string& node_id);
  void SendStatus(const std::string& node_id, bool registers);
  void SendCommand(const std::string& node_id, cm::UmCommand command);
  absl::Duration Arrival(Link& link);

  // --- processes ---
  void UmGoesDown(const std::string& node_id, bool power);
  void CmGoesDown();
  void CmComesUp();
  void PowerCut();

  // --- CM ---
  void Handle(cm::Event event);
  void EnterPhase();
  void AskConditions();
  void HandleStray(const std::string& node_id, const SimUmStatus& status);
  void Tick();
  void PlanTrouble();
  void TroubleAtCommit();

  // --- invariants ---
  void CheckSend(const std::string& node_id, cm::UmCommand command);
  void CheckEnd();
  bool AllQuiet() const;
  void Problem(const std::string& text);
  void Tell(const std::string& text);

  SimWorld world_;
  const cm::Limits limits_;
  std::map<std::string, Link> links_;
  cm::UnitUpdate update_;
  record::v1::UnitUpdateRecord durable_;
  record::v1::UnitUpdateRecord previous_durable_;
  std::string last_saved_;
  bool cm_up_ = true;
  bool disk_full_ = false;
  bool asks_conditions_ = false;
  // Of CM's process and of its phase: what was planned in another one does not happen.
  uint64_t life_ = 0;
  uint64_t phase_life_ = 0;
  bool gate_passes_ = true;
  bool trouble_at_commit_ = false;
  // As the coordinator's DesiredStore has it: durable before the record says that the update is over.
  cm::Outcome done_ = cm::Outcome::kNone;
  bool was_committed_ = false;
  bool record_was_lost_ = false;
  bool finished_ = false;
  std::vector<std::string> problems_;
  std::vector<std::string> story_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SIM_SIM_UNIT_H_
