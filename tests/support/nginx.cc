#include "tests/support/nginx.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "tests/support/free_port.h"

namespace tandem {

Nginx::Nginx(std::string folder, int port)
    : folder_(std::move(folder)),
      port_(port),
      process_({"/usr/sbin/nginx", "-p", folder_, "-c", folder_ + "/nginx.conf"}, folder_ + "/log") {}

Nginx::~Nginx() {
  process_.Kill();
  std::filesystem::remove_all(folder_);
}

absl::StatusOr<std::unique_ptr<Nginx>> Nginx::Start(uint64_t bytes_per_second) {
  absl::Status status;
  // Another program may take the port first: then the next one.
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::string folder = (std::filesystem::temp_directory_path() / "nginx_XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) return ErrnoStatus(errno, "make a folder for nginx");
    std::filesystem::create_directories(folder + "/site");
    // Workers of a server started by root run as nobody.
    std::filesystem::permissions(folder, std::filesystem::perms::all);
    auto server = std::unique_ptr<Nginx>(new Nginx(folder, FreePort()));
    status = server->Restart(bytes_per_second);
    if (status.ok()) return server;
  }
  return status;
}

void Nginx::WriteConfig(uint64_t bytes_per_second) const {
  std::ofstream config(folder_ + "/nginx.conf");
  config << "daemon off;\nmaster_process off;\npid " << folder_ << "/pid;\nerror_log " << folder_
         << "/error.log;\nevents {}\nhttp {\n  log_format bytes '$status $body_bytes_sent $uri $http_range';\n"
         << "  access_log " << folder_ << "/access.log bytes;\n";
  for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    config << "  " << kind << "_temp_path " << folder_ << "/" << kind << ";\n";
  }
  config << "  server { listen 127.0.0.1:" << port_ << "; location / { root " << folder_ << "/site; limit_rate "
         << bytes_per_second << "; } }\n}\n";
}

absl::Status Nginx::Launch() {
  process_.Start();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    if (!process_.Running()) return absl::UnavailableError("nginx ended at once");
    if (Accepts(port_)) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return absl::DeadlineExceededError("nginx does not listen");
}

void Nginx::Put(const std::string& path, const std::string& content) {
  const std::filesystem::path file = folder_ + "/site/" + path;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

void Nginx::Remove(const std::string& path) { std::filesystem::remove(folder_ + "/site/" + path); }

void Nginx::Stop() { process_.Kill(); }

absl::Status Nginx::Restart(uint64_t bytes_per_second) {
  Stop();
  WriteConfig(bytes_per_second);
  return Launch();
}

std::string Nginx::url() const { return absl::StrCat("http://127.0.0.1:", port_, "/"); }

std::vector<Nginx::Request> Nginx::Requests() const {
  std::vector<Request> requests;
  std::ifstream log(folder_ + "/access.log");
  for (std::string line; std::getline(log, line);) {
    std::istringstream words(line);
    Request request;
    std::string range;
    if (!(words >> request.status >> request.bytes >> request.path >> range)) continue;
    unsigned long long first = 0;
    if (std::sscanf(range.c_str(), "bytes=%llu-", &first) == 1) request.offset = first;
    requests.push_back(request);
  }
  return requests;
}

}  // namespace tandem
