// The fleet's store in one SQLite file: WAL, synchronous=FULL. For one controller; nothing else to install.
#ifndef TANDEM_FLEET_STORE_SQLITE_DATABASE_H_
#define TANDEM_FLEET_STORE_SQLITE_DATABASE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "fleet/store/sql_connection.h"

namespace tandem::fleet {

// Makes `folder`/fleet.db when it is missing, and locks the folder: FAILED_PRECONDITION when another process has it.
// DATA_LOSS: the file is damaged; it is left as it is, for it holds what no unit can tell again.
absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenSqlite(const std::string& folder);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_SQLITE_DATABASE_H_
