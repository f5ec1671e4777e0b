// The tables of the fleet's store, as migrations that only go forward: a program opens a database of its own version or
// an older one, which it brings up to date in one transaction.
#ifndef TANDEM_FLEET_STORE_SCHEMA_H_
#define TANDEM_FLEET_STORE_SCHEMA_H_

#include "absl/status/status.h"
#include "fleet/store/sql_connection.h"

namespace tandem::fleet {

// FAILED_PRECONDITION: the database is of a newer program, which must be used.
absl::Status Migrate(SqlDatabase& database, SqlConnection& connection);

// For tests.
int NewestSchemaVersion();

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_SCHEMA_H_
