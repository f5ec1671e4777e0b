#include "tools/tandemctl/render.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace tandem::ctl {
namespace {

using local::v1::ComponentStatus;
using local::v1::UmStatus;
using local::v1::UnitStatus;
using local::v1::UpdateSummary;

constexpr char kBold[] = "1";
constexpr char kRed[] = "31";
constexpr char kGreen[] = "32";
constexpr char kYellow[] = "33";

std::string Paint(const std::string& text, const char* code, const RenderOptions& options) {
  return options.color ? absl::StrCat("\x1b[", code, "m", text, "\x1b[0m") : text;
}

const char* ColorOf(const std::string& word) {
  if (word == "FAILED" || word == "Reverting" || word == "NeedsService" || word == "failed" || word == "reverted" ||
      word == "needs_service") {
    return kRed;
  }
  if (word == "UPDATED" || word == "Committing" || word == "applied" || word == "passed") return kGreen;
  if (word == "IDLE" || word == "Idle") return "0";
  return kYellow;
}

std::string Duration(uint64_t ms) {
  return absl::FormatDuration(absl::Trunc(absl::Milliseconds(ms), absl::Seconds(1)));
}

// Rows of cells, padded to columns; cells may not contain escapes.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  std::string Text(const RenderOptions& options) const {
    std::vector<size_t> widths(rows_.front().size());
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (size_t r = 0; r < rows_.size(); ++r) {
      std::string line;
      for (size_t i = 0; i < rows_[r].size(); ++i) {
        const bool last = i + 1 == rows_[r].size();
        const std::string cell =
            last ? rows_[r][i] : absl::StrFormat("%-*s", static_cast<int>(widths[i]) + 2, rows_[r][i]);
        line += r == 0              ? Paint(cell, kBold, options)
                : i == kStateColumn ? Paint(cell, ColorOf(rows_[r][i]), options)
                                    : cell;
      }
      absl::StrAppend(&text, line, "\n");
    }
    return text;
  }

 private:
  static constexpr size_t kStateColumn = 1;
  std::vector<std::vector<std::string>> rows_;
};

std::string Slots(const ComponentStatus& component) {
  if (component.slot_running().empty()) return "";
  std::string text = absl::StrCat("runs ", component.slot_running());
  if (!component.slot_confirmed().empty()) absl::StrAppend(&text, ", confirmed ", component.slot_confirmed());
  if (!component.slot_trial().empty()) {
    absl::StrAppend(&text, ", trial ", component.slot_trial(), " (", component.attempts_left(), " attempts left)");
  }
  return text;
}

std::string Note(const UmStatus& um, const ComponentStatus& component) {
  if (!um.error().empty()) return um.error();
  if (!um.connected()) return "not connected";
  const bool moving = component.bytes_total() > 0 && component.bytes_done() < component.bytes_total();
  if (moving) return ProgressBar(component.bytes_done(), component.bytes_total(), 20);
  if (!um.activity().empty()) return um.activity();
  return Slots(component);
}

std::string UmTable(const UnitStatus& status, const RenderOptions& options) {
  Table table({"UM", "STATE", "PRIO", "COMPONENT", "RUNS", "UPDATE TO", ""});
  for (const UmStatus& um : status.ums()) {
    const std::string state = um.state().empty() ? "never seen" : um.state();
    const std::string priority = um.state().empty() ? "-" : absl::StrCat(um.priority());
    if (um.components().empty()) table.Add({um.node_id(), state, priority, "-", "-", "", um.error()});
    for (const ComponentStatus& component : um.components()) {
      const bool changes = !component.target_version().empty() && component.target_version() != component.version();
      table.Add({um.node_id(), state, priority, component.component_id(),
                 component.version().empty() ? "-" : component.version(), changes ? component.target_version() : "",
                 Note(um, component)});
    }
  }
  return table.Text(options);
}

std::string Title(const UpdateSummary& update) {
  return absl::StrCat("update ", update.update_id(), "  ", absl::StrJoin(update.release_ids(), " + "));
}

std::string Time(const google::protobuf::Timestamp& stamp) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(stamp.seconds()), absl::LocalTimeZone());
}

std::string CloudLine(const UnitStatus& status) {
  if (!status.has_cloud()) return "";
  const auto& cloud = status.cloud();
  std::string line =
      absl::StrCat("cloud: ", cloud.connected() ? "connected to " : "not connected to ", cloud.endpoint());
  if (!cloud.error().empty()) absl::StrAppend(&line, " (", cloud.error(), ")");
  if (cloud.outbox_messages() > 0) absl::StrAppend(&line, ", ", cloud.outbox_messages(), " messages wait for an ack");
  return line + "\n";
}

}  // namespace

std::string Bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.*f %s", unit == 0 ? 0 : 1, value, kUnits[unit]);
}

std::string ProgressBar(uint64_t done, uint64_t total, int width) {
  if (total == 0) return "";
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const int filled = static_cast<int>(part * width);
  return absl::StrFormat("[%s%s] %3d %% of %s", std::string(filled, '#'), std::string(width - filled, '-'),
                         static_cast<int>(part * 100), Bytes(total));
}

std::string RenderStatus(const UnitStatus& status, const RenderOptions& options) {
  std::string text = absl::StrCat("unit ", Paint(status.unit_id(), kBold, options), "  ",
                                  Paint(status.phase(), ColorOf(status.phase()), options));
  if (status.has_update()) {
    absl::StrAppend(&text, " for ", Duration(status.phase_elapsed_ms()));
    if (status.phase_budget_ms() > 0) absl::StrAppend(&text, " of ", Duration(status.phase_budget_ms()));
    absl::StrAppend(&text, "  ", Title(status.update()));
  }
  if (status.paused()) absl::StrAppend(&text, "  ", Paint("PAUSED", kYellow, options));
  text += "\n";
  if (!status.safe_mode().empty()) {
    absl::StrAppend(&text, Paint("SAFE MODE", kRed, options), ": ", status.safe_mode(),
                    "; ends with an update that is applied, or tandemctl leave-safe-mode\n");
  }
  if (!status.reason().empty()) absl::StrAppend(&text, "why: ", status.reason(), "\n");
  for (const std::string& waits : status.waiting_for()) absl::StrAppend(&text, "waits for: ", waits, "\n");
  absl::StrAppend(&text, UmTable(status, options));
  for (const auto& probe : status.probes()) {
    absl::StrAppend(&text, "probe ", probe.name(), ": ", Paint(probe.state(), ColorOf(probe.state()), options),
                    probe.detail().empty() ? "" : absl::StrCat(" (", probe.detail(), ")"), "\n");
  }
  for (const auto& diagnostic : status.diagnostics()) {
    absl::StrAppend(&text, "diagnostic ", diagnostic.name(), ": ",
                    Paint(diagnostic.state(), ColorOf(diagnostic.state()), options),
                    diagnostic.reason().empty() ? "" : absl::StrCat(" (", diagnostic.reason(), ")"), "\n");
  }
  if (status.has_last_update() && !status.has_update()) {
    const UpdateSummary& last = status.last_update();
    absl::StrAppend(&text, "last ", Title(last), ": ", Paint(last.outcome(), ColorOf(last.outcome()), options),
                    last.reason().empty() ? "" : absl::StrCat(" (", last.reason(), ")"), "\n");
  }
  return text + CloudLine(status);
}

std::vector<std::string> DescribeChanges(const UnitStatus& before, const UnitStatus& after) {
  std::vector<std::string> lines;
  if (before.phase() != after.phase()) {
    lines.push_back(absl::StrCat("unit: ", before.phase().empty() ? "" : before.phase() + " -> ", after.phase(),
                                 after.has_update() ? absl::StrCat("  ", Title(after.update())) : "",
                                 after.reason().empty() ? "" : absl::StrCat(" (", after.reason(), ")")));
  } else if (before.reason() != after.reason() && !after.reason().empty()) {
    lines.push_back(absl::StrCat("unit: ", after.reason()));
  }
  for (const UmStatus& um : after.ums()) {
    const auto old = std::ranges::find(before.ums(), um.node_id(), &UmStatus::node_id);
    const UmStatus& was = old == before.ums().end() ? UmStatus::default_instance() : *old;
    if (was.connected() && !um.connected()) lines.push_back(absl::StrCat("  ", um.node_id(), ": connection lost"));
    if (was.state() != um.state() && !um.state().empty()) {
      lines.push_back(absl::StrCat("  ", um.node_id(), ": ", was.state().empty() ? "" : was.state() + " -> ",
                                   um.state(), um.error().empty() ? "" : absl::StrCat(" (", um.error(), ")")));
    } else if (was.error() != um.error() && !um.error().empty()) {
      lines.push_back(absl::StrCat("  ", um.node_id(), ": ", um.error()));
    }
    for (int i = 0; i < um.components_size(); ++i) {
      const ComponentStatus& component = um.components(i);
      const uint64_t total = component.bytes_total();
      const uint64_t done_before = i < was.components_size() ? was.components(i).bytes_done() : 0;
      // Every quarter is news.
      if (total > 0 && component.bytes_done() != done_before &&
          component.bytes_done() * 4 / total != done_before * 4 / total) {
        lines.push_back(absl::StrCat("  ", um.node_id(), ": ", component.component_id(), " ",
                                     ProgressBar(component.bytes_done(), total, 20)));
      }
    }
  }
  for (const auto& probe : after.probes()) {
    const auto old = std::ranges::find(before.probes(), probe.name(), &local::v1::ProbeStatus::name);
    if (old != before.probes().end() && old->state() == probe.state()) continue;
    lines.push_back(absl::StrCat("  probe ", probe.name(), ": ", probe.state(),
                                 probe.detail().empty() ? "" : absl::StrCat(" (", probe.detail(), ")")));
  }
  return lines;
}

std::string RenderHistory(const std::vector<UpdateSummary>& updates, const RenderOptions& options) {
  if (updates.empty()) return "no update has run on this unit yet\n";
  Table table({"UPDATE", "OUTCOME", "STARTED", "RELEASES", "REASON"});
  for (const UpdateSummary& update : updates) {
    table.Add({update.update_id(), update.outcome(), Time(update.started_at()),
               absl::StrJoin(update.release_ids(), " + "), update.reason()});
  }
  return table.Text(options);
}

std::vector<std::string> EventsAfter(const local::v1::UpdateDetail& detail, absl::Time time) {
  std::vector<std::string> lines;
  for (const auto& event : detail.events()) {
    const absl::Time at = absl::FromUnixSeconds(event.at().seconds()) + absl::Nanoseconds(event.at().nanos());
    if (at > time) lines.push_back(event.text());
  }
  return lines;
}

std::string RenderDetail(const local::v1::UpdateDetail& detail, const RenderOptions& options) {
  const UpdateSummary& update = detail.summary();
  std::string text = absl::StrCat(Paint(Title(update), kBold, options),
                                  "\noutcome: ", Paint(update.outcome(), ColorOf(update.outcome()), options), "\n");
  if (!update.reason().empty()) absl::StrAppend(&text, "reason: ", update.reason(), "\n");
  absl::StrAppend(&text, "correlation id: ", update.correlation_id(), "\n");
  for (const auto& event : detail.events()) {
    absl::StrAppend(&text, Time(event.at()), "  ", absl::StrFormat("%-13s", event.phase()), event.text(), "\n");
  }
  return text;
}

}  // namespace tandem::ctl
