// Text for terminals: columns, colours, times. Pure.
#ifndef TANDEM_TOOLS_FLEETCTL_TABLE_H_
#define TANDEM_TOOLS_FLEETCTL_TABLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace tandem::fleetctl {

struct RenderOptions {
  bool color = false;
  int width = 100;
  // Of "3m ago".
  absl::Time now;
  absl::TimeZone zone = absl::UTCTimeZone();
};

// Without what could move the cursor or forge a line: units and other people write much of what is shown.
std::string Clean(std::string_view text);

enum class Paint { kPlain, kBold, kRed, kGreen, kYellow, kDim };
std::string Painted(const std::string& text, Paint paint, const RenderOptions& options);
// Of a word for a state: failed is red, passed is green, …
Paint PaintOf(std::string_view state);

// "2026-11-21 10:00"; "-" for none.
std::string TimeText(const google::protobuf::Timestamp& time, const RenderOptions& options);
// "5s", "3m", "2h", "9d".
std::string AgeText(absl::Duration age);
// "3m ago"; "never".
std::string AgoText(const google::protobuf::Timestamp& time, const RenderOptions& options);
// "12 %", of nothing "-".
std::string PercentText(uint64_t part, uint64_t whole);
// "[####------]"
std::string Bar(uint64_t part, uint64_t whole, int width);
// The first twelve characters.
std::string ShortDigest(const std::string& digest);
// At most `width` characters (not bytes), with "…" when something is cut off.
std::string Shorten(const std::string& text, int width);

// Rows of cells, padded to columns. Cells are cleaned. A column that is empty in all rows is left out.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void Add(std::vector<std::string> row);
  bool empty() const { return rows_.empty(); }
  // The column called STATE is painted.
  std::string Text(const RenderOptions& options) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_TABLE_H_
