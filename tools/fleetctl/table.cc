#include "tools/fleetctl/table.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace tandem::fleetctl {
namespace {

bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// Characters, not bytes.
size_t WidthOf(std::string_view text) { return static_cast<size_t>(std::ranges::count_if(text, BeginsCharacter)); }

const char* CodeOf(Paint paint) {
  switch (paint) {
    case Paint::kBold:
      return "1";
    case Paint::kRed:
      return "31";
    case Paint::kGreen:
      return "32";
    case Paint::kYellow:
      return "33";
    case Paint::kDim:
      return "2";
    case Paint::kPlain:
      break;
  }
  return "0";
}

}  // namespace

std::string Clean(std::string_view text) {
  std::string clean(text);
  for (size_t i = 0; i < clean.size(); ++i) {
    const auto c = static_cast<unsigned char>(clean[i]);
    if (c < 0x20 || c == 0x7f) clean[i] = ' ';
    // U+0080 to U+009F: control characters of their own, some of which terminals obey.
    if (c == 0xc2 && i + 1 < clean.size() && static_cast<unsigned char>(clean[i + 1]) < 0xa0) {
      clean[i] = ' ';
      clean[i + 1] = ' ';
    }
  }
  return clean;
}

std::string Painted(const std::string& text, Paint paint, const RenderOptions& options) {
  if (!options.color || paint == Paint::kPlain || text.empty()) return text;
  return absl::StrCat("\x1b[", CodeOf(paint), "m", text, "\x1b[0m");
}

Paint PaintOf(std::string_view state) {
  static const std::set<std::string_view> kBad = {
      "failed",  "aborted", "aborting", "abort", "revoked", "frozen", "verification_failed", "verification_storm",
      "timeout", "error"};
  static const std::set<std::string_view> kGood = {"passed", "promoted", "complete", "promote",
                                                   "online", "applied",  "verified", "cleared"};
  static const std::set<std::string_view> kQuiet = {"pending", "queued", "superseded", "cancelled", "excluded"};
  if (kBad.contains(state)) return Paint::kRed;
  if (kGood.contains(state)) return Paint::kGreen;
  return kQuiet.contains(state) ? Paint::kDim : Paint::kYellow;
}

std::string TimeText(const google::protobuf::Timestamp& time, const RenderOptions& options) {
  if (time.seconds() == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(time.seconds()), options.zone);
}

std::string AgeText(absl::Duration age) {
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(age));
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m");
  if (seconds < int64_t{48} * 3600) return absl::StrCat(seconds / 3600, "h");
  return absl::StrCat(seconds / 86400, "d");
}

std::string AgoText(const google::protobuf::Timestamp& time, const RenderOptions& options) {
  if (time.seconds() == 0) return "never";
  return absl::StrCat(AgeText(options.now - absl::FromUnixSeconds(time.seconds())), " ago");
}

std::string PercentText(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return absl::StrCat(static_cast<int>(100.0 * static_cast<double>(part) / static_cast<double>(whole)), " %");
}

std::string Bar(uint64_t part, uint64_t whole, int width) {
  const double share = whole == 0 ? 0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(whole));
  const int filled = static_cast<int>(share * width);
  return absl::StrCat("[", std::string(static_cast<size_t>(filled), '#'),
                      std::string(static_cast<size_t>(width - filled), '-'), "]");
}

std::string ShortDigest(const std::string& digest) { return digest.substr(0, 12); }

std::string Shorten(const std::string& text, int width) {
  if (WidthOf(text) <= static_cast<size_t>(width)) return text;
  std::string cut;
  int characters = 0;
  for (const char c : text) {
    if (BeginsCharacter(c) && ++characters >= width) break;
    cut.push_back(c);
  }
  return cut + "…";
}

void Table::Add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = Clean(cell);
  row.resize(header_.size());
  rows_.push_back(std::move(row));
}

std::string Table::Text(const RenderOptions& options) const {
  std::vector<size_t> widths(header_.size());
  size_t last = 0;
  for (size_t i = 0; i < header_.size(); ++i) {
    for (const auto& row : rows_) widths[i] = std::max(widths[i], WidthOf(row[i]));
    if (widths[i] == 0) continue;
    widths[i] = std::max(widths[i], WidthOf(header_[i]));
    last = i;
  }
  std::string text;
  const auto add_line = [&](const std::vector<std::string>& cells, bool header) {
    for (size_t i = 0; i <= last; ++i) {
      if (widths[i] == 0) continue;
      const Paint paint = header ? Paint::kBold : header_[i] == "STATE" ? PaintOf(cells[i]) : Paint::kPlain;
      text += Painted(cells[i], paint, options);
      if (i != last) text.append(widths[i] - WidthOf(cells[i]) + 2, ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    text += "\n";
  };
  add_line(header_, /*header=*/true);
  for (const auto& row : rows_) add_line(row, /*header=*/false);
  return text;
}

}  // namespace tandem::fleetctl
