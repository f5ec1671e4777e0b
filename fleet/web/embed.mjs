// Writes a folder of built files as a C++ source: each compressed, with its type and ETag. usage: embed.mjs FOLDER OUTPUT
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

const [folder, output] = process.argv.slice(2);
const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) =>
    join(entry.parentPath ?? entry.path, entry.name)
      .slice(folder.length)
      .replace(/^\/*/, "/"),
  )
  .sort();

const entries = files.map((file, index) => {
  const type = types[extname(file)];
  if (!type) throw new Error(`${file}: a type that embed.mjs does not know`);
  const content = readFileSync(join(folder, file));
  const etag = createHash("sha256").update(content).digest("hex").slice(0, 32);
  const bytes = gzipSync(content, { level: 9 });
  return {
    bytes: `constexpr unsigned char kFile${index}[] = {${[...bytes].join(",")}};`,
    row: `    {"${file === "/index.html" ? "/" : file}", "${type}", "\\"${etag}\\"", ${file.startsWith("/assets/")},
     {reinterpret_cast<const char*>(kFile${index}), sizeof(kFile${index})}},`,
  };
});

writeFileSync(
  output,
  `// Made by fleet/web/embed.mjs.
#include "fleet/web/web_files.h"

namespace tandem::fleet {
namespace {
${entries.map((entry) => entry.bytes).join("\n")}
}  // namespace

std::span<const WebFile> WebFiles() {
  static const WebFile kFiles[] = {
${entries.map((entry) => entry.row).join("\n")}
  };
  return kFiles;
}

}  // namespace tandem::fleet
`,
);
