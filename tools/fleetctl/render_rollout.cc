#include "tools/fleetctl/render_rollout.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tandem::fleetctl {
namespace {

namespace v1 = fleet::v1;

constexpr int kBarWidth = 20;
constexpr int kExamples = 3;
// In the order in which a unit goes through them.
constexpr const char* kStates[] = {"queued", "offline", "asked",    "updating",   "provisional", "applied",
                                   "passed", "failed",  "excluded", "superseded", "cancelled"};
constexpr const char* kSettled[] = {"passed", "failed", "excluded", "superseded", "cancelled"};

uint64_t Count(const v1::Ring& ring, const std::string& state) {
  const auto found = ring.counts().find(state);
  return found == ring.counts().end() ? 0 : found->second;
}

uint64_t Settled(const v1::Ring& ring) {
  uint64_t settled = 0;
  for (const char* state : kSettled) settled += Count(ring, state);
  return settled;
}

// "updating 3, passed 12", then what goes back: "rollback/applied 4".
std::string CountsText(const v1::Ring& ring, const RenderOptions& options) {
  std::vector<std::string> items;
  for (const char* state : kStates) {
    const uint64_t count = Count(ring, state);
    if (count > 0) items.push_back(Painted(absl::StrCat(state, " ", count), PaintOf(state), options));
  }
  std::vector<std::string> others;
  for (const auto& [name, count] : ring.counts()) {
    const bool is_kind = absl::StartsWith(name, "rollback/") || absl::StartsWith(name, "rehearsal_");
    if (is_kind && count > 0) others.push_back(absl::StrCat(Clean(name), " ", count));
  }
  std::ranges::sort(others);
  items.insert(items.end(), others.begin(), others.end());
  return absl::StrJoin(items, ", ");
}

std::string EvidenceText(const v1::GateEvidence& evidence) {
  std::string text = absl::StrCat(evidence.scored(), " scored of ", evidence.required(), " needed, ", evidence.passed(),
                                  " passed, ", evidence.failed(), " failed");
  if (evidence.promote_at() != 0 || evidence.abort_at() != 0) {
    absl::StrAppend(&text,
                    absl::StrFormat("; log-likelihood ratio %.2f, promotes at %.2f, aborts at %.2f",
                                    evidence.log_likelihood_ratio(), evidence.promote_at(), evidence.abort_at()));
  }
  if (evidence.controls() > 0) {
    absl::StrAppend(
        &text, absl::StrFormat("; %d of %d controls failed, e-value %.2f", evidence.controls_failed(),
                               evidence.controls(), std::max(evidence.control_e_value(), evidence.paired_e_value())));
  }
  return text;
}

std::string GateText(const v1::Ring& ring, const RenderOptions& options) {
  return absl::StrCat("gate: ", Painted(Clean(ring.verdict()), PaintOf(ring.verdict()), options),
                      ring.reason().empty() ? "" : ", ", Clean(ring.reason()));
}

std::string AttemptText(const v1::Attempt& attempt, const RenderOptions& options) {
  std::string text = Clean(attempt.kind());
  if (attempt.tries() > 1) absl::StrAppend(&text, " try ", attempt.tries());
  absl::StrAppend(&text, "  ", Painted(Clean(attempt.state()), PaintOf(attempt.state()), options));
  if (!attempt.reason().empty()) absl::StrAppend(&text, "  ", Shorten(Clean(attempt.reason()), options.width));
  if (attempt.rolled_back_by() != 0) absl::StrAppend(&text, "  (taken back by ", attempt.rolled_back_by(), ")");
  return text;
}

// The units of one ring that are worth a name, with their attempts below.
std::string UnitLines(const std::string& ring, const std::vector<v1::Attempt>& attempts, const std::string& indent,
                      const RenderOptions& options) {
  std::vector<std::pair<std::string, std::vector<std::string>>> units;
  for (const v1::Attempt& attempt : attempts) {
    if (attempt.ring() != ring) continue;
    auto unit = std::ranges::find(units, attempt.unit_id(), [](const auto& item) { return item.first; });
    if (unit == units.end()) unit = units.insert(units.end(), {attempt.unit_id(), {}});
    unit->second.push_back(AttemptText(attempt, options));
  }
  std::string text;
  for (const auto& [unit, lines] : units) {
    absl::StrAppend(&text, indent, "- ", Clean(unit), lines.size() == 1 ? absl::StrCat("  ", lines[0]) : "", "\n");
    if (lines.size() == 1) continue;
    for (const std::string& line : lines) absl::StrAppend(&text, indent, "    ", line, "\n");
  }
  return text;
}

std::string RingLine(const v1::Ring& ring, bool current, size_t name_width, const RenderOptions& options) {
  const std::string name = Clean(ring.name());
  std::string line =
      absl::StrCat(Painted(name, current ? Paint::kBold : Paint::kPlain, options),
                   std::string(name_width - std::min(name_width, name.size()) + 2, ' '),
                   Painted(absl::StrFormat("%-8s", Clean(ring.state())), PaintOf(ring.state()), options));
  if (ring.members() > 0) {
    absl::StrAppend(&line, "  ", Bar(Settled(ring), ring.members(), kBarWidth), " ", Settled(ring), " of ",
                    ring.members(), "  ", CountsText(ring, options));
  }
  while (line.ends_with(' ')) line.pop_back();
  return line + "\n";
}

std::string DurationText(const google::protobuf::Duration& duration) {
  return AgeText(absl::Seconds(duration.seconds()));
}

// Three of them, and whether there are more.
std::string ExamplesText(const google::protobuf::RepeatedPtrField<std::string>& examples, uint64_t units) {
  const std::vector<std::string> shown(examples.begin(), examples.begin() + std::min(kExamples, examples.size()));
  return absl::StrCat(absl::StrJoin(shown, ", "), units > shown.size() && !shown.empty() ? ", …" : "");
}

std::string StateText(const v1::Rollout& rollout) {
  return absl::StrCat(Clean(rollout.state()), rollout.paused() ? ", paused" : "");
}

void DescribeRing(const v1::Ring& before, const v1::Ring& after, std::vector<std::string>& lines) {
  const std::string name = absl::StrCat("  ", Clean(after.name()), ": ");
  if (before.state() != after.state() && (after.state() != "pending" || !before.state().empty())) {
    lines.push_back(absl::StrCat(name, Clean(after.state()),
                                 after.members() > 0 ? absl::StrCat(", ", after.members(), " units") : ""));
  }
  const std::string counts = CountsText(after, {});
  if (CountsText(before, {}) != counts && !counts.empty()) {
    lines.push_back(absl::StrCat(name, Settled(after), " of ", after.members(), ": ", counts));
  }
  if ((before.verdict() != after.verdict() || before.reason() != after.reason()) && !after.verdict().empty()) {
    lines.push_back(absl::StrCat(name, GateText(after, {})));
  }
}

}  // namespace

bool IsOver(const v1::Rollout& rollout) {
  return rollout.state() == "complete" || rollout.state() == "aborted" || rollout.state() == "superseded";
}

std::string RenderPlan(const v1::RolloutPlan& plan, const RenderOptions& options) {
  std::string text = absl::StrCat(
      Painted(absl::StrCat("plan for release ", Clean(plan.release_id())), Paint::kBold, options), "  ",
      ShortDigest(plan.release_digest()), "  ", plan.units(), " units",
      plan.has_expected_duration() ? absl::StrCat(", about ", DurationText(plan.expected_duration())) : "", "\n");
  const auto warn = [&](const std::string& where, const std::string& warning) {
    absl::StrAppend(&text, Painted("warning", Paint::kYellow, options), ": ", where, Clean(warning), "\n");
  };
  for (const std::string& warning : plan.warnings()) warn("", warning);
  Table rings({"RING", "UNITS", "ABOUT", "BOUNDED BY", "FINDS", "EXAMPLES"});
  Table strata({"RING", "HARDWARE", "REGION", "UNITS"});
  for (const v1::PlannedRing& ring : plan.rings()) {
    const double finds = 100 * ring.smallest_detectable();
    rings.Add({ring.name(), absl::StrCat(ring.units()),
               ring.has_expected_duration() ? DurationText(ring.expected_duration()) : "", ring.bounded_by(),
               finds > 0 ? absl::StrFormat("%.2f %% failing", finds) : "",
               ExamplesText(ring.examples(), ring.units())});
    for (const std::string& warning : ring.warnings()) warn(absl::StrCat(Clean(ring.name()), ": "), warning);
    if (ring.strata_size() < 2) continue;
    for (const v1::StratumShare& share : ring.strata()) {
      strata.Add({ring.name(), share.hardware(), share.region(), absl::StrCat(share.units())});
    }
  }
  absl::StrAppend(&text, "\n", rings.Text(options));
  if (!strata.empty()) absl::StrAppend(&text, "\n", strata.Text(options));
  Table excluded({"LEFT OUT", "WHY", "EXAMPLES"});
  for (const v1::Exclusion& exclusion : plan.excluded()) {
    excluded.Add(
        {absl::StrCat(exclusion.units()), exclusion.reason(), ExamplesText(exclusion.examples(), exclusion.units())});
  }
  if (!excluded.empty()) absl::StrAppend(&text, "\n", excluded.Text(options));
  return text;
}

std::string RenderRollouts(const v1::ListRolloutsResponse& rollouts, const RenderOptions& options) {
  if (rollouts.rollouts().empty()) return "no rollout\n";
  Table table({"ROLLOUT", "STATE", "NAME", "RELEASE", "RING", "AGE", "BY", "REASON"});
  for (const v1::Rollout& rollout : rollouts.rollouts()) {
    const int ring = static_cast<int>(rollout.ring());
    const std::string where = ring < rollout.rings_size() ? absl::StrCat(rollout.rings(ring).name(), " (", ring + 1,
                                                                         "/", rollout.rings_size(), ")")
                                                          : "";
    table.Add({absl::StrCat(rollout.id()), StateText(rollout), rollout.spec().name(), rollout.release_id(), where,
               AgeText(options.now - absl::FromUnixSeconds(rollout.created_at().seconds())), rollout.created_by(),
               rollout.reason()});
  }
  return table.Text(options);
}

std::string RenderTree(const v1::Rollout& rollout, const std::vector<v1::Attempt>& attempts,
                       const RenderOptions& options) {
  std::string text = absl::StrCat(
      Painted(absl::StrCat("rollout ", rollout.id()), Paint::kBold, options), "  ", Clean(rollout.spec().name()), "  ",
      Painted(Clean(rollout.state()), PaintOf(rollout.state()), options), rollout.paused() ? "  " : "",
      rollout.paused() ? Painted("PAUSED", Paint::kYellow, options) : "", "\n");
  const std::string target = Clean(rollout.spec().target());
  absl::StrAppend(&text, "release ", Clean(rollout.release_id()), " ", ShortDigest(rollout.release_digest()), " to ",
                  target.empty() ? "all units" : target, ", by ", Clean(rollout.created_by()), " ",
                  AgoText(rollout.created_at(), options), "\n");
  if (!rollout.reason().empty()) absl::StrAppend(&text, "why: ", Clean(rollout.reason()), "\n");
  if (rollout.superseded_by() != 0) absl::StrAppend(&text, "superseded by rollout ", rollout.superseded_by(), "\n");
  size_t width = 0;
  for (const v1::Ring& ring : rollout.rings()) width = std::max(width, Clean(ring.name()).size());
  for (int i = 0; i < rollout.rings_size(); ++i) {
    const v1::Ring& ring = rollout.rings(i);
    const bool last = i + 1 == rollout.rings_size();
    const std::string indent = last ? "     " : "|    ";
    const bool current = !IsOver(rollout) && i == static_cast<int>(rollout.ring());
    absl::StrAppend(&text, last ? "`- " : "|- ", RingLine(ring, current, width, options));
    if (ring.state() == "pending") continue;
    if (!ring.verdict().empty()) absl::StrAppend(&text, indent, GateText(ring, options), "\n");
    if (ring.has_evidence()) absl::StrAppend(&text, indent, "evidence: ", EvidenceText(ring.evidence()), "\n");
    text += UnitLines(ring.name(), attempts, indent, options);
  }
  return text;
}

std::vector<std::string> DescribeChanges(const v1::Rollout& before, const v1::Rollout& after) {
  std::vector<std::string> lines;
  const std::string title = absl::StrCat("rollout ", after.id(), ": ");
  const std::string reason = Clean(after.reason());
  if (before.state() != after.state() || before.paused() != after.paused()) {
    lines.push_back(absl::StrCat(title, before.state().empty() ? "" : StateText(before) + " -> ", StateText(after),
                                 reason.empty() ? "" : absl::StrCat(" (", reason, ")")));
  } else if (before.reason() != after.reason() && !reason.empty()) {
    lines.push_back(title + reason);
  }
  for (int i = 0; i < after.rings_size(); ++i) {
    DescribeRing(i < before.rings_size() ? before.rings(i) : v1::Ring::default_instance(), after.rings(i), lines);
  }
  return lines;
}

std::vector<std::string> DescribeFailures(const std::vector<v1::Attempt>& before,
                                          const std::vector<v1::Attempt>& after) {
  std::set<std::pair<uint64_t, uint32_t>> known;
  for (const v1::Attempt& attempt : before) {
    if (attempt.state() == "failed") known.insert({attempt.id(), attempt.tries()});
  }
  std::vector<std::string> lines;
  for (const v1::Attempt& attempt : after) {
    if (attempt.state() != "failed" || known.contains({attempt.id(), attempt.tries()})) continue;
    lines.push_back(absl::StrCat("  ", Clean(attempt.ring()), ": ", Clean(attempt.unit_id()),
                                 " failed: ", Clean(attempt.reason())));
  }
  return lines;
}

}  // namespace tandem::fleetctl
