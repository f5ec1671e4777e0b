#include "common/process/shutdown.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <thread>
#include <utility>

namespace tandem {
namespace {

// Written by the handler, which may do little else.
int signal_pipe[2] = {-1, -1};

void OnSignal(int) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t written = write(signal_pipe[1], "s", 1);
  errno = saved;
}

void SetHandler(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

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
