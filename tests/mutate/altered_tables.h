// The declared tables of the unit, altered: every caller of Transitions(), Commands(), UmTransitions() and
// PolicyTable() in this program gets what AlterTables() chose, and UpdateJournal::Save() can be made to write nothing.
//
// Nothing of the product knows of it: the linker gives those calls to altered_tables.cc (--wrap, see CMakeLists.txt).
#ifndef TANDEM_TESTS_MUTATE_ALTERED_TABLES_H_
#define TANDEM_TESTS_MUTATE_ALTERED_TABLES_H_

#include <cstddef>
#include <string>
#include <vector>

namespace tandem::mutate {

enum class Table { kTransitions, kCommands, kUmTransitions, kBootPolicy, kJournal };

enum class Change {
  // The row is not there.
  kDropRow,
  // It holds exactly when it should not.
  kNegateGuard,
  // The row is taken, but what it does beside the new state is not done.
  kDropEffect,
  // Of the journal: Save() says OK, and nothing is on disk.
  kSaveNothing,
};

struct Mutant {
  Table table;
  size_t row = 0;
  Change change;

  // "transition Preparing --[a UM is FAILED]--> Reverting is not there".
  std::string Name() const;
};

// Every row, every guard, every effect of every table.
std::vector<Mutant> AllMutants();

// From now on, in this process. Before the first test runs; once.
void Apply(const Mutant& mutant);

}  // namespace tandem::mutate

#endif  // TANDEM_TESTS_MUTATE_ALTERED_TABLES_H_
