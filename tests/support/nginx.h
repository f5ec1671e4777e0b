// A real nginx on a free loopback port, for one test: serves a folder, with Range, and tells what it was asked for.
#ifndef TANDEM_TESTS_SUPPORT_NGINX_H_
#define TANDEM_TESTS_SUPPORT_NGINX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/child_process.h"

namespace tandem {

// Dies with its owner, and with the test program.
class Nginx {
 public:
  // Ready for connections when it returns. `bytes_per_second` of each answer; 0: as fast as it can.
  static absl::StatusOr<std::unique_ptr<Nginx>> Start(uint64_t bytes_per_second = 0);
  ~Nginx();
  Nginx(const Nginx&) = delete;
  Nginx& operator=(const Nginx&) = delete;

  // `path` has no leading slash.
  void Put(const std::string& path, const std::string& content);
  void Remove(const std::string& path);

  // By SIGKILL: whoever is served loses the connection.
  void Stop();
  // On the same port.
  absl::Status Restart(uint64_t bytes_per_second = 0);

  // Ends with a slash.
  std::string url() const;

  struct Request {
    std::string path;
    int status = 0;
    // First byte that was asked for.
    uint64_t offset = 0;
    // Bytes of the answer's body that were sent.
    uint64_t bytes = 0;
  };
  // Those that have ended, in the order of their ends.
  std::vector<Request> Requests() const;

 private:
  Nginx(std::string folder, int port);
  void WriteConfig(uint64_t bytes_per_second) const;
  absl::Status Launch();

  const std::string folder_;
  const int port_;
  ChildProcess process_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_NGINX_H_
