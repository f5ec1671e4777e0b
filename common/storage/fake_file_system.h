// An in-memory FileSystem that loses power, tears writes and fails, at any call a test names.
//
// What a real disk may lose, it loses: data that was not synced (each write survives, is torn or is dropped, on its
// own), and names whose folder was not synced (the folder goes back to some earlier moment since its last sync).
//
//   for (uint64_t call = 1;; ++call) {                        // the whole of an operation, cut at every call
//     FakeFileSystem fs;
//     ...                                                     // the state before
//     fs.CutPowerAtCall(call, /*seed=*/call);
//     absl::Status status = Operation(fs);
//     if (!fs.power_lost()) break;                            // it ended before that call
//     fs.Reboot();
//     ...                                                     // what must hold now
//   }
//
// Calls are counted as a kernel would see them: WriteFileAtomically() is five (create, write, sync, rename, sync
// folder).
#ifndef TANDEM_COMMON_STORAGE_FAKE_FILE_SYSTEM_H_
#define TANDEM_COMMON_STORAGE_FAKE_FILE_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/storage/file_system.h"

namespace tandem {

// Thread-safe. Files that were open when the power went fail for ever.
class FakeFileSystem : public FileSystem {
 public:
  FakeFileSystem();
  ~FakeFileSystem() override;

  // ---- For tests: what is there ----

  // A file with its folders, durable at once. Not counted as a call.
  void Put(const std::string& path, std::string_view content);
  // A block device: fixed size, zeros, RESOURCE_EXHAUSTED past its end.
  void PutDevice(const std::string& path, uint64_t size);
  // Changes bytes on the medium behind everybody's back.
  void Damage(const std::string& path, uint64_t offset, std::string_view bytes);
  // Somebody else has it: OpenMode::kReadWriteAlone is FAILED_PRECONDITION.
  void SetInUse(const std::string& path);
  // Files may hold this many bytes together; more is RESOURCE_EXHAUSTED. Devices do not count.
  void SetCapacity(uint64_t bytes);

  // ---- For tests: faults ----

  // Changing calls (create, write, sync, truncate, rename, remove, ...) since the start.
  uint64_t calls() const;
  // The n-th changing call from now (1: the next) fails with `status`; a write may have left half of its data.
  void FailCall(uint64_t n, absl::Status status);
  // No call that was to fail by FailCall() does.
  void ForgetFailures();
  // From the n-th changing call from now on (1: the next) all of them fail with `status`, until it is OK.
  void FailCallsFrom(uint64_t n, absl::Status status);
  // Power goes in the middle of the n-th changing call from now, which may be done, half done or not done; it and every
  // call after it, reads too, fail with INTERNAL until Reboot(). `seed` decides what survives.
  void CutPowerAtCall(uint64_t n, uint64_t seed);
  // Power goes now.
  void PowerCut(uint64_t seed);
  bool power_lost() const;
  // Power is back: what survived is there. Without a cut before it, nothing is lost (an orderly restart of a process).
  void Reboot();
  // Sees each changing call before it happens; "write", "/dev/b". Must not call back into the file system.
  void SetObserver(std::function<void(std::string_view call, const std::string& path)> observer);

  // Whether ShareWithAll() was called for what is there now.
  bool IsShared(const std::string& path);

  // ---- FileSystem ----

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t limit = 64 << 20) override;
  absl::Status WriteFileAtomically(const std::string& path, std::string_view content) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status MakeFolders(const std::string& path) override;
  absl::Status ShareWithAll(const std::string& path) override;
  absl::Status SyncFolder(const std::string& path) override;
  absl::Status SwitchSymlink(const std::string& target, const std::string& link) override;
  absl::StatusOr<std::string> ReadSymlink(const std::string& link) override;
  bool Exists(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override;
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override;

 private:
  struct Node;
  class OpenFile;
  using NodePtr = std::shared_ptr<Node>;
  // The folder that holds a path's last name, and what is there.
  struct Place {
    NodePtr folder;
    std::string name;
    NodePtr node;
  };

  // All of these need mutex_.
  absl::StatusOr<Place> Find(const std::string& path, bool follow_last);
  absl::StatusOr<Place> Walk(NodePtr from, std::string_view path, bool follow_last, int links_left);
  absl::StatusOr<NodePtr> FindFile(const std::string& path);
  NodePtr MakeFoldersQuietly(const std::string& path);
  absl::Status CheckPower() const;
  // Counts a changing call on `path`. OK: go on. An error is the call's answer; `half` is run when the fault should
  // leave the call's effect behind, wholly or in part.
  absl::Status BeginCall(std::string_view call, const std::string& path, absl::FunctionRef<void(bool torn)> half);
  void SetEntry(const NodePtr& folder, const std::string& name, NodePtr node);
  absl::Status WriteNode(const NodePtr& node, const std::string& path, uint64_t offset, std::string_view data);
  absl::Status SyncNode(const NodePtr& node, const std::string& path);
  absl::Status TruncateNode(const NodePtr& node, const std::string& path, uint64_t size);
  absl::StatusOr<NodePtr> CreateFile(const std::string& path);
  absl::Status RenameLocked(const std::string& from, const std::string& to);
  absl::Status RemoveLocked(const std::string& path);
  absl::Status RemoveTreeLocked(const std::string& path);
  absl::Status MakeFoldersLocked(const std::string& path);
  absl::Status SyncFolderLocked(const std::string& path);
  void LosePower(uint64_t seed);
  static void Collect(const NodePtr& node, std::vector<NodePtr>& nodes);
  static void LoseData(Node& node, std::mt19937_64& random);
  uint64_t UsedBytes(const Node& node) const;

  mutable std::mutex mutex_;
  NodePtr root_;
  uint64_t calls_ = 0;
  // Counts Reboot(); a file opened before fails after.
  uint64_t boots_ = 0;
  bool power_lost_ = false;
  std::optional<uint64_t> capacity_;
  std::set<std::string> in_use_;
  std::map<uint64_t, absl::Status> failures_;
  uint64_t failing_from_ = 0;
  absl::Status failing_;
  std::optional<uint64_t> cut_at_;
  uint64_t cut_seed_ = 0;
  std::function<void(std::string_view, const std::string&)> observer_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_STORAGE_FAKE_FILE_SYSTEM_H_
