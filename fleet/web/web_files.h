// The page an operator works on: files of fleet/web, built by Vite, compressed, and part of the program.
//
//   const WebFile* file = FindWebFile("/");       // index.html
//   file = FindWebFile("/assets/index-3fa9c1.js");
//
// None of them holds anything of a fleet: whoever asks gets them. What they show comes from the API, with the caller's
// token.
#ifndef TANDEM_FLEET_WEB_WEB_FILES_H_
#define TANDEM_FLEET_WEB_WEB_FILES_H_

#include <span>
#include <string_view>

namespace tandem::fleet {

struct WebFile {
  // As in a request, such as "/assets/index-3fa9c1.js"; "/" for index.html.
  std::string_view path;
  std::string_view content_type;
  // Strong: the hash of the content, with its quotes.
  std::string_view etag;
  // The name holds a hash of the content: what was fetched once never changes.
  bool immutable = false;
  // gzip.
  std::string_view gzip;
};

// `path` without query. Null: there is no such file.
const WebFile* FindWebFile(std::string_view path);
std::span<const WebFile> WebFiles();

// Scripts and styles only from here, no frames, nothing inline: a text of a unit that found its way into the page could
// still run nothing.
inline constexpr std::string_view kPageSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_WEB_WEB_FILES_H_
