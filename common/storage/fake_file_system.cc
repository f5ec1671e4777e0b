#include "common/storage/fake_file_system.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/storage/fake_file_node.h"

namespace tandem {
namespace {

constexpr int kMaxSymlinks = 16;

absl::Status NotFound(const std::string& path) { return absl::NotFoundError(absl::StrCat(path, ": no such file")); }

}  // namespace

class FakeFileSystem::OpenFile : public File {
 public:
  OpenFile(FakeFileSystem& fs, NodePtr node, std::string path, bool writable)
      : fs_(fs), node_(std::move(node)), path_(std::move(path)), writable_(writable), boot_(fs.boots_) {}

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) override {
    std::lock_guard lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    if (offset >= node_->data.size()) return std::string();
    return node_->data.substr(offset, size);
  }
  absl::Status WriteAt(uint64_t offset, std::string_view data) override {
    std::lock_guard lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    RETURN_IF_ERROR(CheckWritable());
    return fs_.WriteNode(node_, path_, offset, data);
  }
  absl::Status Sync() override {
    std::lock_guard lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    return fs_.SyncNode(node_, path_);
  }
  absl::StatusOr<uint64_t> Size() override {
    std::lock_guard lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    return node_->data.size();
  }
  absl::Status Truncate(uint64_t size) override {
    std::lock_guard lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    RETURN_IF_ERROR(CheckWritable());
    if (node_->kind == Node::Kind::kDevice) return absl::InvalidArgumentError(absl::StrCat("truncate ", path_));
    return fs_.TruncateNode(node_, path_, size);
  }
  absl::Status DropCache() override {
    std::lock_guard lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    return fs_.SyncNode(node_, path_);
  }

 private:
  absl::Status Check() const {
    RETURN_IF_ERROR(fs_.CheckPower());
    if (boot_ != fs_.boots_) return absl::InternalError(absl::StrCat(path_, " was opened before the restart"));
    return absl::OkStatus();
  }
  absl::Status CheckWritable() const {
    if (!writable_) return absl::FailedPreconditionError(absl::StrCat(path_, " was opened read-only"));
    return absl::OkStatus();
  }

  FakeFileSystem& fs_;
  NodePtr node_;
  std::string path_;
  bool writable_;
  uint64_t boot_;
};

FakeFileSystem::FakeFileSystem() : root_(std::make_shared<Node>(Node::Kind::kFolder)) {}
FakeFileSystem::~FakeFileSystem() = default;

// ---- Names ----

absl::StatusOr<FakeFileSystem::Place> FakeFileSystem::Find(const std::string& path, bool follow_last) {
  absl::StatusOr<Place> place = Walk(root_, path, follow_last, kMaxSymlinks);
  if (absl::IsNotFound(place.status())) return NotFound(path);
  return place;
}

absl::StatusOr<FakeFileSystem::Place> FakeFileSystem::Walk(NodePtr from, std::string_view path, bool follow_last,
                                                           int links_left) {
  // The way from the root, for "..".
  absl::InlinedVector<NodePtr, 8> way = {root_};
  if (!path.empty() && path[0] == '/') from = root_;
  if (from != root_) way.push_back(from);
  Place place{from, ".", from};
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    if (place.node == nullptr || place.node->kind != Node::Kind::kFolder) return NotFound(std::string(name));
    if (name == "..") {
      if (way.size() > 1) way.pop_back();
      place = {way.back(), ".", way.back()};
      continue;
    }
    place.folder = place.node;
    place.name = name;
    const auto entry = place.folder->entries.find(name);
    place.node = entry == place.folder->entries.end() ? nullptr : entry->second;
    const bool last = path.empty();
    if (place.node != nullptr && place.node->kind == Node::Kind::kSymlink && (!last || follow_last)) {
      if (links_left == 0) return absl::FailedPreconditionError(absl::StrCat(std::string(name), ": too many symlinks"));
      ASSIGN_OR_RETURN(place, Walk(place.folder, place.node->link_target, true, links_left - 1));
    }
    if (place.node != nullptr) way.push_back(place.node);
  }
  return place;
}

absl::StatusOr<FakeFileSystem::NodePtr> FakeFileSystem::FindFile(const std::string& path) {
  ASSIGN_OR_RETURN(Place place, Find(path, true));
  if (place.node == nullptr) return NotFound(path);
  if (place.node->kind == Node::Kind::kFolder) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a folder"));
  }
  return place.node;
}

void FakeFileSystem::SetEntry(const NodePtr& folder, const std::string& name, NodePtr node) {
  if (node == nullptr) {
    folder->entries.erase(name);
  } else {
    folder->entries[name] = node;
  }
  auto change = std::make_shared<Node::EntryChange>();
  change->entries.push_back({folder, name, std::move(node)});
  folder->unsynced_entries.push_back(std::move(change));
}

// ---- One file's bytes ----

absl::Status FakeFileSystem::WriteNode(const NodePtr& node, const std::string& path, uint64_t offset,
                                       std::string_view data) {
  auto apply = [&](std::string_view bytes) {
    WriteInto(node->data, offset, bytes);
    node->unsynced.push_back({offset, std::string(bytes), std::nullopt});
  };
  RETURN_IF_ERROR(BeginCall("write", path, [&](bool torn) { apply(torn ? data.substr(0, data.size() / 2) : data); }));
  const uint64_t end = offset + data.size();
  if (node->kind == Node::Kind::kDevice && end > node->data.size()) {
    return absl::ResourceExhaustedError(absl::StrCat("write ", path, " at ", offset, ": no space left on device"));
  }
  if (capacity_.has_value() && end > node->data.size() && UsedBytes(*root_) + (end - node->data.size()) > *capacity_) {
    return absl::ResourceExhaustedError(absl::StrCat("write ", path, " at ", offset, ": no space left on device"));
  }
  apply(data);
  return absl::OkStatus();
}

absl::Status FakeFileSystem::SyncNode(const NodePtr& node, const std::string& path) {
  auto apply = [&](bool) {
    for (const Node::Change& change : node->unsynced) {
      if (change.new_size.has_value()) {
        node->durable_data.resize(*change.new_size);
      } else {
        WriteInto(node->durable_data, change.offset, change.bytes);
      }
    }
    node->unsynced.clear();
  };
  // A torn sync is what LosePower() does with unsynced writes anyway.
  RETURN_IF_ERROR(BeginCall("sync", path, [&](bool torn) {
    if (!torn) apply(false);
  }));
  apply(false);
  return absl::OkStatus();
}

absl::Status FakeFileSystem::TruncateNode(const NodePtr& node, const std::string& path, uint64_t size) {
  auto apply = [&](bool) {
    node->data.resize(size);
    node->unsynced.push_back({0, "", size});
  };
  RETURN_IF_ERROR(BeginCall("truncate", path, apply));
  apply(false);
  return absl::OkStatus();
}

absl::StatusOr<FakeFileSystem::NodePtr> FakeFileSystem::CreateFile(const std::string& path) {
  ASSIGN_OR_RETURN(Place place, Find(path, true));
  if (place.node != nullptr) {
    if (place.node->kind == Node::Kind::kFolder) {
      return absl::FailedPreconditionError(absl::StrCat(path, " is a folder"));
    }
    return place.node;
  }
  auto node = std::make_shared<Node>(Node::Kind::kFile);
  auto apply = [&](bool) { SetEntry(place.folder, place.name, node); };
  RETURN_IF_ERROR(BeginCall("create", path, apply));
  apply(false);
  return node;
}

// ---- FileSystem ----

absl::StatusOr<std::unique_ptr<File>> FakeFileSystem::Open(const std::string& path, OpenMode mode) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckPower());
  if (mode == OpenMode::kReadWriteAlone && in_use_.contains(path)) {
    return absl::FailedPreconditionError(absl::StrCat("open ", path, ": it is in use"));
  }
  const bool create = mode == OpenMode::kCreate;
  ASSIGN_OR_RETURN(NodePtr node, create ? CreateFile(path) : FindFile(path));
  return std::make_unique<OpenFile>(*this, std::move(node), path, mode != OpenMode::kReadOnly);
}

absl::StatusOr<std::string> FakeFileSystem::ReadFile(const std::string& path, uint64_t limit) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckPower());
  ASSIGN_OR_RETURN(NodePtr node, FindFile(path));
  if (node->data.size() > limit) {
    return absl::OutOfRangeError(absl::StrCat("read ", path, ": larger than ", limit, " bytes"));
  }
  return node->data;
}

absl::Status FakeFileSystem::WriteFileAtomically(const std::string& path, std::string_view content) {
  std::lock_guard lock(mutex_);
  const std::string temporary = path + ".tmp";
  absl::StatusOr<NodePtr> node = CreateFile(temporary);
  RETURN_IF_ERROR(node.status());
  absl::Status status = (*node)->data.empty() ? absl::OkStatus() : TruncateNode(*node, temporary, 0);
  if (status.ok()) status = WriteNode(*node, temporary, 0, content);
  if (status.ok()) status = SyncNode(*node, temporary);
  if (status.ok()) status = RenameLocked(temporary, path);
  if (!status.ok()) {
    if (!power_lost_) (void)RemoveLocked(temporary);
    return status;
  }
  return SyncFolderLocked(ParentFolder(path));
}

absl::Status FakeFileSystem::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  return RenameLocked(from, to);
}

absl::Status FakeFileSystem::RenameLocked(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(CheckPower());
  ASSIGN_OR_RETURN(Place source, Find(from, false));
  if (source.node == nullptr) return NotFound(from);
  ASSIGN_OR_RETURN(Place target, Find(to, false));
  if (target.node != nullptr && target.node->kind == Node::Kind::kFolder && !target.node->entries.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("rename ", from, " to ", to, ": directory not empty"));
  }
  auto apply = [&](bool) {
    source.folder->entries.erase(source.name);
    target.folder->entries[target.name] = source.node;
    auto change = std::make_shared<Node::EntryChange>();
    change->entries.push_back({source.folder, source.name, nullptr});
    change->entries.push_back({target.folder, target.name, source.node});
    source.folder->unsynced_entries.push_back(change);
    if (target.folder != source.folder) target.folder->unsynced_entries.push_back(change);
  };
  RETURN_IF_ERROR(BeginCall("rename", to, apply));
  apply(false);
  return absl::OkStatus();
}

absl::Status FakeFileSystem::Remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  return RemoveLocked(path);
}

absl::Status FakeFileSystem::RemoveLocked(const std::string& path) {
  RETURN_IF_ERROR(CheckPower());
  absl::StatusOr<Place> place = Find(path, false);
  if (absl::IsNotFound(place.status())) return absl::OkStatus();
  RETURN_IF_ERROR(place.status());
  if (place->node == nullptr) return absl::OkStatus();
  if (!place->node->entries.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("remove ", path, ": directory not empty"));
  }
  auto apply = [&](bool) { SetEntry(place->folder, place->name, nullptr); };
  RETURN_IF_ERROR(BeginCall("remove", path, apply));
  apply(false);
  return absl::OkStatus();
}

absl::Status FakeFileSystem::RemoveTree(const std::string& path) {
  std::lock_guard lock(mutex_);
  return RemoveTreeLocked(path);
}

absl::Status FakeFileSystem::RemoveTreeLocked(const std::string& path) {
  RETURN_IF_ERROR(CheckPower());
  absl::StatusOr<Place> place = Find(path, false);
  if (place.ok() && place->node != nullptr) {
    std::vector<std::string> names;
    for (const auto& [name, child] : place->node->entries) names.push_back(name);
    for (const std::string& name : names) RETURN_IF_ERROR(RemoveTreeLocked(JoinPath(path, name)));
  }
  return RemoveLocked(path);
}

absl::Status FakeFileSystem::MakeFolders(const std::string& path) {
  std::lock_guard lock(mutex_);
  return MakeFoldersLocked(path);
}

absl::Status FakeFileSystem::MakeFoldersLocked(const std::string& path) {
  RETURN_IF_ERROR(CheckPower());
  absl::StatusOr<Place> place = Find(path, true);
  if (place.ok() && place->node != nullptr) {
    if (place->node->kind == Node::Kind::kFolder) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("make folder ", path, ": something else has that name"));
  }
  const std::string parent = ParentFolder(path);
  RETURN_IF_ERROR(MakeFoldersLocked(parent));
  ASSIGN_OR_RETURN(Place made, Find(path, true));
  auto apply = [&](bool) { SetEntry(made.folder, made.name, std::make_shared<Node>(Node::Kind::kFolder)); };
  RETURN_IF_ERROR(BeginCall("make folder", path, apply));
  apply(false);
  return SyncFolderLocked(parent);
}

absl::Status FakeFileSystem::SyncFolder(const std::string& path) {
  std::lock_guard lock(mutex_);
  return SyncFolderLocked(path);
}

absl::Status FakeFileSystem::SyncFolderLocked(const std::string& path) {
  RETURN_IF_ERROR(CheckPower());
  ASSIGN_OR_RETURN(Place place, Find(path, true));
  if (place.node == nullptr || place.node->kind != Node::Kind::kFolder) return NotFound(path);
  auto apply = [&](bool torn) {
    if (torn) return;
    for (const auto& change : place.node->unsynced_entries) change->Apply();
    place.node->unsynced_entries.clear();
  };
  RETURN_IF_ERROR(BeginCall("sync folder", path, apply));
  apply(false);
  return absl::OkStatus();
}

absl::Status FakeFileSystem::SwitchSymlink(const std::string& target, const std::string& link) {
  std::lock_guard lock(mutex_);
  const std::string temporary = link + ".tmp";
  RETURN_IF_ERROR(RemoveLocked(temporary));
  ASSIGN_OR_RETURN(Place place, Find(temporary, false));
  auto node = std::make_shared<Node>(Node::Kind::kSymlink);
  node->link_target = target;
  auto apply = [&](bool) { SetEntry(place.folder, place.name, node); };
  RETURN_IF_ERROR(BeginCall("symlink", temporary, apply));
  apply(false);
  RETURN_IF_ERROR(RenameLocked(temporary, link));
  return SyncFolderLocked(ParentFolder(link));
}

absl::StatusOr<std::string> FakeFileSystem::ReadSymlink(const std::string& link) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckPower());
  ASSIGN_OR_RETURN(Place place, Find(link, false));
  if (place.node == nullptr) return NotFound(link);
  if (place.node->kind != Node::Kind::kSymlink) return absl::InvalidArgumentError(absl::StrCat(link, ": no symlink"));
  return place.node->link_target;
}

absl::Status FakeFileSystem::ShareWithAll(const std::string& path) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckPower());
  ASSIGN_OR_RETURN(const Place place, Find(path, true));
  if (place.node == nullptr) return absl::NotFoundError(absl::StrCat("share ", path, ": not there"));
  place.node->shared = true;
  return absl::OkStatus();
}

bool FakeFileSystem::IsShared(const std::string& path) {
  std::lock_guard lock(mutex_);
  const absl::StatusOr<Place> place = Find(path, true);
  return place.ok() && place->node != nullptr && place->node->shared;
}

bool FakeFileSystem::Exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (power_lost_) return false;
  const absl::StatusOr<Place> place = Find(path, true);
  return place.ok() && place->node != nullptr;
}

absl::StatusOr<std::vector<std::string>> FakeFileSystem::List(const std::string& folder) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckPower());
  ASSIGN_OR_RETURN(Place place, Find(folder, true));
  if (place.node == nullptr || place.node->kind != Node::Kind::kFolder) return NotFound(folder);
  std::vector<std::string> names;
  for (const auto& [name, child] : place.node->entries) names.push_back(name);
  return names;
}

absl::StatusOr<uint64_t> FakeFileSystem::FreeSpace(const std::string& path) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckPower());
  ASSIGN_OR_RETURN(Place place, Find(path, true));
  if (place.node == nullptr) return NotFound(path);
  if (!capacity_.has_value()) return uint64_t{1} << 40;
  const uint64_t used = UsedBytes(*root_);
  return used > *capacity_ ? 0 : *capacity_ - used;
}

}  // namespace tandem
