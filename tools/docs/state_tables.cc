#include "tools/docs/state_tables.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bootloader/core/slot_policy.h"
#include "cm/health/gate.h"
#include "cm/update/machine/unit_update.h"
#include "fleet/rollout/attempt_machine.h"
#include "fleet/rollout/ring_gate.h"
#include "fleet/rollout/rollout_machine.h"
#include "tools/docs/markdown.h"
#include "um/um_state.h"

namespace tandem::docs {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string Text(cm::Phase phase) { return std::string(cm::Name(phase)); }

// One arrow per pair of phases, for a picture that can be read.
void PrintPhases(std::ostream& out) {
  std::string text = absl::StrCat("stateDiagram-v2\n    [*] --> ", Text(cm::Phase::kPreparing), "\n");
  std::set<std::pair<cm::Phase, cm::Phase>> seen;
  for (const cm::Transition& row : cm::Transitions()) {
    if (!seen.insert({row.from, row.to}).second) continue;
    const std::string to = row.to == cm::Phase::kIdle ? "[*]" : Text(row.to);
    absl::StrAppend(&text, "    ", Text(row.from), " --> ", to, "\n");
  }
  PrintFenced(out, "mermaid", text);
}

void PrintUnitUpdate(std::ostream& out) {
  out << "## The unit's update: phases\n\n"
         "CM searches the rows of its current phase from the top. The first row that holds is taken, and the search "
         "begins again.\nCOMMIT and ABORT are durable before anything follows from them. "
         "Source: `cm/update/machine/unit_update_tables.cc`.\n\n";
  PrintPhases(out);
  Rows rows;
  for (const cm::Transition& row : cm::Transitions()) {
    rows.push_back(
        {std::string(cm::Name(row.from)), std::string(row.when), std::string(cm::Name(row.to)), std::string(row.then)});
  }
  PrintTable(out, {"phase", "when", "next phase", "decided"}, rows);
}

void PrintCommands(std::ostream& out) {
  out << "## The unit's update: commands\n\n"
         "What CM sends to a connected UM, by the unit's phase and the state the UM reports. The first row that holds "
         "counts.\nA command is sent again, with back-off, while its row still holds. No row: nothing is sent. "
         "Source: `cm/update/machine/unit_update_tables.cc`.\n\n";
  Rows rows;
  for (const cm::CommandRule& rule : cm::Commands()) {
    rows.push_back({std::string(cm::Name(rule.phase)), std::string(cm::Name(rule.state)), std::string(rule.when),
                    std::string(cm::Name(rule.command))});
  }
  PrintTable(out, {"phase of the unit", "state of the UM", "and", "command"}, rows);
}

void PrintUm(std::ostream& out) {
  out << "## An Update Manager\n\n"
         "A UM makes the new step durable, then runs the plugin's method. What stands in no row changes nothing: the "
         "UM\nanswers with its status. Source: `um/um_state_tables.cc`.\n\n";
  Rows rows;
  for (const um::UmTransition& row : um::UmTransitions()) {
    rows.push_back({std::string(um::Name(row.from)), std::string(um::Name(row.input)), std::string(um::Name(row.to)),
                    std::string(um::Name(um::WireStateOf(row.to))), std::string(um::Name(row.job)),
                    std::string(row.note)});
  }
  PrintTable(out, {"step", "input", "next step", "reported to CM", "plugin method", "note"}, rows);
}

void PrintSlotPolicy(std::ostream& out) {
  out << "## Which slot the bootloader boots\n\n"
         "Searched from the top; the first row that holds decides. A changed record is durable before the jump.\n"
         "The format of the record is in [boot-record.md](boot-record.md). Source: "
         "`bootloader/core/slot_policy_table.cc`."
         "\n\n";
  Rows rows;
  for (const boot::PolicyRow& row : boot::PolicyTable()) {
    rows.push_back({row.when, row.then, boot::ReasonText(row.reason)});
  }
  PrintTable(out, {"when", "then", "on the console"}, rows);
}

void PrintGate(std::ostream& out) {
  out << "## A probe of the health gate\n\n"
         "The gate passes when every probe is passed at the same time and the grace is over. It fails with the first "
         "failed\nprobe; as a precondition gate it never fails, it waits. Source: `cm/health/gate.cc`.\n\n";
  Rows rows;
  for (const cm::GateTransition& row : cm::GateTable()) {
    rows.push_back({std::string(cm::ProbeStateName(row.from)), std::string(cm::GateConditionText(row.when)),
                    std::string(cm::ProbeStateName(row.to))});
  }
  PrintTable(out, {"state", "result", "next state"}, rows);
}

template <typename Items>
std::string Names(const Items& items) {
  return absl::StrJoin(items, ", ", [](std::string* out, auto item) { out->append(fleet::Name(item)); });
}

void PrintRollout(std::ostream& out) {
  out << "## The fleet: a rollout\n\n"
         "The rows are searched from the top. An event that is in no row is refused, with the verbs that would be "
         "taken.\nSource: `fleet/rollout/rollout_machine.cc`.\n\n";
  Rows rows;
  for (const fleet::RolloutRule& rule : fleet::RolloutRules()) {
    std::string when;
    if (rule.paused.has_value()) when = *rule.paused ? "paused" : "not paused";
    if (rule.last_ring.has_value()) {
      absl::StrAppend(&when, when.empty() ? "" : ", ", *rule.last_ring ? "last ring" : "not the last ring");
    }
    rows.push_back({Names(rule.from), std::string(fleet::Name(rule.event)), when,
                    rule.to.has_value() ? std::string(fleet::Name(*rule.to)) : "stays", std::string(rule.why)});
  }
  PrintTable(out, {"state", "event", "and", "next state", "why"}, rows);
}

void PrintAttempt(std::ostream& out) {
  out << "## The fleet: a unit's attempt\n\n"
         "An event that is in no row changes nothing. Source: `fleet/rollout/attempt_machine.cc`.\n\n";
  Rows rows;
  for (const fleet::AttemptRule& rule : fleet::AttemptRules()) {
    std::vector<std::string> effects;
    if (rule.effects.start_clock) effects.emplace_back("its clock starts");
    if (rule.effects.stop_clock) effects.emplace_back("its clock stops");
    if (rule.effects.score == fleet::AttemptScore::kPass) effects.emplace_back("scored as a pass");
    if (rule.effects.score == fleet::AttemptScore::kFail) effects.emplace_back("scored as a failure");
    if (rule.effects.new_try) effects.emplace_back("a new try");
    rows.push_back({Names(rule.from), std::string(fleet::Name(rule.event)), std::string(fleet::Name(rule.to)),
                    absl::StrJoin(effects, ", "), std::string(rule.why)});
  }
  PrintTable(out, {"state", "event", "next state", "also", "why"}, rows);
}

void PrintRingGate(std::ostream& out) {
  out << "## The gate of a ring\n\n"
         "Searched from the top; the first row that holds decides. [gates.md](gates.md) has the formulas. "
         "Source: `fleet/rollout/ring_gate_table.cc`.\n\n";
  Rows rows;
  for (const fleet::GateRow& row : fleet::GateRows()) {
    rows.push_back({std::string(row.name), std::string(row.when), std::string(fleet::Name(row.outcome))});
  }
  PrintTable(out, {"rule", "when", "outcome"}, rows);
}

}  // namespace

void PrintStateTables(std::ostream& out) {
  out << "# State tables\n\n";
  PrintOrigin(out, "the tables in the code");
  out << "These are the tables the programs search, not a description of them. "
         "[architecture.md](architecture.md) explains the words.\n\n";
  PrintUnitUpdate(out);
  PrintCommands(out);
  PrintUm(out);
  PrintSlotPolicy(out);
  PrintGate(out);
  PrintRollout(out);
  PrintAttempt(out);
  PrintRingGate(out);
}

}  // namespace tandem::docs
