// The unit's update under any sequence of events, restarts in between: the promises of the architecture hold for
// whatever UMs, people and clouds say.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "cm/update/machine/participants.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/records/update_record.h"
#include "tests/fuzz/check.h"

using namespace tandem::cm;  // NOLINT(google-build-using-namespace): one small program

namespace {

UnitUpdate NewUpdate() {
  std::vector<Participant> participants;
  for (const auto& [name, switches_boot] : {std::pair("config", false), {"mcu", true}, {"rootfs", true}}) {
    Participant participant;
    participant.node_id = name;
    participant.switches_boot = switches_boot;
    participant.targets.push_back({.component_id = name,
                                   .component_type = name,
                                   .version = "2",
                                   .previous_version = "1",
                                   .sha256 = {},
                                   .path = "path",
                                   .annotations = {},
                                   .release_digest = {},
                                   .plane = {}});
    participants.push_back(participant);
  }
  UnitUpdate update;
  update.update_id = "1.1";
  return Begin(update, participants);
}

Event MakeEvent(uint8_t what, uint8_t more) {
  static constexpr const char* kNodes[] = {"config", "mcu", "rootfs", "stranger"};
  Event event{.elapsed = {}, .node_id = kNodes[more & 3], .text = {}};
  event.kind = static_cast<Event::Kind>(what % 14);
  switch (event.kind) {
    case Event::Kind::kTick:
      event.elapsed = absl::Seconds(1 << (more % 12));
      break;
    case Event::Kind::kUmStatus:
      event.um_state = static_cast<UmState>((more >> 2) & 3);
      event.um_installing = (more & 16) != 0;
      event.um_registered = (more & 32) != 0;
      event.um_on_target = (more & 64) != 0;
      event.um_tells_running = (more & 128) != 0;
      break;
    case Event::Kind::kReadiness:
      event.flag = (more & 1) != 0;
      break;
    default:
      event.text = "somebody";
      break;
  }
  return event;
}

void CheckSend(const UnitUpdate& update, const Action& action) {
  const auto to = std::ranges::find(update.participants, action.node_id, &Participant::node_id);
  FUZZ_CHECK(to != update.participants.end() && to->connected);
  switch (action.command) {
    case UmCommand::kStart:
      FUZZ_CHECK(update.phase == Phase::kStarting || update.phase == Phase::kCommitting);
      for (const Participant& p : update.participants) {
        if (p.node_id == action.node_id) continue;
        FUZZ_CHECK(p.sent != UmCommand::kStart || p.answered || p.state == UmState::kUpdated);
        if (update.phase == Phase::kStarting) FUZZ_CHECK(p.prepares > 0);
      }
      break;
    case UmCommand::kApply:
      FUZZ_CHECK(update.decision == Decision::kCommit && update.phase == Phase::kCommitting);
      break;
    case UmCommand::kRevert:
      FUZZ_CHECK(update.decision != Decision::kCommit);
      FUZZ_CHECK(update.phase == Phase::kReverting || update.phase == Phase::kNeedsService ||
                 (update.phase == Phase::kPreparing && to->prepares == 0));
      break;
    default:
      break;
  }
}

void CheckStep(const UnitUpdate& before, const UnitUpdate& after) {
  if (before.decision == Decision::kCommit && after.decision != Decision::kCommit) {
    FUZZ_CHECK(after.reason.starts_with("after COMMIT"));
  }
  if (before.decision == Decision::kAbort && after.decision != Decision::kAbort) {
    FUZZ_CHECK(after.compensating && !before.compensating);
  }
  if (before.compensating) FUZZ_CHECK(after.compensating);
  const bool was_waiting = before.phase == Phase::kPreparing || before.phase == Phase::kReady;
  if (was_waiting && (after.phase == Phase::kStarting || after.phase == Phase::kTrial)) {
    for (const Participant& p : after.participants) FUZZ_CHECK(HasReported(p, UmState::kPrepared));
  }
  if (after.phase == Phase::kIdle) FUZZ_CHECK(after.outcome != Outcome::kNone);
  if (after.phase == Phase::kReverting) FUZZ_CHECK(after.decision == Decision::kAbort && !after.reason.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Limits limits;
  UnitUpdate update = NewUpdate();
  for (size_t i = 0; i + 1 < size && update.phase != Phase::kIdle; i += 2) {
    if (data[i] >= 250) {
      // CM restarts.
      update = FromRecord(ToRecord(update)).value();
      update.gate_passed = false;
      continue;
    }
    const Step step = Advance(update, MakeEvent(data[i], data[i + 1]), limits);
    CheckStep(update, step.update);
    for (const Action& action : step.actions) {
      if (action.kind == Action::Kind::kSend) CheckSend(step.update, action);
    }
    update = step.update;
  }
  return 0;
}
