#include "fleet/web/web_files.h"

#include <algorithm>

namespace tandem::fleet {

const WebFile* FindWebFile(std::string_view path) {
  const std::span<const WebFile> files = WebFiles();
  const auto found = std::ranges::find(files, path, &WebFile::path);
  return found == files.end() ? nullptr : &*found;
}

}  // namespace tandem::fleet
