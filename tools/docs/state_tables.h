// Prints docs/state-tables.md: every declared table that decides something, from the tables themselves.
#ifndef TANDEM_TOOLS_DOCS_STATE_TABLES_H_
#define TANDEM_TOOLS_DOCS_STATE_TABLES_H_

#include <ostream>

namespace tandem::docs {

void PrintStateTables(std::ostream& out);

}  // namespace tandem::docs

#endif  // TANDEM_TOOLS_DOCS_STATE_TABLES_H_
