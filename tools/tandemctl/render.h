// Turns the unit's status into text for a terminal. Pure.
#ifndef TANDEM_TOOLS_TANDEMCTL_RENDER_H_
#define TANDEM_TOOLS_TANDEMCTL_RENDER_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tandem/local/v1/local.pb.h"

namespace tandem::ctl {

struct RenderOptions {
  bool color = false;
  int width = 100;
};

// The whole status, several lines, each ending in a newline.
std::string RenderStatus(const local::v1::UnitStatus& status, const RenderOptions& options);

// What changed since `before`, a line per change, for output that is not a terminal.
std::vector<std::string> DescribeChanges(const local::v1::UnitStatus& before, const local::v1::UnitStatus& after);

std::string RenderHistory(const std::vector<local::v1::UpdateSummary>& updates, const RenderOptions& options);
std::string RenderDetail(const local::v1::UpdateDetail& detail, const RenderOptions& options);

// A line for each event later than `time`, oldest first.
std::vector<std::string> EventsAfter(const local::v1::UpdateDetail& detail, absl::Time time);

// "[#####-----]  52 %"; empty without a total.
std::string ProgressBar(uint64_t done, uint64_t total, int width);

// "1.4 GiB".
std::string Bytes(uint64_t bytes);

}  // namespace tandem::ctl

#endif  // TANDEM_TOOLS_TANDEMCTL_RENDER_H_
