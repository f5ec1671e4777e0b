#include "tests/support/postgres.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/process/run_command.h"
#include "common/status/status.h"

namespace tandem {
namespace {

// Debian keeps each version's programs in a folder of its own; the newest one.
std::string ProgramFolder() {
  std::vector<std::string> folders;
  std::error_code none;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", none)) {
    if (std::filesystem::exists(version.path() / "bin" / "initdb")) folders.push_back(version.path() / "bin");
  }
  std::ranges::sort(folders);
  return folders.empty() ? "" : folders.back();
}

std::vector<std::string> AsPostgres(std::vector<std::string> argv) {
  if (geteuid() != 0) return argv;
  std::vector<std::string> as = {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"};
  as.insert(as.end(), argv.begin(), argv.end());
  return as;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Postgres>> Postgres::Start() {
  const std::string programs = ProgramFolder();
  if (programs.empty()) return absl::NotFoundError("PostgreSQL is not installed: tools/setup installs it");
  // A Unix socket's path must be short.
  std::string folder = "/tmp/pg_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return ErrnoStatus(errno, "make a folder for PostgreSQL");
  auto server = std::unique_ptr<Postgres>(new Postgres(folder));
  if (geteuid() == 0) {
    const passwd* user = getpwnam("postgres");
    if (user == nullptr || chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0) {
      return absl::NotFoundError("there is no user postgres to run PostgreSQL as");
    }
  }
  RETURN_IF_ERROR(RunCommandOk({.argv = AsPostgres({programs + "/initdb", "-D", folder + "/data", "-A", "trust", "-U",
                                                    "postgres", "--no-sync", "--no-locale", "-E", "UTF8"}),
                                .timeout = absl::Seconds(60)}));
  RETURN_IF_ERROR(server->Launch());
  return server;
}

Postgres::~Postgres() {
  Kill();
  std::error_code none;
  std::filesystem::remove_all(folder_, none);
}

absl::Status Postgres::Launch() {
  const std::string programs = ProgramFolder();
  const std::string postgres = programs + "/postgres";
  const std::string data = folder_ + "/data";
  const passwd* user = geteuid() == 0 ? getpwnam("postgres") : nullptr;
  const uid_t uid = user == nullptr ? geteuid() : user->pw_uid;
  const gid_t gid = user == nullptr ? getegid() : user->pw_gid;
  pid_ = fork();
  if (pid_ == 0) {
    if (user != nullptr && (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(uid) != 0)) _exit(126);
    // After the change of user, which takes it away.
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    const int log = open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execl(postgres.c_str(), "postgres", "-D", data.c_str(), "-k", folder_.c_str(), "-c", "listen_addresses=", "-c",
          "max_connections=60", nullptr);
    _exit(127);
  }
  if (pid_ < 0) return ErrnoStatus(errno, "start PostgreSQL");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (std::chrono::steady_clock::now() < deadline) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return absl::UnavailableError(absl::StrCat("PostgreSQL ended at once; see ", folder_, "/log"));
    }
    const absl::Status ready =
        RunCommandOk({.argv = {programs + "/pg_isready", "-q", "-h", folder_}, .timeout = absl::Seconds(5)});
    if (ready.ok()) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  Kill();
  return absl::DeadlineExceededError("PostgreSQL does not listen");
}

void Postgres::End(int signal) {
  if (pid_ <= 0) return;
  kill(pid_, signal);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

// Fast: without waiting for those who are connected.
void Postgres::Stop() { End(SIGINT); }
void Postgres::Kill() { End(SIGKILL); }

absl::Status Postgres::Restart() {
  Stop();
  return Launch();
}

absl::StatusOr<std::string> Postgres::CreateDatabase() {
  const std::string name = absl::StrCat("tandem", ++databases_);
  RETURN_IF_ERROR(RunCommandOk(
      {.argv = {ProgramFolder() + "/createdb", "-h", folder_, "-U", "postgres", name}, .timeout = absl::Seconds(30)}));
  return absl::StrCat("host=", folder_, " user=postgres dbname=", name);
}

}  // namespace tandem
