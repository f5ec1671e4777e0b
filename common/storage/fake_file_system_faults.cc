// The side of FakeFileSystem that tests use: what is on the disk, and how calls fail and power goes.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/storage/fake_file_node.h"
#include "common/storage/fake_file_system.h"

namespace tandem {
namespace {

absl::Status PowerIsOff() { return absl::InternalError("the power is off"); }

}  // namespace

// ---- What is there ----

FakeFileSystem::NodePtr FakeFileSystem::MakeFoldersQuietly(const std::string& path) {
  NodePtr folder = root_;
  size_t start = 0;
  while (start <= path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string name = path.substr(start, end - start);
    start = end + 1;
    if (name.empty() || name == ".") continue;
    NodePtr& next = folder->entries[name];
    if (next == nullptr) next = std::make_shared<Node>(Node::Kind::kFolder);
    folder->durable_entries[name] = next;
    folder = next;
  }
  return folder;
}

void FakeFileSystem::Put(const std::string& path, std::string_view content) {
  std::lock_guard lock(mutex_);
  const NodePtr folder = MakeFoldersQuietly(ParentFolder(path));
  auto node = std::make_shared<Node>(Node::Kind::kFile);
  node->data = node->durable_data = std::string(content);
  const std::string name = path.substr(path.rfind('/') + 1);
  folder->entries[name] = folder->durable_entries[name] = node;
}

void FakeFileSystem::PutDevice(const std::string& path, uint64_t size) {
  Put(path, std::string(size, '\0'));
  std::lock_guard lock(mutex_);
  if (auto place = Find(path, true); place.ok()) place->node->kind = Node::Kind::kDevice;
}

void FakeFileSystem::Damage(const std::string& path, uint64_t offset, std::string_view bytes) {
  std::lock_guard lock(mutex_);
  auto node = FindFile(path);
  if (!node.ok()) return;
  WriteInto((*node)->data, offset, bytes);
  WriteInto((*node)->durable_data, offset, bytes);
}

void FakeFileSystem::SetInUse(const std::string& path) {
  std::lock_guard lock(mutex_);
  in_use_.insert(path);
}

void FakeFileSystem::SetCapacity(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

uint64_t FakeFileSystem::UsedBytes(const Node& node) const {
  uint64_t used = node.kind == Node::Kind::kFile ? node.data.size() : 0;
  for (const auto& [name, child] : node.entries) used += UsedBytes(*child);
  return used;
}

// ---- Faults ----

uint64_t FakeFileSystem::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

void FakeFileSystem::FailCall(uint64_t n, absl::Status status) {
  std::lock_guard lock(mutex_);
  failures_[calls_ + n] = std::move(status);
}

void FakeFileSystem::ForgetFailures() {
  std::lock_guard lock(mutex_);
  failures_.clear();
}

void FakeFileSystem::FailCallsFrom(uint64_t n, absl::Status status) {
  std::lock_guard lock(mutex_);
  failing_from_ = calls_ + n;
  failing_ = std::move(status);
}

void FakeFileSystem::CutPowerAtCall(uint64_t n, uint64_t seed) {
  std::lock_guard lock(mutex_);
  cut_at_ = calls_ + n;
  cut_seed_ = seed;
}

void FakeFileSystem::PowerCut(uint64_t seed) {
  std::lock_guard lock(mutex_);
  LosePower(seed);
}

bool FakeFileSystem::power_lost() const {
  std::lock_guard lock(mutex_);
  return power_lost_;
}

void FakeFileSystem::Reboot() {
  std::lock_guard lock(mutex_);
  power_lost_ = false;
  cut_at_.reset();
  failures_.clear();
  failing_ = absl::OkStatus();
  ++boots_;
}

void FakeFileSystem::SetObserver(std::function<void(std::string_view, const std::string&)> observer) {
  std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
}

absl::Status FakeFileSystem::CheckPower() const { return power_lost_ ? PowerIsOff() : absl::OkStatus(); }

absl::Status FakeFileSystem::BeginCall(std::string_view call, const std::string& path,
                                       absl::FunctionRef<void(bool torn)> half) {
  RETURN_IF_ERROR(CheckPower());
  if (observer_) observer_(call, path);
  ++calls_;
  if (cut_at_ == calls_) {
    std::mt19937_64 random(cut_seed_ ^ 0x9e3779b97f4a7c15);
    if (const uint64_t fate = random() % 3; fate != 0) half(fate == 1);
    LosePower(cut_seed_);
    return PowerIsOff();
  }
  if (const auto failure = failures_.find(calls_); failure != failures_.end()) {
    if (call == "write") half(true);
    return Annotate(failure->second, absl::StrCat(absl::string_view(call.data(), call.size()), " ", path));
  }
  if (!failing_.ok() && calls_ >= failing_from_) {
    if (call == "write") half(true);
    return Annotate(failing_, absl::StrCat(absl::string_view(call.data(), call.size()), " ", path));
  }
  return absl::OkStatus();
}

void FakeFileSystem::LosePower(uint64_t seed) {
  if (power_lost_) return;
  power_lost_ = true;
  std::mt19937_64 random(seed);
  std::vector<NodePtr> nodes;
  Collect(root_, nodes);
  // Names first, all of them: a rename between two folders survives in both or in none.
  for (const NodePtr& node : nodes) {
    const size_t survive = random() % (node->unsynced_entries.size() + 1);
    for (size_t i = 0; i < survive; ++i) node->unsynced_entries[i]->Apply();
  }
  for (const NodePtr& node : nodes) {
    node->unsynced_entries.clear();
    node->entries = node->durable_entries;
    LoseData(*node, random);
  }
}

void FakeFileSystem::Collect(const NodePtr& node, std::vector<NodePtr>& nodes) {
  if (std::find(nodes.begin(), nodes.end(), node) != nodes.end()) return;
  nodes.push_back(node);
  for (const auto& [name, child] : node->entries) Collect(child, nodes);
  for (const auto& [name, child] : node->durable_entries) Collect(child, nodes);
}

void FakeFileSystem::LoseData(Node& node, std::mt19937_64& random) {
  for (const Node::Change& change : node.unsynced) {
    const uint64_t fate = random() % 3;
    if (fate == 0) continue;
    if (change.new_size.has_value()) {
      node.durable_data.resize(*change.new_size);
      continue;
    }
    std::string_view bytes = change.bytes;
    if (fate == 1 && !bytes.empty()) bytes = bytes.substr(0, random() % bytes.size());
    WriteInto(node.durable_data, change.offset, bytes);
  }
  node.unsynced.clear();
  node.data = node.durable_data;
}

}  // namespace tandem
