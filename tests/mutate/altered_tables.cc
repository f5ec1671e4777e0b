#include "tests/mutate/altered_tables.h"

#include <array>
#include <cstdlib>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bootloader/core/slot_policy.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/update_journal.h"
#include "um/um_state.h"

namespace tandem::mutate {

// The product's own; the linker's names for them.
std::span<const cm::Transition> RealTransitions() asm("__real__ZN6tandem2cm11TransitionsEv");
std::span<const cm::CommandRule> RealCommands() asm("__real__ZN6tandem2cm8CommandsEv");
std::span<const um::UmTransition> RealUmTransitions() asm("__real__ZN6tandem2um13UmTransitionsEv");
std::span<const boot::PolicyRow> RealPolicy() asm("__real__ZN6tandem4boot11PolicyTableEv");
absl::Status RealSave(cm::UpdateJournal* journal, const cm::Step& step, const cm::StoredDesired* documents) asm(
    "__real__ZN6tandem2cm13UpdateJournal4SaveERKNS0_4StepEPKNS0_13StoredDesiredE");

namespace {

constexpr size_t kMaxRows = 128;

template <typename Row>
struct Altered {
  bool on = false;
  std::vector<Row> rows;

  std::span<const Row> Or(std::span<const Row> real) const { return on ? std::span<const Row>(rows) : real; }
};

Altered<cm::Transition> transitions;
Altered<cm::CommandRule> commands;
Altered<um::UmTransition> um_transitions;
Altered<boot::PolicyRow> policy;
bool saves_nothing = false;

// A guard is a plain function, so there is one negation per row.
template <size_t row>
bool NotTransition(const cm::UnitUpdate& update, const cm::Limits& limits) {
  return !RealTransitions()[row].guard(update, limits);
}
template <size_t row>
bool NotCommand(const cm::UnitUpdate& update, const cm::Participant& participant, const cm::Limits& limits) {
  return !RealCommands()[row].guard(update, participant, limits);
}
template <size_t row>
bool NotPolicy(const boot::LoadedRecord& loaded) {
  return !RealPolicy()[row].matches(loaded);
}
template <size_t... row>
constexpr auto NotTransitions(std::index_sequence<row...>) {
  return std::array{&NotTransition<row>...};
}
template <size_t... row>
constexpr auto NotCommands(std::index_sequence<row...>) {
  return std::array{&NotCommand<row>...};
}
template <size_t... row>
constexpr auto NotPolicies(std::index_sequence<row...>) {
  return std::array{&NotPolicy<row>...};
}
constexpr auto kNotTransitions = NotTransitions(std::make_index_sequence<kMaxRows>());
constexpr auto kNotCommands = NotCommands(std::make_index_sequence<kMaxRows>());
constexpr auto kNotPolicies = NotPolicies(std::make_index_sequence<kMaxRows>());

template <typename Row>
void Drop(std::vector<Row>& rows, size_t row) {
  rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(row));
}

// Some rows change nothing; what is not there cannot be dropped.
bool ChangesTheRecord(const boot::PolicyRow& row) {
  const boot::BootRecord before{.active = boot::Slot::kA, .trial = boot::Slot::kB, .attempts_left = 2};
  boot::BootRecord after = before;
  row.change(after);
  return after != before;
}

std::string TextOf(Change change) {
  switch (change) {
    case Change::kDropRow:
      return "is not there";
    case Change::kNegateGuard:
      return "holds when it should not";
    case Change::kDropEffect:
      return "has no effect";
    case Change::kSaveNothing:
      return "writes nothing";
  }
  return "";
}

std::string RowName(const Mutant& mutant) {
  switch (mutant.table) {
    case Table::kTransitions: {
      const cm::Transition& row = RealTransitions()[mutant.row];
      return absl::StrCat("transition ", std::string(Name(row.from)), " --[", std::string(row.when), "]--> ",
                          std::string(Name(row.to)));
    }
    case Table::kCommands: {
      const cm::CommandRule& row = RealCommands()[mutant.row];
      return absl::StrCat("command ", std::string(Name(row.phase)), ", UM ", std::string(Name(row.state)), " [",
                          std::string(row.when), "]: ", std::string(Name(row.command)));
    }
    case Table::kUmTransitions: {
      const um::UmTransition& row = RealUmTransitions()[mutant.row];
      return absl::StrCat("UM ", std::string(Name(row.from)), " --[", std::string(Name(row.input)), "]--> ",
                          std::string(Name(row.to)));
    }
    case Table::kBootPolicy:
      return absl::StrCat("boot [", RealPolicy()[mutant.row].when, "]: ", RealPolicy()[mutant.row].then);
    case Table::kJournal:
      return "the update's record";
  }
  return "";
}

}  // namespace

std::span<const cm::Transition> WrappedTransitions() asm("__wrap__ZN6tandem2cm11TransitionsEv");
std::span<const cm::Transition> WrappedTransitions() { return transitions.Or(RealTransitions()); }

std::span<const cm::CommandRule> WrappedCommands() asm("__wrap__ZN6tandem2cm8CommandsEv");
std::span<const cm::CommandRule> WrappedCommands() { return commands.Or(RealCommands()); }

std::span<const um::UmTransition> WrappedUmTransitions() asm("__wrap__ZN6tandem2um13UmTransitionsEv");
std::span<const um::UmTransition> WrappedUmTransitions() { return um_transitions.Or(RealUmTransitions()); }

std::span<const boot::PolicyRow> WrappedPolicy() asm("__wrap__ZN6tandem4boot11PolicyTableEv");
std::span<const boot::PolicyRow> WrappedPolicy() { return policy.Or(RealPolicy()); }

absl::Status WrappedSave(cm::UpdateJournal* journal, const cm::Step& step, const cm::StoredDesired* documents) asm(
    "__wrap__ZN6tandem2cm13UpdateJournal4SaveERKNS0_4StepEPKNS0_13StoredDesiredE");
absl::Status WrappedSave(cm::UpdateJournal* journal, const cm::Step& step, const cm::StoredDesired* documents) {
  return saves_nothing ? absl::OkStatus() : RealSave(journal, step, documents);
}

std::string Mutant::Name() const { return absl::StrCat(RowName(*this), " ", TextOf(change)); }

std::vector<Mutant> AllMutants() {
  std::vector<Mutant> all;
  for (size_t row = 0; row < RealTransitions().size(); ++row) {
    all.push_back({Table::kTransitions, row, Change::kDropRow});
    all.push_back({Table::kTransitions, row, Change::kNegateGuard});
    if (RealTransitions()[row].effect != nullptr) all.push_back({Table::kTransitions, row, Change::kDropEffect});
  }
  for (size_t row = 0; row < RealCommands().size(); ++row) {
    all.push_back({Table::kCommands, row, Change::kDropRow});
    all.push_back({Table::kCommands, row, Change::kNegateGuard});
  }
  for (size_t row = 0; row < RealUmTransitions().size(); ++row) {
    all.push_back({Table::kUmTransitions, row, Change::kDropRow});
    if (RealUmTransitions()[row].job != um::UmJob::kNone) {
      all.push_back({Table::kUmTransitions, row, Change::kDropEffect});
    }
  }
  for (size_t row = 0; row < RealPolicy().size(); ++row) {
    all.push_back({Table::kBootPolicy, row, Change::kDropRow});
    all.push_back({Table::kBootPolicy, row, Change::kNegateGuard});
    if (ChangesTheRecord(RealPolicy()[row])) all.push_back({Table::kBootPolicy, row, Change::kDropEffect});
  }
  all.push_back({Table::kJournal, 0, Change::kSaveNothing});
  return all;
}

void Apply(const Mutant& mutant) {
  const size_t row = mutant.row;
  const auto begin = [](auto& altered, auto real) {
    altered.rows.assign(real.begin(), real.end());
    altered.on = true;
  };
  switch (mutant.table) {
    case Table::kTransitions:
      begin(transitions, RealTransitions());
      if (mutant.change == Change::kDropRow) Drop(transitions.rows, row);
      if (mutant.change == Change::kNegateGuard) transitions.rows[row].guard = kNotTransitions[row];
      if (mutant.change == Change::kDropEffect) transitions.rows[row].effect = nullptr;
      return;
    case Table::kCommands:
      begin(commands, RealCommands());
      if (mutant.change == Change::kDropRow) Drop(commands.rows, row);
      if (mutant.change == Change::kNegateGuard) commands.rows[row].guard = kNotCommands[row];
      return;
    case Table::kUmTransitions:
      begin(um_transitions, RealUmTransitions());
      if (mutant.change == Change::kDropRow) Drop(um_transitions.rows, row);
      if (mutant.change == Change::kDropEffect) um_transitions.rows[row].job = um::UmJob::kNone;
      return;
    case Table::kBootPolicy:
      begin(policy, RealPolicy());
      if (mutant.change == Change::kDropRow) Drop(policy.rows, row);
      if (mutant.change == Change::kNegateGuard) policy.rows[row].matches = kNotPolicies[row];
      if (mutant.change == Change::kDropEffect) policy.rows[row].change = [](boot::BootRecord&) {};
      return;
    case Table::kJournal:
      saves_nothing = true;
      return;
  }
}

}  // namespace tandem::mutate
