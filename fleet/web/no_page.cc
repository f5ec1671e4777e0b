// In place of the page, when it was left out of the build.
#include "fleet/web/web_files.h"

namespace tandem::fleet {

std::span<const WebFile> WebFiles() { return {}; }

}  // namespace tandem::fleet
