// A program under test: started with its output in a file, ended by process id, never left behind.
#ifndef TANDEM_TESTS_SUPPORT_CHILD_PROCESS_H_
#define TANDEM_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace tandem {

// Dies with its owner, and with the test program.
class ChildProcess {
 public:
  // Output is appended to `log_file`.
  ChildProcess(std::vector<std::string> argv, std::string log_file);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void Start();
  bool Running();
  // SIGTERM, and SIGKILL when it has not ended after ten seconds.
  void Stop();
  void Kill();
  pid_t pid() const { return pid_; }

 private:
  const std::vector<std::string> argv_;
  const std::string log_file_;
  pid_t pid_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_CHILD_PROCESS_H_
