// The life of one Update Manager as a declared table: what it does with each command, each result and each restart.
//
// Pure. update_manager.h runs it: the new step is durable before the job it asks for begins. Every job may be begun
// again after a crash (plugin.h says what it finds then). The table is printed into docs/state-tables.md by the build.
//
// The wire knows four states (IDLE, PREPARED, UPDATED, FAILED); a step is one of them, plus what is being done.
#ifndef TANDEM_UM_UM_STATE_H_
#define TANDEM_UM_UM_STATE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tandem::um {

enum class UmStep {
  kIdle,
  kPreparing,
  kPrepared,
  kStarting,
  // Start asked for a reboot; after it the plugin is asked whether the new version came up.
  kRebooting,
  kUpdated,
  // The process was restarted while the new version ran: does it still?
  kChecking,
  kApplying,
  kReverting,
  kFailed,
  // At rest on what was applied; its rollback window is over.
  kSealing,
};

enum class UmInput {
  kPrepareCommand,
  kStartCommand,
  kApplyCommand,
  kRevertCommand,
  kSealCommand,
  // The job of the step ended.
  kJobDone,
  kJobNeedsReboot,
  kJobFailed,
  // The process started and found this step in its record.
  kRestarted,
};

// What the worker does in a step.
enum class UmJob { kNone, kPrepare, kStart, kReboot, kCheck, kApply, kRevert, kSeal };

enum class WireState { kIdle, kPrepared, kUpdated, kFailed };

struct UmTransition {
  UmStep from;
  UmInput input;
  UmStep to;
  UmJob job;
  // What happens, for a reader.
  std::string_view note;
};

// The row for an input; nullopt: the input does not fit, nothing changes, and the answer is the current status.
std::optional<UmTransition> FindUmTransition(UmStep step, UmInput input);
std::span<const UmTransition> UmTransitions();

WireState WireStateOf(UmStep step);
// A job runs, so that components are reported INSTALLING.
bool IsWorking(UmStep step);

// How often a UM reboots in one step before it gives up.
inline constexpr uint32_t kMaxReboots = 5;

std::string_view Name(UmStep step);
std::string_view Name(UmInput input);
std::string_view Name(UmJob job);
std::string_view Name(WireState state);
// The step of a record; nullopt for a name this version does not know.
std::optional<UmStep> ParseUmStep(std::string_view name);

}  // namespace tandem::um

#endif  // TANDEM_UM_UM_STATE_H_
