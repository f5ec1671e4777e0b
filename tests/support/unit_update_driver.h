// Drives the pure machine of the unit's update in tests, as the coordinator does.
#ifndef TANDEM_TESTS_SUPPORT_UNIT_UPDATE_DRIVER_H_
#define TANDEM_TESTS_SUPPORT_UNIT_UPDATE_DRIVER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/unit_update.h"
#include "gtest/gtest.h"

namespace tandem::cm {

inline Participant Um(const std::string& node_id, uint32_t priority, bool switches_boot = false) {
  Participant p{.node_id = node_id, .priority = priority, .switches_boot = switches_boot};
  p.targets.push_back({.component_id = node_id, .component_type = node_id, .version = "2", .previous_version = "1"});
  return p;
}

// Drives the machine as the coordinator does, and remembers what was sent.
class Unit {
 public:
  explicit Unit(std::vector<Participant> participants, UnitUpdate first = {}) {
    first.ready = true;
    update = Begin(first, std::move(participants));
  }

  void Send(Event event) {
    const Step step = Advance(update, event, limits);
    update = step.update;
    for (const Action& action : step.actions) {
      if (action.kind != Action::Kind::kSend) continue;
      sent.push_back(absl::StrCat(action.node_id, ":", std::string(Name(action.command))));
      if (action.command == UmCommand::kPrepare && !cm_fetches) {
        Send({.kind = Event::Kind::kPrepareWentOut, .node_id = action.node_id});
      }
    }
    const bool is_told_by_test = update.phase == Phase::kReady && !update.compensating;
    if (conditions_hold && !is_told_by_test && WaitsForConditions(update, limits)) {
      Send({.kind = Event::Kind::kReadiness, .flag = true});
    }
  }

  void Reports(const std::string& node, UmState state, bool on_target = false, const std::string& error = "") {
    Send({.kind = Event::Kind::kUmStatus,
          .node_id = node,
          .um_state = state,
          .um_runs = on_target ? Runs::kTarget : Runs::kOther,
          .text = error});
  }
  void DoesNotSayWhatItRuns(const std::string& node) { Send({.kind = Event::Kind::kUmStatus, .node_id = node}); }
  void Registers(const std::string& node, UmState state, bool on_target = false, const std::string& error = "") {
    Send({.kind = Event::Kind::kUmStatus,
          .node_id = node,
          .um_state = state,
          .um_registered = true,
          .um_runs = on_target ? Runs::kTarget : Runs::kOther,
          .text = error});
  }
  void Installing(const std::string& node, UmState state) {
    Send({.kind = Event::Kind::kUmStatus, .node_id = node, .um_state = state, .um_installing = true});
  }
  void Loses(const std::string& node) { Send({.kind = Event::Kind::kUmLost, .node_id = node}); }
  void Passes(absl::Duration time) { Send({.kind = Event::Kind::kTick, .elapsed = time}); }
  void GatePasses() { Send({.kind = Event::Kind::kGatePassed}); }
  void GateFails(const std::string& why) { Send({.kind = Event::Kind::kGateFailed, .text = why}); }
  void Aborts(const std::string& why) { Send({.kind = Event::Kind::kAbort, .text = why}); }

  // What was sent since the last call.
  std::vector<std::string> Sent() { return std::exchange(sent, {}); }

  UnitUpdate update;
  Limits limits;
  std::vector<std::string> sent;
  // Answers as soon as they are asked for; Ready is told by the tests.
  bool conditions_hold = true;
  // PrepareUpdate does not go out by itself.
  bool cm_fetches = false;
};

// Three UMs in Trial, everything UPDATED: config (1), model (2), rootfs (3, switches a boot).
inline Unit InTrial() {
  Unit unit({Um("rootfs", 3, true), Um("model", 2), Um("config", 1)});
  for (const char* node : {"rootfs", "model", "config"}) unit.Registers(node, UmState::kIdle);
  for (const char* node : {"rootfs", "model", "config"}) unit.Reports(node, UmState::kPrepared);
  for (const char* node : {"config", "model", "rootfs"}) unit.Reports(node, UmState::kUpdated);
  EXPECT_EQ(unit.update.phase, Phase::kTrial);
  unit.Sent();
  return unit;
}

inline Unit InCommitting() {
  Unit unit = InTrial();
  unit.GatePasses();
  EXPECT_EQ(unit.update.phase, Phase::kCommitting);
  unit.Sent();
  return unit;
}

}  // namespace tandem::cm

#endif  // TANDEM_TESTS_SUPPORT_UNIT_UPDATE_DRIVER_H_
