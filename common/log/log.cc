#include "common/log/log.h"

#include <atomic>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "spdlog/sinks/basic_file_sink.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace tandem {
namespace {

constexpr char kPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %L %v";

std::shared_ptr<spdlog::logger> MakeLogger(spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("tandem", std::move(sink));
  logger->set_pattern(kPattern, spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

struct State {
  std::shared_ptr<spdlog::logger> logger = MakeLogger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  std::string common;
};

// Replaced by InitLog only, before other threads start.
State& GlobalState() {
  static State* const state = new State;
  return *state;
}

std::string Quoted(std::string_view value) {
  bool plain = !value.empty();
  for (char c : value) plain = plain && c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
  if (plain) return std::string(value);
  return absl::StrCat("\"", absl::Utf8SafeCEscape(absl::string_view(value.data(), value.size())), "\"");
}

void Write(spdlog::level::level_enum level, std::string_view message, LogFields fields) {
  State& state = GlobalState();
  if (!state.logger->should_log(level)) return;
  std::string line(message);
  line += state.common;
  for (const auto& [key, value] : fields) absl::StrAppend(&line, " ", std::string(key), "=", Quoted(value));
  state.logger->log(level, "{}", line);
}

}  // namespace

void LogDebug(std::string_view message, LogFields fields) { Write(spdlog::level::debug, message, fields); }
void LogInfo(std::string_view message, LogFields fields) { Write(spdlog::level::info, message, fields); }
void LogWarning(std::string_view message, LogFields fields) { Write(spdlog::level::warn, message, fields); }
void LogError(std::string_view message, LogFields fields) { Write(spdlog::level::err, message, fields); }

absl::Status InitLog(const LogOptions& options) {
  spdlog::level::level_enum level;
  if (options.level.empty() || options.level == "info") {
    level = spdlog::level::info;
  } else if (options.level == "debug") {
    level = spdlog::level::debug;
  } else if (options.level == "warning") {
    level = spdlog::level::warn;
  } else if (options.level == "error") {
    level = spdlog::level::err;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("log level \"", options.level, "\" is unknown; use debug, info, warning or error"));
  }
  spdlog::sink_ptr sink;
  if (options.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    try {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
    } catch (const spdlog::spdlog_ex& error) {
      return absl::UnavailableError(absl::StrCat("log file ", options.file, ": ", error.what()));
    }
  }
  State& state = GlobalState();
  state.logger = MakeLogger(std::move(sink));
  state.logger->set_level(level);
  state.common.clear();
  for (const auto& [key, value] : options.common_fields) absl::StrAppend(&state.common, " ", key, "=", Quoted(value));
  return absl::OkStatus();
}

std::string FormatLogLine(std::string_view message, LogFields fields) {
  std::string line(message);
  for (const auto& [key, value] : fields) absl::StrAppend(&line, " ", std::string(key), "=", Quoted(value));
  return line;
}

}  // namespace tandem
