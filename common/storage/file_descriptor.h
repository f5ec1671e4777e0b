// An open file that is closed once.
#ifndef TANDEM_COMMON_STORAGE_FILE_DESCRIPTOR_H_
#define TANDEM_COMMON_STORAGE_FILE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace tandem {

// Owns an open file; -1 is none. Not for two threads at once.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { Close(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Close() {
    if (valid()) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_STORAGE_FILE_DESCRIPTOR_H_
