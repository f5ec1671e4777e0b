#include "common/process/shutdown.h"

#include <execinfo.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <utility>

#include "absl/debugging/failure_signal_handler.h"
#include "absl/debugging/stacktrace.h"
#include "absl/debugging/symbolize.h"

namespace tandem {
namespace {

// Written by the handler, which may do little else.
int signal_pipe[2] = {-1, -1};

void OnSignal(int) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t written = write(signal_pipe[1], "s", 1);
  errno = saved;
}

// Abseil's own goes by frame pointers, which neither we nor the libraries have.
int Unwind(void** frames, int* sizes, int max_depth, int skip, const void* /*context*/, int* dropped) {
  std::array<void*, 64> all{};
  const int depth = backtrace(all.data(), static_cast<int>(all.size()));
  const int kept = std::clamp(depth - skip, 0, max_depth);
  for (int i = 0; i < kept; ++i) {
    frames[i] = all[static_cast<size_t>(skip) + static_cast<size_t>(i)];
    if (sizes != nullptr) sizes[i] = 0;
  }
  if (dropped != nullptr) *dropped = std::max(0, depth - skip - kept);
  return kept;
}

void SetHandler(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

void NeverEndSilently(const char* program) {
  signal(SIGPIPE, SIG_IGN);
  // The first call loads what it needs, which a handler must not.
  void* unused[1];
  backtrace(unused, 1);
  absl::SetStackUnwinder(Unwind);
  absl::InitializeSymbolizer(program);
  absl::InstallFailureSignalHandler(absl::FailureSignalHandlerOptions());
  // To be ended is no fault.
  signal(SIGTERM, SIG_DFL);
}

struct ShutdownSignals::Impl {
  std::thread waiter;
};

ShutdownSignals::ShutdownSignals(std::function<void()> stop) : impl_(new Impl) {
  if (pipe2(signal_pipe, O_CLOEXEC) != 0) std::abort();
  impl_->waiter = std::thread([stop = std::move(stop)] {
    char what = 0;
    while (read(signal_pipe[0], &what, 1) < 0 && errno == EINTR) {
    }
    if (what == 's') stop();
  });
  SetHandler(OnSignal);
}

ShutdownSignals::~ShutdownSignals() {
  SetHandler(SIG_DFL);
  [[maybe_unused]] const ssize_t written = write(signal_pipe[1], "q", 1);
  impl_->waiter.join();
  close(signal_pipe[0]);
  close(signal_pipe[1]);
  delete impl_;
}

}  // namespace tandem
