// The fleet's store in PostgreSQL, for several controllers: transactions that write lock the rows they read (FOR
// UPDATE), work is shared with SKIP LOCKED, and named locks are advisory locks, which end with their owner's
// connection.
#ifndef TANDEM_FLEET_STORE_POSTGRES_DATABASE_H_
#define TANDEM_FLEET_STORE_POSTGRES_DATABASE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "fleet/store/sql_connection.h"

namespace tandem::fleet {

// `url`: "postgresql://user@host/database?sslmode=verify-full" or "host=… dbname=…", as libpq takes it. Connects once
// to see that it works: UNAVAILABLE with the server's words.
absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenPostgres(const std::string& url);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_POSTGRES_DATABASE_H_
