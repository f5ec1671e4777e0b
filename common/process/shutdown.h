// How a long-running program ends: in order, at SIGTERM and SIGINT, or with a last line that says why.
#ifndef TANDEM_COMMON_PROCESS_SHUTDOWN_H_
#define TANDEM_COMMON_PROCESS_SHUTDOWN_H_

#include <functional>

namespace tandem {

// Call first in main(). A reader of our output that goes away ends nothing: writing to it fails, and that is all. A
// fault of the program (SIGSEGV, SIGABRT, an exception that nobody takes and the like) writes the signal and a
// backtrace to standard error, which the journal keeps, before it ends. `program`: argv[0].
void NeverEndSilently(const char* program);

// Calls `stop` once, on a thread of its own, at the first SIGTERM or SIGINT. At most one at a time in a process.
// Children started later have the default reactions again after exec.
class ShutdownSignals {
 public:
  explicit ShutdownSignals(std::function<void()> stop);
  // Restores the default reactions.
  ~ShutdownSignals();

  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

 private:
  struct Impl;
  Impl* impl_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_PROCESS_SHUTDOWN_H_
