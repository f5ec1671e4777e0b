// A real PostgreSQL on a Unix socket of its own, for one test program.
#ifndef TANDEM_TESTS_SUPPORT_POSTGRES_H_
#define TANDEM_TESTS_SUPPORT_POSTGRES_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// Ends with its owner, and with the test program. Runs as user postgres when the tests run as root, whom PostgreSQL
// refuses.
class Postgres {
 public:
  // Ready for connections when it returns. NOT_FOUND: PostgreSQL is not installed (tools/setup installs it).
  static absl::StatusOr<std::unique_ptr<Postgres>> Start();
  ~Postgres();
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;

  // A new, empty database, as libpq takes it.
  absl::StatusOr<std::string> CreateDatabase();

  // Connections break; committed data stays. Kill(): by SIGKILL.
  void Stop();
  void Kill();
  // On the same socket.
  absl::Status Restart();

 private:
  explicit Postgres(std::string folder) : folder_(std::move(folder)) {}
  absl::Status Launch();
  void End(int signal);

  const std::string folder_;
  pid_t pid_ = 0;
  int databases_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_POSTGRES_H_
