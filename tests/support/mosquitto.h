// A real Mosquitto on a free loopback port, for one test.
#ifndef TANDEM_TESTS_SUPPORT_MOSQUITTO_H_
#define TANDEM_TESTS_SUPPORT_MOSQUITTO_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

struct MosquittoOptions {
  // PEM files; set: TLS, and clients must show a certificate of the same CA.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  // The text of a whole configuration instead of the one made here. In it, {port}, {port2} and {folder} stand for a
  // free port each and for the broker's own folder; {port} is TLS when `certificate_file` is set.
  std::string configuration;
};

// Dies with its owner, and with the test program.
class Mosquitto {
 public:
  // Ready for connections when it returns.
  static absl::StatusOr<Mosquitto> Start(const MosquittoOptions& options = {});
  ~Mosquitto();
  Mosquitto(Mosquitto&& other) noexcept;
  Mosquitto& operator=(Mosquitto&&) = delete;

  // By SIGTERM: sessions and retained messages are kept for Restart(). Kill(): by SIGKILL.
  void Stop();
  void Kill();
  // Holds it still, connections and all, until Resume() or an end.
  void Suspend();
  void Resume();
  // On the same port.
  absl::Status Restart();

  std::string url() const;
  int port() const { return port_; }
  // Of the second listener that a configuration has.
  std::string second_url() const;
  const std::string& folder() const { return folder_; }

 private:
  Mosquitto(std::string folder, int port, int second_port, bool tls)
      : folder_(std::move(folder)), port_(port), second_port_(second_port), tls_(tls) {}
  absl::Status Launch();
  void End(int signal);

  std::string folder_;
  int port_;
  int second_port_;
  bool tls_;
  pid_t pid_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_MOSQUITTO_H_
