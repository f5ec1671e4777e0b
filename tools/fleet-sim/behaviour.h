// How simulated units behave: pure decisions by hash of (seed, unit, what), so that a seed always gives the same fleet,
// in whatever order messages arrive.
//
//   Behaviour behaviour({.seed = 7, .fail = 0.01, .slow = 0.02});
//   for (const Step& step : behaviour.Update({.unit = 17, .sequence = 3, .releases = {"gateway-2026.11"}})) …
#ifndef TANDEM_TOOLS_FLEET_SIM_BEHAVIOUR_H_
#define TANDEM_TOOLS_FLEET_SIM_BEHAVIOUR_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem::fleetsim {

// Evenly distributed from `from` to `to`.
struct Span {
  absl::Duration from;
  absl::Duration to;
};
// "2s..8s", or "5s". INVALID_ARGUMENT.
absl::StatusOr<Span> ParseSpan(std::string_view text);

// A name by weight: {"gw-2": 3, "gw-1": 1}.
using Weighted = std::vector<std::pair<std::string, double>>;
// "gw-2=3,gw-1=1", or one name. INVALID_ARGUMENT.
absl::StatusOr<Weighted> ParseWeighted(std::string_view text);

// What becomes of a diagnostic. kHangs: no answer ever comes.
enum class DiagnosticOutcome { kPassed, kFailed, kTimeout, kError, kHangs };

// Diagnostics of some releases do not pass on a share of the units; the first rule that fits counts.
struct BadDiagnostic {
  // A name, or the beginning of one with "*" after it.
  std::string release;
  std::string diagnostic;
  double share = 1;
  DiagnosticOutcome outcome = DiagnosticOutcome::kFailed;
};
// "gw-2026.12/inference=0.3", "gw-*/*=0.01:hangs"; outcomes are failed, timeout, error, hangs. INVALID_ARGUMENT.
absl::StatusOr<BadDiagnostic> ParseBadDiagnostic(std::string_view text);

struct BehaviourOptions {
  uint64_t seed = 1;
  // Weights of what becomes of an update; what is slow succeeds, too. Silent: it accepts, and is not heard of again.
  double success = 1;
  double fail = 0;
  double slow = 0;
  double silent = 0;
  // By release_id: the share of units on which it fails, whatever the weights say.
  std::map<std::string, double, std::less<>> bad_releases;
  // A unit that a rule hits is hit each time.
  std::vector<BadDiagnostic> bad_diagnostics;
  Span diagnostic_time{absl::Milliseconds(100), absl::Milliseconds(500)};
  Span update_time{absl::Seconds(2), absl::Seconds(8)};
  double slow_factor = 10;
  // Shares of units. Flapping ones lose their connection again and again; offline ones appear late.
  double flap = 0;
  Span flap_every{absl::Seconds(20), absl::Seconds(60)};
  double offline = 0;
  Span offline_for{absl::Seconds(30), absl::Seconds(90)};
  // Shares of messages.
  double duplicate = 0;
  double reorder = 0;
  Span reorder_by{absl::Milliseconds(20), absl::Milliseconds(500)};
};

enum class Outcome { kSuccess, kFail, kSlow, kSilent };

// What a unit says next, so long after the step before.
struct Step {
  enum class What {
    // Feedback with this state, and nothing else.
    kFeedback,
    // The release is committed: applied report, feedback, reported state.
    kApplied,
    // commit_on: verified: the provisional report; what follows waits for the verdict.
    kProvisional,
    // Back on what ran before: feedback, reported state.
    kReverted,
  };
  What what = What::kFeedback;
  const char* state = "";
  absl::Duration after;
  friend bool operator==(const Step&, const Step&) = default;
};

struct UpdateOf {
  uint64_t unit = 0;
  uint64_t sequence = 0;
  std::vector<std::string> release_ids;
  bool commit_on_verified = false;
};

struct DiagnosticOf {
  uint64_t unit = 0;
  std::string run_id;
  std::string release_id;
  std::string diagnostic;
};

// An immutable value.
class Behaviour {
 public:
  explicit Behaviour(BehaviourOptions options) : options_(std::move(options)) {}

  const BehaviourOptions& options() const { return options_; }

  Outcome OutcomeOf(const UpdateOf& update) const;
  // All that it says of an update, the last step ends it. Its times add up to one of update_time.
  std::vector<Step> Update(const UpdateOf& update) const;
  // After the fleet's verdict, or instead of it.
  static std::vector<Step> AfterVerdict(bool verified);

  DiagnosticOutcome OutcomeOf(const DiagnosticOf& run) const;
  absl::Duration TimeOf(const DiagnosticOf& run) const {
    return In(options_.diagnostic_time, run.run_id + run.diagnostic, run.unit, 0);
  }

  bool Flaps(uint64_t unit) const { return Share("flap", unit) < options_.flap; }
  // Its connection's `count`th life.
  absl::Duration FlapAfter(uint64_t unit, uint64_t count) const {
    return In(options_.flap_every, "flap-every", unit, count);
  }
  // Zero: it is there from the start.
  absl::Duration AppearsAfter(uint64_t unit) const;
  // For its `count`th message.
  bool Duplicates(uint64_t unit, uint64_t count) const {
    return options_.duplicate > 0 && Share("duplicate", unit, count) < options_.duplicate;
  }
  // Zero: at once.
  absl::Duration Delay(uint64_t unit, uint64_t count) const;
  // 0 to 1, below `share` for that share of units.
  double Share(std::string_view what, uint64_t unit, uint64_t count = 0) const;
  const std::string& Choose(const Weighted& from, std::string_view what, uint64_t unit) const;

 private:
  absl::Duration In(const Span& span, std::string_view what, uint64_t unit, uint64_t count) const {
    return span.from + (span.to - span.from) * Share(what, unit, count);
  }

  const BehaviourOptions options_;
};

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_BEHAVIOUR_H_
