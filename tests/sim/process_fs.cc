#include "tests/sim/process_fs.h"

#include <utility>

#include "common/status/status.h"

namespace tandem::sim {
namespace {

absl::Status Killed() { return absl::InternalError("the process was killed"); }

}  // namespace

absl::Status ProcessFs::CheckAlive() const { return alive_ ? absl::OkStatus() : Killed(); }

template <typename Call>
auto ProcessFs::Change(bool needs_room, Call call) -> decltype(call()) {
  RETURN_IF_ERROR(CheckAlive());
  if (needs_room && !write_error_.ok()) return write_error_;
  const uint64_t before = fs_.calls();
  if (die_at_ != 0) fs_.FailCallsFrom(die_at_, Killed());
  if (fail_at_ != 0) fs_.FailCall(fail_at_, absl::InternalError("input/output error"));
  auto result = call();
  const uint64_t used = fs_.calls() - before;
  if (fail_at_ != 0) {
    fs_.ForgetFailures();
    fail_at_ = used >= fail_at_ ? 0 : fail_at_ - used;
  }
  if (die_at_ != 0) {
    fs_.FailCallsFrom(0, absl::OkStatus());
    alive_ = used < die_at_;
    die_at_ -= std::min(used, die_at_);
    if (!alive_) return Killed();
  }
  return result;
}

class ProcessFs::ProcessFile : public File {
 public:
  ProcessFile(ProcessFs& fs, std::unique_ptr<File> file) : fs_(fs), file_(std::move(file)) {}

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) override {
    RETURN_IF_ERROR(fs_.CheckAlive());
    return file_->ReadAt(offset, size);
  }
  absl::Status WriteAt(uint64_t offset, std::string_view data) override {
    return fs_.Change(true, [&] { return file_->WriteAt(offset, data); });
  }
  absl::Status Sync() override {
    return fs_.Change(false, [&] { return file_->Sync(); });
  }
  absl::StatusOr<uint64_t> Size() override {
    RETURN_IF_ERROR(fs_.CheckAlive());
    return file_->Size();
  }
  absl::Status Truncate(uint64_t size) override {
    return fs_.Change(true, [&] { return file_->Truncate(size); });
  }
  absl::Status DropCache() override {
    return fs_.Change(false, [&] { return file_->DropCache(); });
  }

 private:
  ProcessFs& fs_;
  std::unique_ptr<File> file_;
};

absl::StatusOr<std::unique_ptr<File>> ProcessFs::Open(const std::string& path, OpenMode mode) {
  const bool makes = mode == OpenMode::kCreate && !fs_.Exists(path);
  auto opened = Change(makes, [&] { return fs_.Open(path, mode); });
  RETURN_IF_ERROR(opened.status());
  return std::make_unique<ProcessFile>(*this, *std::move(opened));
}

absl::StatusOr<std::string> ProcessFs::ReadFile(const std::string& path, uint64_t limit) {
  RETURN_IF_ERROR(CheckAlive());
  return fs_.ReadFile(path, limit);
}

absl::Status ProcessFs::WriteFileAtomically(const std::string& path, std::string_view content) {
  return Change(true, [&] { return fs_.WriteFileAtomically(path, content); });
}
absl::Status ProcessFs::Rename(const std::string& from, const std::string& to) {
  return Change(false, [&] { return fs_.Rename(from, to); });
}
absl::Status ProcessFs::Remove(const std::string& path) {
  return Change(false, [&] { return fs_.Remove(path); });
}
absl::Status ProcessFs::RemoveTree(const std::string& path) {
  return Change(false, [&] { return fs_.RemoveTree(path); });
}
absl::Status ProcessFs::MakeFolders(const std::string& path) {
  return Change(!fs_.Exists(path), [&] { return fs_.MakeFolders(path); });
}
absl::Status ProcessFs::ShareWithAll(const std::string& path) { return fs_.ShareWithAll(path); }
absl::Status ProcessFs::SyncFolder(const std::string& path) {
  return Change(false, [&] { return fs_.SyncFolder(path); });
}
absl::Status ProcessFs::SwitchSymlink(const std::string& target, const std::string& link) {
  return Change(true, [&] { return fs_.SwitchSymlink(target, link); });
}
absl::StatusOr<std::string> ProcessFs::ReadSymlink(const std::string& link) {
  RETURN_IF_ERROR(CheckAlive());
  return fs_.ReadSymlink(link);
}
absl::StatusOr<std::vector<std::string>> ProcessFs::List(const std::string& folder) {
  RETURN_IF_ERROR(CheckAlive());
  return fs_.List(folder);
}
absl::StatusOr<uint64_t> ProcessFs::FreeSpace(const std::string& path) {
  RETURN_IF_ERROR(CheckAlive());
  if (!write_error_.ok()) return 0;
  return fs_.FreeSpace(path);
}

}  // namespace tandem::sim
