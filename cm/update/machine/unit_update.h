// The unit's update as a pure state machine: no clock, disk, thread or socket in it.
//
// Facts come in as events (Observe), a declared table says which phase follows from the facts (Transitions), and a
// second table says which command each UM must be sent in a phase (Commands). Both are searched in order, printed into
// docs/state-tables.md by the build, and are the whole truth about when a unit goes forward and when it goes back.
//
//   Step step = Advance(update, event, limits);
//   // 1. make step.update durable   2. only then perform step.actions
//
// After a crash the record gives the update as it was, every observed field cleared; the UMs register again, their
// first status is an event like any other, and the tables lead on from there: every action is derived from the state
// again.
#ifndef TANDEM_CM_UPDATE_MACHINE_UNIT_UPDATE_H_
#define TANDEM_CM_UPDATE_MACHINE_UNIT_UPDATE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace tandem::cm {

enum class Phase {
  kIdle,
  kPreparing,
  kReady,
  kStarting,
  kTrial,
  kCommitting,
  kReverting,
  // The decision record was lost: what the UMs report decides.
  kRecovering,
  // Something could not be brought back; Revert is still offered at every registration.
  kNeedsService,
};

// Durable before the first action that follows from it, and never taken back.
enum class Decision { kNone, kCommit, kAbort };

enum class UmState { kIdle, kPrepared, kUpdated, kFailed };

enum class UmCommand { kNone, kPrepare, kStart, kApply, kRevert };

// What a UM says that its targets' components run. What is unknown is neither old nor new.
enum class Runs { kUnknown, kOther, kTarget };

enum class Outcome { kNone, kApplied, kReverted, kNeedsService };

std::string_view Name(Phase phase);
std::string_view Name(Decision decision);
std::string_view Name(UmState state);
std::string_view Name(UmCommand command);
std::string_view Name(Outcome outcome);

// One component of a participant, on its way from `previous_version` to `version`.
struct Target {
  std::string component_id;
  std::string component_type;
  std::string version;
  std::string previous_version;
  std::string sha256;
  uint64_t size = 0;
  // Below the assignment's base URLs; empty when only bytes that the UM still has will do.
  std::string path;
  std::string annotations;
  std::string release_digest;
  std::string plane;
  // Of the release's component; what the UM raises its floor to at Seal.
  uint64_t security_version = 0;

  bool operator==(const Target&) const = default;
};

// A UM that takes part in the update.
struct Participant {
  std::string node_id;
  uint32_t priority = 0;
  bool switches_boot = false;
  // An Aos 8 UM: among such, the highest priority value starts first.
  bool highest_first = false;
  std::vector<Target> targets;

  // --- durable ---
  // Commands sent before COMMIT; zero prepares: the UM was never touched. Of PrepareUpdate, the tries since bytes last
  // came further.
  uint32_t prepares = 0;
  uint32_t starts = 0;
  // Commands sent after COMMIT to bring a UM that fell back forward again.
  uint32_t forward_attempts = 0;
  // Time spent in the current step of this UM: its Start, Apply or Revert.
  absl::Duration step_elapsed;

  // --- observed since CM started; not durable ---
  bool connected = false;
  bool reported = false;
  UmState state = UmState::kIdle;
  // kTarget: every target runs its new version. kUnknown: it does not say so of each of them.
  Runs runs = Runs::kUnknown;
  // Reports that it works on a command.
  bool installing = false;
  // Its reported versions are what runs, also before Apply.
  bool tells_running = false;
  // It has prepared, or runs on trial, other versions than this update's.
  bool staged_other = false;
  // Runs, UPDATED, what the unit was committed to before this update.
  bool runs_committed = false;
  // PrepareUpdate is decided, and not on the stream yet: CM fetches what it names. There is nothing to revert.
  bool awaits_artifacts = false;
  // The last PrepareUpdate was on the stream: a UM that comes back IDLE from it has lost a try.
  bool prepare_went_out = false;
  // The most that it had of its artifacts.
  uint64_t bytes_done = 0;
  // Where its artifacts are has changed since the last PrepareUpdate.
  bool sources_changed = false;
  std::string error;
  absl::Duration missing_for;
  UmCommand sent = UmCommand::kNone;
  bool answered = false;
  absl::Duration since_sent;
  absl::Duration resend_after;

  bool operator==(const Participant&) const = default;
};

struct UnitUpdate {
  Phase phase = Phase::kIdle;
  // Durable: everything but the observed fields below and in the participants.
  std::string update_id;
  std::string correlation_id;
  uint64_t key_set_version = 0;
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  std::vector<std::string> release_ids;
  absl::Time started_at = absl::UnixEpoch();
  Decision decision = Decision::kNone;
  // Why the unit is where it is: the cause of an abort, or empty.
  std::string reason;
  // In start order.
  std::vector<Participant> participants;
  absl::Duration phase_elapsed;
  // From the first boot switch, or the gate when nothing boots, to COMMIT.
  bool trial_running = false;
  absl::Duration trial_elapsed;
  bool needs_approval = false;
  bool approved = false;
  bool verify_before_commit = false;
  bool gate_passed = false;
  // This update takes a half-committed one back; it is never taken back itself.
  bool compensating = false;
  Outcome outcome = Outcome::kNone;
  // Node ids of those that had not applied when the update was closed as applied; they are driven forward when they
  // return.
  std::vector<std::string> leftovers;

  // --- observed; not durable ---
  bool paused = false;
  // The conditions hold, asked since the last StartUpdate: each of them uses the answer up.
  bool ready = false;
  std::string ready_reason;
  bool verified = false;
  // Set when somebody or something wants the update gone; acts only before COMMIT.
  std::string abort_reason;
  bool new_assignment_waits = false;

  bool operator==(const UnitUpdate&) const = default;
};

// How long things may take; time is counted only while CM runs.
struct Limits {
  absl::Duration registration = absl::Minutes(2);
  absl::Duration prepare = absl::Hours(24);
  absl::Duration ready = absl::Hours(24 * 7);
  absl::Duration start = absl::Minutes(10);
  absl::Duration trial_deadline = absl::Minutes(15);
  absl::Duration apply = absl::Minutes(5);
  absl::Duration revert = absl::Minutes(10);
  // Of each UM. Four are a StartUpdate, and when that comes to nothing a RevertUpdate, a PrepareUpdate and a
  // StartUpdate.
  uint32_t forward_attempts = 4;
  // How often one UM may be prepared, and started, in one update before COMMIT.
  uint32_t tries_per_um = 5;
  absl::Duration resend_first = absl::Seconds(1);
  absl::Duration resend_max = absl::Seconds(30);
};

// What happened.
struct Event {
  enum class Kind {
    // Time went by.
    kTick,
    // A UM registered or reported.
    kUmStatus,
    // A UM's stream ended.
    kUmLost,
    // Preconditions, window and approval of the unit's surroundings: met, or why not.
    kReadiness,
    kApproved,
    kPaused,
    kResumed,
    // An operator, a superseding assignment, a revoked key.
    kAbort,
    kGatePassed,
    kGateFailed,
    // The fleet's verdict on a provisional update.
    kVerified,
    kNotVerified,
    kNewAssignmentWaits,
    // The same releases, to be fetched from elsewhere.
    kSourcesChanged,
    // CM cannot have the artifacts that a UM needs.
    kNoArtifacts,
    // A PrepareUpdate is on the UM's stream.
    kPrepareWentOut,
  };
  Kind kind = Kind::kTick;
  absl::Duration elapsed;
  std::string node_id;
  // kUmStatus.
  UmState um_state = UmState::kIdle;
  bool um_installing = false;
  // The first status of a stream.
  bool um_registered = false;
  Runs um_runs = Runs::kUnknown;
  bool um_tells_running = false;
  // What it lists as INSTALLING is not what this update asks of it; false when it lists nothing.
  bool um_staged_other = false;
  bool um_runs_committed = false;
  // Of its artifacts together.
  uint64_t um_bytes_done = 0;
  // An error, or a reason.
  std::string text;
  bool flag = false;
};

struct Action {
  enum class Kind {
    kSend,
    // The phase changed: report it; start or stop the gate and the readiness checks.
    kPhaseChanged,
    // The update is over; `update.outcome` says how.
    kFinished,
  };
  Kind kind;
  std::string node_id;
  UmCommand command = UmCommand::kNone;
};

struct Step {
  UnitUpdate update;
  std::vector<Action> actions;
};

// The machine. Deterministic; `update` in Idle ignores everything.
Step Advance(const UnitUpdate& update, const Event& event, const Limits& limits);

// A new update, in Preparing, with `participants` in any order.
UnitUpdate Begin(UnitUpdate update, std::vector<Participant> participants);

// What a UM said, into what is known of it: a kUmStatus.
void ObserveStatus(Participant& participant, const Event& event);

// A PrepareUpdate that was decided may still go out: ask right before it does.
bool StillWantsPrepare(const UnitUpdate& update, const std::string& node_id);
// A StartUpdate waits for nothing but the conditions: they are to be asked now, and answered by kReadiness.
bool WaitsForConditions(const UnitUpdate& update, const Limits& limits);

// What the unit waits for, for a person: one line per thing.
std::vector<std::string> WaitsFor(const UnitUpdate& update, const Limits& limits);
// A trial runs, undecided, for longer than it may: what watches over it from outside must not be kept quiet any more.
bool IsPastTrialDeadline(const UnitUpdate& update, const Limits& limits);
// The budget of the current phase; zero when it has none.
absl::Duration PhaseBudget(const UnitUpdate& update, const Limits& limits);

// --- the tables, for the machine and for the documentation ---

struct Transition {
  Phase from;
  std::string_view when;
  bool (*guard)(const UnitUpdate&, const Limits&);
  Phase to;
  std::string_view then;
  void (*effect)(UnitUpdate&, const Limits&);
};
std::span<const Transition> Transitions();

struct CommandRule {
  Phase phase;
  UmState state;
  std::string_view when;
  bool (*guard)(const UnitUpdate&, const Participant&, const Limits&);
  UmCommand command;
};
std::span<const CommandRule> Commands();

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_MACHINE_UNIT_UPDATE_H_
