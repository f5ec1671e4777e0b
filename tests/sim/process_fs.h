// The files of a computer as one process sees them: what fails, fails for this process alone, and nothing that it does
// after its end has an effect.
#ifndef TANDEM_TESTS_SIM_PROCESS_FS_H_
#define TANDEM_TESTS_SIM_PROCESS_FS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/storage/fake_file_system.h"

namespace tandem::sim {

class ProcessFs : public FileSystem {
 public:
  explicit ProcessFs(FakeFileSystem& fs) : fs_(fs) {}

  bool alive() const { return alive_; }
  // kill -9.
  void Die() { alive_ = false; }
  // kill -9 in the middle of the n-th changing call from now.
  void DieAtCall(uint64_t n) { die_at_ = n; }
  // The n-th changing call from now fails once, with an input/output error.
  void FailAtCall(uint64_t n) { fail_at_ = n; }
  // While it is not OK nothing can be written, though what needs no room can be done.
  void SetWriteError(absl::Status status) { write_error_ = std::move(status); }

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t limit) override;
  absl::Status WriteFileAtomically(const std::string& path, std::string_view content) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status MakeFolders(const std::string& path) override;
  absl::Status ShareWithAll(const std::string& path) override;
  absl::Status SyncFolder(const std::string& path) override;
  absl::Status SwitchSymlink(const std::string& target, const std::string& link) override;
  absl::StatusOr<std::string> ReadSymlink(const std::string& link) override;
  bool Exists(const std::string& path) override { return alive_ && fs_.Exists(path); }
  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override;
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override;

 private:
  class ProcessFile;
  template <typename Call>
  auto Change(bool needs_room, Call call) -> decltype(call());
  absl::Status CheckAlive() const;

  FakeFileSystem& fs_;
  bool alive_ = true;
  uint64_t die_at_ = 0;
  uint64_t fail_at_ = 0;
  absl::Status write_error_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_PROCESS_FS_H_
