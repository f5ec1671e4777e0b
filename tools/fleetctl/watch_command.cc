// rollout watch
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <thread>

#include "absl/strings/match.h"
#include "common/status/status.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/render_rollout.h"

namespace tandem::fleetctl {
namespace {

using Stub = v1::Fleet::StubInterface;

constexpr std::chrono::seconds kWait{30};
constexpr std::chrono::seconds kRetry{1};
constexpr uint32_t kFailedShown = 10;
constexpr uint32_t kBusyShown = 3;

// Which attempts of a ring have a name in the tree, and how many of each.
struct Named {
  const char* state;
  uint32_t limit;
};
constexpr Named kNamed[] = {{"failed", kFailedShown}, {"provisional", kBusyShown}, {"updating", kBusyShown}};

// Redrawn in place on a terminal; a line for each change elsewhere; a line of JSON for programs.
class LiveTree {
 public:
  void Draw(const v1::Rollout& rollout, const std::vector<v1::Attempt>& attempts) {
    if (Globals().json) {
      PrintJson(rollout, /*one_line=*/true);
    } else if (isatty(STDOUT_FILENO) != 0) {
      const std::string text = RenderTree(rollout, attempts, Terminal());
      // Back to the top of what was drawn last, then clear to the end.
      if (lines_ > 0) std::cout << "\x1b[" << lines_ << "A\r\x1b[J";
      std::cout << text << std::flush;
      lines_ = std::count(text.begin(), text.end(), '\n');
    } else {
      for (const std::string& line : DescribeChanges(rollout_, rollout)) std::cout << line << "\n";
      for (const std::string& line : DescribeFailures(attempts_, attempts)) std::cout << line << "\n";
      std::cout << std::flush;
    }
    rollout_ = rollout;
    attempts_ = attempts;
  }

  // The controller does not answer just now.
  void Away(const absl::Status& status) {
    if (Globals().json || away_ == status.message()) return;
    away_ = std::string(status.message());
    std::cerr << "tandem-fleetctl: " << Clean(ToPersonText(status)) << "; trying again\n";
    lines_ = 0;
  }

 private:
  v1::Rollout rollout_;
  std::vector<v1::Attempt> attempts_;
  int64_t lines_ = 0;
  std::string away_;
};

}  // namespace

absl::StatusOr<std::vector<v1::Attempt>> NamedAttempts(Client& client, const v1::Rollout& rollout) {
  std::vector<v1::Attempt> attempts;
  for (const v1::Ring& ring : rollout.rings()) {
    for (const Named& named : kNamed) {
      const bool any = std::ranges::any_of(ring.counts(), [&](const auto& count) {
        return count.first == named.state || absl::EndsWith(count.first, absl::StrCat("/", named.state));
      });
      if (!any) continue;
      v1::ListAttemptsRequest request;
      request.set_rollout(rollout.id());
      request.set_ring(ring.name());
      request.set_state(named.state);
      request.set_page_size(named.limit);
      ASSIGN_OR_RETURN(const v1::ListAttemptsResponse page, client.Call(&Stub::ListAttempts, request));
      attempts.insert(attempts.end(), page.attempts().begin(), page.attempts().end());
    }
  }
  return attempts;
}

absl::Status WatchRollout(Client& client, uint64_t id) {
  LiveTree tree;
  v1::WatchRolloutRequest request;
  request.set_id(id);
  request.mutable_wait()->set_seconds(kWait.count());
  bool answered = false;
  for (;;) {
    const absl::StatusOr<v1::Rollout> rollout = client.Call(&Stub::WatchRollout, request, kWait * 2);
    if (!rollout.ok()) {
      // A controller that restarts is away for a while; one that was never there is an error.
      const bool passes = IsTransient(rollout.status()) && (answered || absl::IsResourceExhausted(rollout.status()));
      if (!passes) return rollout.status();
      tree.Away(rollout.status());
      std::this_thread::sleep_for(kRetry);
      continue;
    }
    if (!answered || rollout->change() != request.seen_change()) {
      answered = true;
      request.set_seen_change(rollout->change());
      const absl::StatusOr<std::vector<v1::Attempt>> attempts = NamedAttempts(client, *rollout);
      tree.Draw(*rollout, attempts.ok() ? *attempts : std::vector<v1::Attempt>());
    }
    if (IsOver(*rollout)) {
      SetExitCode(rollout->state() == "complete" ? 0 : 1);
      return absl::OkStatus();
    }
  }
}

}  // namespace tandem::fleetctl
