// Runs diagnostics that the fleet orders: what runs is always the definition in a signed release that the unit has
// accepted and runs now, or has on trial; the order can only name it (docs/diagnostics.md).
//
//   DiagnosticRunner runner({.loop = loop, .find_release = ..., .answer = ...});
//   runner.OnCommand(envelope);                    // at each message of topic diagnostics/cmd
//
// Of one run (run_id and diagnostic) there is one result: the same order again is answered with it. Several run at the
// same time, up to Diagnostics.concurrent of the configuration; the rest wait. Commands run in a sandbox.
//
// After a crash: a diagnostic whose result was not durable yet runs again when its order comes again, which the fleet
// sends at each reconnect, but not more than kMaxDiagnosticStarts times: one that takes CM or the whole unit down must
// not do so for ever. Then the answer is an error that says so.
#ifndef TANDEM_CM_HEALTH_DIAGNOSTIC_RUNNER_H_
#define TANDEM_CM_HEALTH_DIAGNOSTIC_RUNNER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/health/gate_runner.h"
#include "cm/health/probe.h"
#include "common/crypto/key_set.h"
#include "common/process/sandbox.h"
#include "common/storage/durable_record.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "common/time/event_loop.h"
#include "tandem/config/v1/cm.pb.h"
#include "tandem/local/v1/local.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "tandem/release/v1/release.pb.h"
#include "tandem/unit/v1/unit.pb.h"

namespace tandem::cm {

inline constexpr uint32_t kMaxDiagnosticStarts = 3;

struct DiagnosticAnswer {
  unit::v1::DiagnosticResult result;
  std::string run_id;
  std::string triggered_by;
};

// All functions but those in `probes` are called on the event thread.
struct DiagnosticRunnerParts {
  EventLoop& loop;
  Clock& clock;
  FileSystem& fs;
  const config::v1::CmConfig& config;
  std::string boot_id;
  // Its command runner is not used: that is the sandbox.
  ProbeContext probes;
  // In force now.
  std::function<absl::StatusOr<TrustedKeys>()> keys;
  // What expiry is judged by.
  std::function<absl::Time()> now;
  // Of the signed releases that the unit runs, or has on trial, the one with this digest (32 bytes). NOT_FOUND: what it
  // runs instead.
  std::function<absl::StatusOr<release::v1::Release>(const std::string& digest)> find_release;
  // OK: it is durable, and will arrive.
  std::function<absl::Status(const DiagnosticAnswer& answer)> answer;
  // An order that is not genuine, or not for this unit.
  std::function<void(const std::string& why)> refused;
  // Status() says something new.
  std::function<void()> changed;
};

// From the configuration, with its defaults.
SandboxLimits SandboxLimitsOf(const config::v1::Diagnostics& config);

// Created, used and destroyed on the event thread. What runs when it is destroyed is ended without an answer.
class DiagnosticRunner {
 public:
  explicit DiagnosticRunner(DiagnosticRunnerParts parts);
  ~DiagnosticRunner();

  DiagnosticRunner(const DiagnosticRunner&) = delete;
  DiagnosticRunner& operator=(const DiagnosticRunner&) = delete;

  // The envelope of a release.v1.DiagnosticCommand; nothing of it was verified yet.
  void OnCommand(const std::string& envelope);

  // Running ones first, then waiting ones, then the last that ended, newest first; at most 20.
  std::vector<local::v1::DiagnosticStatus> Status() const;

 private:
  // run_id and diagnostic.
  using Key = std::pair<std::string, std::string>;
  struct Job {
    release::v1::DiagnosticCommand command;
    release::v1::Diagnostic diagnostic;
    bool running = false;
    absl::Duration started;
  };
  struct Finished {
    Key key;
    DiagnosticAnswer answer;
    absl::Duration took;
  };

  absl::Status Take(const release::v1::DiagnosticCommand& command, release::v1::Diagnostic& diagnostic) const;
  void StartMore();
  void Run(const Key& key, const Job& job);
  void Finish(const Key& key, const ProbeReport& report);
  void AnswerError(const release::v1::DiagnosticCommand& command, const std::string& why);
  void Answer(const Key& key, DiagnosticAnswer answer, absl::Duration took);
  unit::v1::DiagnosticResult ResultOf(const release::v1::DiagnosticCommand& command) const;

  record::v1::StartedDiagnostic* FindStarted(const Key& key);
  void ForgetStarted(const Key& key);
  void SaveStarted();

  const DiagnosticRunnerParts parts_;
  const SandboxLimits limits_;
  const size_t concurrent_;
  DurableRecord file_;
  record::v1::DiagnosticsRecord record_;
  std::map<Key, Job> jobs_;
  std::deque<Key> waiting_;
  size_t running_ = 0;
  // Newest first.
  std::deque<Finished> finished_;
  // Ends what runs; readable when it is to end.
  int stop_fd_ = -1;
  std::unique_ptr<ProbeWorkers> workers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_DIAGNOSTIC_RUNNER_H_
