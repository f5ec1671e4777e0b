// Turns SIGTERM and SIGINT into a call, so that a program ends in order.
#ifndef TANDEM_COMMON_PROCESS_SHUTDOWN_H_
#define TANDEM_COMMON_PROCESS_SHUTDOWN_H_

#include <functional>

namespace tandem {

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
