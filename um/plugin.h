// What an OEM writes to make a part updatable: one class with six methods.
//
// The SDK owns everything else: the stream to CM, reconnecting, the durable record, idempotency, progress, cancelling,
// and the checks of signatures. It calls the methods one at a time, on a worker thread, and calls a method *again*
// after a crash in the middle of it; so each method first looks at what is already there. The whole life of a
// component:
//
//   Inventory -> Prepare -> Start -> [reboot -> CheckAfterReboot] -> Apply -> [Seal, days later]
//                       \-> Revert    (from any point before Apply)
//
//   class SeatHeater : public tandem::um::Plugin { ... };
//   int main(int argc, char** argv) { return tandem::um::RunUpdateManagers(...); }     // um/runner.h
//
// A plugin must never damage what runs now before Start, and must be able to come back to it until Apply.
#ifndef TANDEM_UM_PLUGIN_H_
#define TANDEM_UM_PLUGIN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem::um {

// Where a component with two slots is; shown by `tandemctl status`.
struct SlotState {
  std::string running;
  std::string confirmed;
  // Empty when no slot is on trial.
  std::string trial;
  uint32_t attempts_left = 0;
};

struct InstalledComponent {
  std::string id;
  std::string type;
  // What runs now; empty when nothing was ever installed.
  std::string version;
  std::optional<SlotState> slots;
};

// One component's new version, as the signed release names it. Its type, and its id unless that is empty, are those of
// a component in Inventory().
struct Artifact {
  std::string component_id;
  std::string component_type;
  std::string version;
  // The same bytes, in order of preference. Empty: CM knows of no source; only bytes that are already here will do.
  std::vector<std::string> urls;
  // Sent with each request, "Name: value".
  std::vector<std::string> headers;
  // 32 raw bytes; empty only when `urls` is.
  std::string sha256;
  uint64_t size = 0;
  // The least that may be installed once this version is sealed; 0: the release sets none.
  uint64_t security_version = 0;
  // SHA-256 of every `chunk_size` bytes, joined; empty when the release has none.
  uint32_t chunk_size = 0;
  std::string chunk_digests;
  // A JSON object from the release, for the plugin.
  std::string annotations;
};

// Handed to the long-running methods.
class Operation {
 public:
  virtual ~Operation() = default;

  // Bytes of one component that are in place; thread-safe and cheap, may be called for every chunk.
  virtual void ReportProgress(const std::string& component_id, uint64_t done, uint64_t total) = 0;

  // A few words for a person: "writing slot B".
  virtual void ReportActivity(const std::string& text) = 0;

  // True when the result is no longer wanted (the update was aborted, the process ends): return CANCELLED soon. What is
  // already on disk may stay: the next Prepare resumes there, or Revert drops it.
  virtual bool Cancelled() const = 0;
};

enum class StartResult {
  // The new version runs, checked.
  kRunning,
  // The new version runs after Plugin::Reboot().
  kNeedsReboot,
};

enum class RebootCheck {
  // The new version runs, checked by the plugin; boot attempts are re-armed, nothing is confirmed yet.
  kRunning,
  // The reboot has not happened yet (the process was restarted instead): Reboot() is called again.
  kNotYet,
};

enum class RevertResult {
  // What ran before the update runs again; or, where the new version was permanent already and cannot be left, that one
  // does: the update is closed, and Inventory() says what runs, so that CM can send an update of its own back.
  kReverted,
  // It does after Reboot(); Revert() is called again then.
  kNeedsReboot,
};

// Every error status is shown to people in the cloud: say what was done, to what, and why it failed.
class Plugin {
 public:
  virtual ~Plugin() = default;

  // The components this plugin owns, with what runs now. Called at start and after every step. Must not change
  // anything.
  virtual absl::StatusOr<std::vector<InstalledComponent>> Inventory() = 0;

  // Brings all `artifacts` to where Start() can switch to them, verified, without touching what runs. Long; honours
  // `operation.Cancelled()`. After a crash it is called again with the same artifacts and should resume. After a crash
  // *and* Revert() it may get others. After OK the bytes survive a power cut.
  virtual absl::Status Prepare(const std::vector<Artifact>& artifacts, Operation& operation) = 0;

  // Switches to what the last Prepare() brought. After a crash in the middle it is called again and finishes the switch
  // or finds it done. After COMMIT it may also be called when a boot of the new version failed: it arms the switch
  // again. Must not reboot by itself. After an error Revert() will be called.
  virtual absl::StatusOr<StartResult> Start(Operation& operation) = 0;

  // Called after a restart when Start() asked for a reboot or had ended with kRunning, and after each later one until
  // Apply() is done. An error means that the new version did not come up, such as "boot of slot B failed, fell back to
  // A". Plugins whose new version cannot go away by itself keep the default.
  virtual absl::StatusOr<RebootCheck> CheckAfterReboot(Operation& operation);

  // Makes the new version permanent; from here nobody reverts. Called only after the unit's COMMIT; called again after
  // a crash, and retried with back-off after an error. The old version's bytes stay until the next Prepare(). When a
  // crash swallows the OK, CheckAfterReboot() is called before it is called again, and must find the new version
  // running.
  virtual absl::Status Apply(Operation& operation) = 0;

  // Back to what ran before Prepare(), from wherever Prepare, Start or a failed boot left off. Called again after a
  // crash, and retried with back-off after an error. Drops what was staged.
  virtual absl::StatusOr<RevertResult> Revert(Operation& operation) = 0;

  // The rollback window of what runs is over, and nothing is being updated: an anti-rollback counter rises, a kept copy
  // may go. Must not change what runs. Called again after a crash, and again later after an error. Plugins without
  // either keep the default.
  virtual absl::Status Seal();

  // Restarts whatever must boot to run the switched version: the computer, the MCU. May return before it happens.
  virtual absl::Status Reboot();

  // Start() switches a boot: CM starts this UM last among equals and applies it first.
  virtual bool SwitchesBoot() const { return false; }
};

}  // namespace tandem::um

#endif  // TANDEM_UM_PLUGIN_H_
