// Rows of the store as plain structs. Numbers are the store's own keys, 0: none. Times are seconds since 1970 (UTC), 0:
// never.
#ifndef TANDEM_FLEET_STORE_RECORDS_H_
#define TANDEM_FLEET_STORE_RECORDS_H_

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/rollout/attempt_machine.h"
#include "fleet/rollout/rollout_machine.h"
#include "fleet/rollout/targeting.h"
#include "fleet/verification/run_outcome.h"

namespace tandem::fleet {

inline constexpr int kPlanes = 3;
inline constexpr std::array<std::string_view, kPlanes> kPlaneNames = {"firmware", "model", "config"};

// Release numbers by plane: firmware, model, config.
using PlaneReleases = std::array<int64_t, kPlanes>;
// A set of planes: bit 0 firmware, 1 model, 2 config.
using PlaneSet = int64_t;
inline bool Has(PlaneSet planes, int plane) { return ((planes >> plane) & 1) != 0; }

// Orders what one unit says, whatever order it arrives in.
struct MessageOrder {
  int64_t epoch = 0;
  int64_t seq = 0;
  friend auto operator<=>(const MessageOrder&, const MessageOrder&) = default;
};

// What changes with messages and orders; what does not is in UnitRecord.
struct UnitRow {
  int64_t number = 0;
  std::string unit_id;
  bool revoked = false;
  bool online = false;
  // Nobody said goodbye, and nothing was heard for too long.
  bool stale = false;
  int64_t last_seen = 0;
  MessageOrder presence;
  MessageOrder reported;
  // Of the reported state, to tell a heartbeat from news.
  int64_t reported_hash = 0;
  // Of the newest assignment that the unit has accepted.
  int64_t reported_sequence = 0;
  // What it confirmed that it runs, and what it ran before.
  PlaneReleases runs{};
  PlaneReleases previous{};
  // The newest order. Its document is in `assignments`.
  PlaneReleases desired{};
  int64_t desired_sequence = 0;
  int64_t desired_attempt = 0;
  // The broker has it.
  int64_t published_sequence = 0;
  int64_t published_at = 0;
  // The open attempt.
  int64_t attempt = 0;
  // The newest that it ran and that passed its verification there, or had none to pass.
  PlaneReleases good{};
  // Why the loop guard stopped it, why an operator holds it back; empty: neither.
  std::string storm;
  std::string held;

  friend bool operator==(const UnitRow&, const UnitRow&) = default;
};

struct UnitRecord {
  UnitRow row;
  UnitAttributes attributes;
  std::string certificate_fingerprint;
  int64_t registered_at = 0;
};

struct UnitEventRow {
  MessageOrder order;
  int64_t at = 0;
  int64_t sequence = 0;
  int64_t attempt = 0;
  std::string state;
  std::string reason;
};

// Stored: never renumber.
enum class ReleaseVerdict { kNone = 0, kVerified = 1, kFailed = 2 };

struct ReleaseRow {
  int64_t number = 0;
  // Lower-case hex.
  std::string digest;
  std::string release_id;
  PlaneSet planes = 0;
  std::string envelope;
  std::vector<std::string> signers;
  std::vector<std::string> base_urls;
  bool frozen = false;
  std::string frozen_reason;
  int64_t imported_at = 0;
  std::string imported_by;
  ReleaseVerdict verdict = ReleaseVerdict::kNone;
  // The first failure: when, on which unit (its number), and how.
  int64_t failed_at = 0;
  int64_t failed_unit = 0;
  std::string failed_reason;
  // It was taken back by itself from every unit.
  bool auto_rolled_back = false;
};

struct RolloutRow {
  int64_t number = 0;
  // fleet.v1.RolloutSpec with all defaults filled in.
  std::string spec;
  int64_t release = 0;
  PlaneSet planes = 0;
  RolloutState state = RolloutState::kScheduled;
  bool paused = false;
  // A person promotes the current ring.
  bool promote_asked = false;
  int64_t ring = 0;
  std::string reason;
  // fleet.v1.OnAbort.
  int64_t on_abort = 0;
  // Rate limit: orders that may still be given, in thousandths, as of tokens_at (milliseconds).
  int64_t tokens_at = 0;
  int64_t tokens_milli = 0;
  int64_t created_at = 0;
  std::string created_by;
  int64_t changed_at = 0;
  // Rises with each write; writes say the one they have read.
  int64_t revision = 0;
  int64_t superseded_by = 0;

  friend bool operator==(const RolloutRow&, const RolloutRow&) = default;
};

// Stored: never renumber.
enum class RingState { kPending = 0, kFilling = 1, kRolling = 2, kPromoted = 3, kAborted = 4 };

struct RingRow {
  int64_t rollout = 0;
  int64_t ring = 0;
  RingState state = RingState::kPending;
  int64_t members = 0;
  // Of the gate's last look: hold, promote, abort.
  std::string verdict;
  std::string reason;
  // fleet.v1.GateEvidence.
  std::string evidence;
  int64_t started_at = 0;
  // When the last unit was scored.
  int64_t scored_at = 0;
  int64_t ended_at = 0;

  friend bool operator==(const RingRow&, const RingRow&) = default;
};

struct AttemptRow {
  int64_t number = 0;
  int64_t rollout = 0;
  int64_t ring = 0;
  int64_t unit = 0;
  AttemptKind kind = AttemptKind::kForward;
  AttemptState state = AttemptState::kQueued;
  std::string reason;
  // Of the first assignment that ordered it; refreshes are higher.
  int64_t sequence = 0;
  // 1 for the first order.
  int64_t tries = 0;
  AttemptScore score = AttemptScore::kNone;
  // 0: its clock does not run.
  int64_t score_at = 0;
  // The newest message that changed it.
  MessageOrder order;
  // What the unit was ordered to before.
  PlaneReleases before{};
  // The unit without the release that it is compared with; statistical gates only.
  int64_t control = 0;
  // How that one did over the same time; once both are scored.
  AttemptScore control_score = AttemptScore::kNone;
  int64_t rolled_back_by = 0;
  int64_t created_at = 0;
  int64_t changed_at = 0;
  // The unit's `good` when it was ordered.
  PlaneReleases good{};
  // Of its newest verification; empty: none.
  std::string run_id;

  friend bool operator==(const AttemptRow&, const AttemptRow&) = default;
};

// One diagnostic on one unit.
struct DiagnosticRunRow {
  int64_t number = 0;
  std::string run_id;
  int64_t unit = 0;
  // 0: on demand.
  int64_t attempt = 0;
  int64_t release = 0;
  std::string diagnostic;
  std::string triggered_by;
  RunState state = RunState::kPending;
  int64_t timeout_secs = 0;
  int64_t created_at = 0;
  int64_t deadline = 0;
  // By how much the deadline was put off, in seconds.
  int64_t extended = 0;
  // When it is published (again); 0: the broker has it, or nobody waits for it.
  int64_t publish_at = 0;
  int64_t finished_at = 0;
  std::string reason;
  // unit.v1.DiagnosticResult; empty: none came.
  std::string result;
  // An outcome that came when it decided nothing any more.
  std::string late_outcome;

  friend bool operator==(const DiagnosticRunRow&, const DiagnosticRunRow&) = default;
};

struct StopRow {
  int64_t number = 0;
  std::string target;
  std::string reason;
  std::string actor;
  int64_t at = 0;
};

struct AuditRow {
  int64_t number = 0;
  int64_t at = 0;
  std::string actor;
  std::string event;
  // 1 information, 2 warning, 3 alarm.
  int64_t severity = 1;
  std::string object;
  // JSON.
  std::string old_value;
  std::string new_value;
};

struct TokenRow {
  int64_t number = 0;
  std::string name;
  // fleet.v1.Role.
  int64_t role = 0;
  // SHA-256 of the secret, hex.
  std::string hash;
  int64_t created_at = 0;
  int64_t expires_at = 0;
  bool revoked = false;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_RECORDS_H_
