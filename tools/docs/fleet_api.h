// Prints docs/fleet-api.md: the methods of the fleet's API, from the table that the servers use.
#ifndef TANDEM_TOOLS_DOCS_FLEET_API_H_
#define TANDEM_TOOLS_DOCS_FLEET_API_H_

#include <ostream>

namespace tandem::docs {

void PrintFleetApi(std::ostream& out);

}  // namespace tandem::docs

#endif  // TANDEM_TOOLS_DOCS_FLEET_API_H_
