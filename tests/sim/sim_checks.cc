// The invariants of the architecture, against what the simulated UMs really do.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cm/update/machine/participants.h"
#include "tests/sim/sim_unit.h"

namespace tandem {

using cm::Phase;
using cm::UmCommand;

void SimUnit::Tell(const std::string& text) {
  story_.push_back(absl::StrCat(absl::FormatDuration(absl::Trunc(world_.now(), absl::Milliseconds(1))), "  ", text));
}

void SimUnit::Problem(const std::string& text) {
  Tell(absl::StrCat("PROBLEM: ", text));
  problems_.push_back(text);
}

std::string SimUnit::Story() const { return absl::StrJoin(story_, "\n"); }

void SimUnit::CheckSend(const std::string& node_id, UmCommand command) {
  const std::string& decision = durable_.decision();
  const bool committed = decision == std::string(cm::Name(cm::Decision::kCommit));
  if (update_.phase != Phase::kIdle && durable_.phase() != std::string(cm::Name(update_.phase))) {
    Problem(absl::StrCat("a command in phase ", std::string(cm::Name(update_.phase)), ", but ", durable_.phase(),
                         " is durable"));
  }
  switch (command) {
    case UmCommand::kStart:
      for (const cm::Participant& p : update_.participants) {
        const um::UmStep step = links_.at(p.node_id).um->step();
        if (!committed && um::WireStateOf(step) == um::WireState::kIdle) {
          Problem(absl::StrCat("Start for ", node_id, " before ", p.node_id, " is PREPARED"));
        }
        if (p.node_id != node_id && (step == um::UmStep::kStarting || step == um::UmStep::kRebooting)) {
          Problem(absl::StrCat("Start for ", node_id, " while ", p.node_id, " is starting"));
        }
      }
      break;
    case UmCommand::kApply:
      if (!committed && update_.phase != Phase::kIdle) Problem(absl::StrCat("Apply for ", node_id, " without COMMIT"));
      break;
    case UmCommand::kRevert:
      if (committed && update_.phase != Phase::kIdle) Problem(absl::StrCat("Revert for ", node_id, " after COMMIT"));
      if (was_committed_ && !record_was_lost_ && update_.phase == Phase::kReverting && !update_.compensating &&
          !update_.reason.starts_with("after COMMIT")) {
        Problem(absl::StrCat("COMMIT was taken back for ", node_id, ": ", update_.reason));
      }
      break;
    default:
      break;
  }
}

bool SimUnit::AllQuiet() const {
  return std::ranges::all_of(links_, [](const auto& entry) { return entry.second.um->step() == um::UmStep::kIdle; });
}

void SimUnit::CheckEnd() {
  std::string versions;
  for (const auto& [node_id, link] : links_) {
    absl::StrAppend(&versions, " ", node_id, "=", link.um->running(), "/", std::string(um::Name(link.um->step())));
  }
  Tell(absl::StrCat("end:", versions));
  if (update_.phase == Phase::kNeedsService) {
    if (update_.reason.empty()) Problem("needs service, and nobody knows why");
    return;
  }
  if (!finished_) return Problem(absl::StrCat("does not end: phase ", std::string(cm::Name(update_.phase)), versions));
  if (!AllQuiet()) return Problem(absl::StrCat("over, but not everybody is IDLE:", versions));
  const std::string expected = update_.outcome == cm::Outcome::kApplied ? "new" : "old";
  for (const auto& [node_id, link] : links_) {
    // CM names it, and drives it forward later.
    if (std::ranges::count(update_.leftovers, node_id) > 0) continue;
    if (link.um->running() != expected) {
      return Problem(absl::StrCat("ended as ", std::string(cm::Name(update_.outcome)), " with", versions));
    }
  }
}

}  // namespace tandem
