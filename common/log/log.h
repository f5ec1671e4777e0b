// Structured log lines: a sentence, then key=value fields. Quiet when all is well.
//
//   LogInfo("update accepted", {{"update", id}, {"sequence", absl::StrCat(sequence)}});
//   -> 2026-11-21T10:00:00.123Z I update accepted unit=gw-17 update=7-1 sequence=7
#ifndef TANDEM_COMMON_LOG_LOG_H_
#define TANDEM_COMMON_LOG_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace tandem {

using LogField = std::pair<std::string_view, std::string>;
using LogFields = std::initializer_list<LogField>;

// Thread-safe, each line written whole. Values with spaces, quotes or control characters are quoted and escaped.
void LogDebug(std::string_view message, LogFields fields = {});
void LogInfo(std::string_view message, LogFields fields = {});
void LogWarning(std::string_view message, LogFields fields = {});
void LogError(std::string_view message, LogFields fields = {});

struct LogOptions {
  // debug, info, warning or error.
  std::string level = "info";
  // Empty: standard error.
  std::string file;
  // Written on every line, such as the unit.
  std::vector<std::pair<std::string, std::string>> common_fields;
};

// Call once at start. INVALID_ARGUMENT for an unknown level; an error when the file cannot be opened.
absl::Status InitLog(const LogOptions& options);

// The text after the level, for tests.
std::string FormatLogLine(std::string_view message, LogFields fields);

}  // namespace tandem

#endif  // TANDEM_COMMON_LOG_LOG_H_
