// A file, folder, device or symlink of FakeFileSystem: what programs see, and what the medium is known to have.
// Only for fake_file_system.cc and fake_file_system_faults.cc.
#ifndef TANDEM_COMMON_STORAGE_FAKE_FILE_NODE_H_
#define TANDEM_COMMON_STORAGE_FAKE_FILE_NODE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/storage/fake_file_system.h"

namespace tandem {

inline void WriteInto(std::string& data, uint64_t offset, std::string_view bytes) {
  if (data.size() < offset + bytes.size()) data.resize(offset + bytes.size());
  data.replace(offset, bytes.size(), bytes);
}

struct FakeFileSystem::Node {
  enum class Kind { kFile, kDevice, kFolder, kSymlink };
  // A write, or a new size, that the medium may not have yet.
  struct Change {
    uint64_t offset = 0;
    std::string bytes;
    std::optional<uint64_t> new_size;
  };
  // Names that change together, such as both of a rename; known to each folder it touches.
  struct EntryChange {
    struct Entry {
      std::weak_ptr<Node> folder;
      std::string name;
      NodePtr node;
    };
    std::vector<Entry> entries;
    bool applied = false;

    void Apply() {
      if (std::exchange(applied, true)) return;
      for (const Entry& entry : entries) {
        const NodePtr in = entry.folder.lock();
        if (in == nullptr) continue;
        if (entry.node == nullptr) {
          in->durable_entries.erase(entry.name);
        } else {
          in->durable_entries[entry.name] = entry.node;
        }
      }
    }
  };

  explicit Node(Kind which) : kind(which) {}

  // Every user may read it.
  bool shared = false;
  Kind kind;
  std::string data;
  std::string durable_data;
  std::vector<Change> unsynced;
  // Found by views of a path's parts.
  std::map<std::string, NodePtr, std::less<>> entries;
  std::map<std::string, NodePtr, std::less<>> durable_entries;
  std::vector<std::shared_ptr<EntryChange>> unsynced_entries;
  std::string link_target;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_STORAGE_FAKE_FILE_NODE_H_
