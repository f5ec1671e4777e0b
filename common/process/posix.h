// Small things that every way to run a program needs. For common/process alone; nothing here throws.
#ifndef TANDEM_COMMON_PROCESS_POSIX_H_
#define TANDEM_COMMON_PROCESS_POSIX_H_

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/storage/file_descriptor.h"

namespace tandem::process_internal {

// Both ends are closed by exec(); reading does not block.
struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;

  static absl::StatusOr<Pipe> Make() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "open a pipe");
    Pipe made{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) return ErrnoStatus(errno, "open a pipe");
    return made;
  }
};

// What exec() takes for `strings`, which must outlive it.
inline std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& one : strings) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  return pointers;
}

// What poll() takes: rounded up, at most an hour.
inline int PollMilliseconds(absl::Duration left) {
  return static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))), 0, 3'600'000));
}

}  // namespace tandem::process_internal

#endif  // TANDEM_COMMON_PROCESS_POSIX_H_
