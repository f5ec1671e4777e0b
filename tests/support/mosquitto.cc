#include "tests/support/mosquitto.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status/status.h"
#include "tests/support/free_port.h"

namespace tandem {

absl::StatusOr<Mosquitto> Mosquitto::Start(const MosquittoOptions& options) {
  std::string folder = (std::filesystem::temp_directory_path() / "mosquitto_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return ErrnoStatus(errno, "make a folder for mosquitto");
  // Another program may take the port first: then the next one.
  for (int attempt = 0;; ++attempt) {
    Mosquitto server(folder, FreePort(), FreePort(), !options.certificate_file.empty());
    std::ofstream config(folder + "/mosquitto.conf");
    if (!options.configuration.empty()) {
      config << absl::StrReplaceAll(options.configuration, {{"{port}", absl::StrCat(server.port_)},
                                                            {"{port2}", absl::StrCat(server.second_port_)},
                                                            {"{folder}", folder}});
      config.close();
      const absl::Status status = server.Launch();
      if (status.ok()) return server;
      if (attempt == 4) return status;
      server.folder_.clear();
      continue;
    }
    config << "listener " << server.port_ << " 127.0.0.1\nallow_anonymous true\npersistence true\n"
           << "persistence_location " << folder << "/\nlog_dest file " << folder << "/log\nset_tcp_nodelay true\n";
    if (geteuid() == 0) config << "user root\n";
    if (server.tls_) {
      config << "cafile " << options.ca_file << "\ncertfile " << options.certificate_file << "\nkeyfile "
             << options.key_file << "\nrequire_certificate true\n";
    }
    config.close();
    const absl::Status status = server.Launch();
    if (status.ok()) return server;
    if (attempt == 4) return status;
    server.folder_.clear();
  }
}

Mosquitto::Mosquitto(Mosquitto&& other) noexcept
    : folder_(std::exchange(other.folder_, "")),
      port_(other.port_),
      second_port_(other.second_port_),
      tls_(other.tls_),
      pid_(std::exchange(other.pid_, 0)) {}

Mosquitto::~Mosquitto() {
  Kill();
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

absl::Status Mosquitto::Launch() {
  const std::string config = folder_ + "/mosquitto.conf";
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl("/usr/sbin/mosquitto", "mosquitto", "-c", config.c_str(), nullptr);
    _exit(127);
  }
  if (pid_ < 0) return ErrnoStatus(errno, "start mosquitto");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return absl::UnavailableError(absl::StrCat("mosquitto ended at once; see ", folder_, "/log"));
    }
    if (Accepts(port_)) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  Kill();
  return absl::DeadlineExceededError("mosquitto does not listen");
}

void Mosquitto::End(int signal) {
  if (pid_ <= 0) return;
  kill(pid_, signal);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void Mosquitto::Stop() { End(SIGTERM); }
void Mosquitto::Kill() { End(SIGKILL); }

void Mosquitto::Suspend() {
  if (pid_ > 0) kill(pid_, SIGSTOP);
}
void Mosquitto::Resume() {
  if (pid_ > 0) kill(pid_, SIGCONT);
}

absl::Status Mosquitto::Restart() {
  Stop();
  return Launch();
}

std::string Mosquitto::second_url() const {
  return absl::StrCat(tls_ ? "mqtts" : "mqtt", "://localhost:", second_port_);
}

std::string Mosquitto::url() const { return absl::StrCat(tls_ ? "mqtts" : "mqtt", "://localhost:", port_); }

}  // namespace tandem
