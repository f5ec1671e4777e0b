#include "cm/service.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cm/cloud/mqtt_bridge.h"
#include "cm/health/diagnostic_runner.h"
#include "cm/health/gate_runner.h"
#include "cm/health/safe_mode.h"
#include "cm/health/stability_watch.h"
#include "cm/health/watchdog.h"
#include "cm/local_api/local_api.h"
#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/um_registry/um_server.h"
#include "cm/update/coordinator.h"
#include "cm/update/delivery.h"
#include "cm/update/records/sqlite_history.h"
#include "cm/update/status_view.h"
#include "common/config/yaml_config.h"
#include "common/image/stager.h"
#include "common/log/log.h"
#include "common/net/curl_http_fetcher.h"
#include "common/process/service_manager.h"
#include "common/process/shutdown.h"
#include "common/status/status.h"
#include "common/storage/folder_lock.h"

namespace tandem::cm {
namespace {

constexpr int kProbeThreads = 4;

// What probes may know of the components; they run on other threads.
class ComponentSnapshot {
 public:
  void Set(std::vector<ProbeComponent> components) {
    std::lock_guard lock(mutex_);
    components_ = std::move(components);
  }
  std::vector<ProbeComponent> Get() {
    std::lock_guard lock(mutex_);
    return components_;
  }

 private:
  std::mutex mutex_;
  std::vector<ProbeComponent> components_;
};

std::vector<ProbeComponent> ProbeComponents(const UmRegistry& registry, const UnitUpdate& update) {
  std::vector<ProbeComponent> components;
  const Ownership ownership(registry.ums());
  for (const auto& [node_id, um] : registry.ums()) {
    for (const InstalledVersion& installed : ownership.Of(node_id)) {
      ProbeComponent component{.component_id = installed.component_id,
                               .component_type = installed.component_type,
                               .version = installed.version,
                               .target_version = {}};
      for (const Participant& participant : update.participants) {
        for (const Target& target : participant.targets) {
          if (participant.node_id == node_id && target.component_id == installed.component_id) {
            component.target_version = target.version;
          }
        }
      }
      components.push_back(std::move(component));
    }
  }
  return components;
}

absl::StatusOr<std::string> ReadBootId(FileSystem& fs, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, Annotate(fs.ReadFile(path), "boot id"));
  return std::string(absl::StripSuffix(text.substr(0, text.find('\n') + 1), "\n"));
}

CloudCallbacks ConnectCloud(Coordinator& coordinator, DiagnosticRunner& diagnostics) {
  CloudCallbacks callbacks;
  callbacks.desired = [&coordinator](const DesiredEnvelopes& documents) { coordinator.OnDesired(documents); };
  // The retained desired state comes by itself; the wake-up only proves that the link works.
  callbacks.wake = [](uint64_t sequence) { LogInfo("woken", {{"sequence", absl::StrCat(sequence)}}); };
  callbacks.verdict = [&coordinator](const std::string& envelope) { coordinator.OnVerdict(envelope); };
  callbacks.diagnostic = [&diagnostics](const std::string& envelope) { diagnostics.OnCommand(envelope); };
  callbacks.key_sets = [&coordinator](const std::vector<std::string>& key_sets) { coordinator.OnKeySets(key_sets); };
  callbacks.connection = [&coordinator](bool connected, const std::string& error) {
    if (connected) {
      LogInfo("cloud connected");
    } else if (!error.empty()) {
      LogWarning("cloud not connected; trying again", {{"error", error}});
    }
    coordinator.OnCloudChanged();
  };
  callbacks.unreadable = [](const absl::Status& status) {
    LogWarning("unreadable message from the cloud", {{"error", ToPersonText(status)}});
  };
  return callbacks;
}

// What CM knows before anything runs, and must be able to read.
struct CmState {
  std::string boot_id;
  TrustStore trust;
  DesiredStore desired;
  std::unique_ptr<History> history;
};

absl::StatusOr<CmState> OpenState(FileSystem& fs, const config::v1::CmConfig& config, std::string boot_id) {
  const std::string& folder = config.state_dir();
  ASSIGN_OR_RETURN(TrustStore trust,
                   TrustStore::Load(fs, JoinPath(folder, "trust.rec"), config.trust().key_set(), config.namespace_()));
  ASSIGN_OR_RETURN(DesiredStore desired, DesiredStore::Load(fs, folder, config.hardware()));
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteHistory> history, SqliteHistory::Open(JoinPath(folder, "history.db")));
  return CmState{.boot_id = std::move(boot_id),
                 .trust = std::move(trust),
                 .desired = std::move(desired),
                 .history = std::move(history)};
}

std::unique_ptr<Watchdog> MakeWatchdog(const config::v1::CmConfig& config, Clock& clock) {
  if (config.watchdog().device().empty()) return nullptr;
  return std::make_unique<Watchdog>(
      config.watchdog().device(),
      DurationOr(config.watchdog().has_timeout(), config.watchdog().timeout(), absl::Seconds(30)), clock);
}

// One CM, its parts in order of dependency: what a part needs stands above it, and ends after it.
class Cm {
 public:
  Cm(const config::v1::CmConfig& config, FileSystem& fs, Clock& clock, CmState state, SafeMode& safe_mode);

  // Until a signal to end.
  absl::Status Run();

 private:
  absl::StatusOr<std::unique_ptr<GateRunner>> MakeGate(GateMode mode, const std::vector<release::v1::Probe>& probes,
                                                       absl::Duration grace);
  void OnUmStatus(const UmInfo& um, bool registered);
  void OnPhaseChanged();
  bool LeaveSafeMode(const std::string& why);
  // From the event thread, for as long as that is alive and no trial is past its deadline.
  void FeedWatchdog();
  absl::Status CheckWatchdog();
  absl::Status QueueAnswer(const DiagnosticAnswer& answer);

  const config::v1::CmConfig& config_;
  FileSystem& fs_;
  Clock& clock_;
  CmState state_;
  SafeMode& safe_mode_;
  EventLoop loop_;
  CurlHttpFetcher fetcher_;
  Stager stager_;
  UmRegistry registry_;
  ArtifactDelivery delivery_;
  std::unique_ptr<Watchdog> watchdog_;
  bool watchdog_fed_ = true;
  // nullptr without a cloud.
  std::unique_ptr<CloudBridge> cloud_;
  ComponentSnapshot components_;
  ProbeWorkers probe_workers_{kProbeThreads};
  // Of its own: a probe that is slow for ever must not hold up a gate.
  ProbeWorkers watch_workers_{1};
  const ProbeContext probe_context_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<DiagnosticRunner> diagnostics_;
  std::unique_ptr<StabilityWatch> stability_;
};

Cm::Cm(const config::v1::CmConfig& config, FileSystem& fs, Clock& clock, CmState state, SafeMode& safe_mode)
    : config_(config),
      fs_(fs),
      clock_(clock),
      state_(std::move(state)),
      safe_mode_(safe_mode),
      loop_(clock),
      stager_(fetcher_, clock),
      registry_({config.nodes().begin(), config.nodes().end()}),
      delivery_(loop_, fs, stager_, config.artifacts(), config.state_dir()),
      watchdog_(MakeWatchdog(config, clock)),
      probe_context_(
          {.components = [this] { return components_.Get(); }, .watchdog = [this] { return CheckWatchdog(); }}) {}

absl::StatusOr<std::unique_ptr<GateRunner>> Cm::MakeGate(GateMode mode, const std::vector<release::v1::Probe>& probes,
                                                         absl::Duration grace) {
  return GateRunner::Create(loop_, probe_workers_, mode, probes, probe_context_, grace);
}

absl::Status Cm::CheckWatchdog() {
  return watchdog_ == nullptr ? absl::FailedPreconditionError("no watchdog is configured") : watchdog_->Check();
}

absl::Status Cm::QueueAnswer(const DiagnosticAnswer& answer) {
  if (cloud_ == nullptr) return absl::OkStatus();
  return cloud_->QueueDiagnosticResult(answer.result, answer.run_id, answer.triggered_by);
}

void Cm::OnUmStatus(const UmInfo& um, bool registered) {
  components_.Set(ProbeComponents(registry_, coordinator_->update()));
  coordinator_->OnUmStatus(um, registered);
  components_.Set(ProbeComponents(registry_, coordinator_->update()));
}

void Cm::OnPhaseChanged() {
  const Phase phase = coordinator_->update().phase;
  safe_mode_.SetTrial(phase == Phase::kStarting || phase == Phase::kTrial || phase == Phase::kCommitting);
  if (phase == Phase::kIdle && coordinator_->update().outcome == Outcome::kApplied) {
    LeaveSafeMode("an update was applied");
  }
  if (const std::optional<StabilityTarget> target = coordinator_->Stability(); target.has_value()) {
    stability_->Watch(target->sequence, target->attempt, target->probes, target->grace);
  } else {
    stability_->Pause();
  }
}

bool Cm::LeaveSafeMode(const std::string& why) {
  if (!safe_mode_.Leave()) return false;
  stability_->SetProbes(true);
  coordinator_->ReportSafeMode(absl::StrCat("left: ", why));
  return true;
}

void Cm::FeedWatchdog() {
  const absl::Status fed = coordinator_->MayFeedWatchdog()
                               ? watchdog_->Feed()
                               : absl::DeadlineExceededError("the trial deadline has passed without a decision");
  if (!fed.ok() && watchdog_fed_) LogWarning("watchdog not fed", {{"error", ToPersonText(fed)}});
  watchdog_fed_ = fed.ok();
  loop_.PostAfter(watchdog_->interval(), [this] { FeedWatchdog(); });
}

absl::Status Cm::Run() {
  if (config_.has_cloud()) {
    ASSIGN_OR_RETURN(cloud_, MqttBridge::Create(loop_, clock_, config_, state_.boot_id));
  }
  coordinator_ = std::make_unique<Coordinator>(
      CoordinatorParts{.loop = loop_,
                       .clock = clock_,
                       .fs = fs_,
                       .config = config_,
                       .trust = state_.trust,
                       .desired = state_.desired,
                       .ums = registry_,
                       .delivery = delivery_,
                       .history = *state_.history,
                       .make_gate = [this](GateMode mode, const auto& probes,
                                           absl::Duration grace) { return MakeGate(mode, probes, grace); },
                       .cloud = cloud_.get(),
                       .boot_id = state_.boot_id,
                       .phase_changed = [this] { OnPhaseChanged(); },
                       .safe_mode = [this] { return safe_mode_.reason(); },
                       .leave_safe_mode = [this](const std::string& why) { return LeaveSafeMode(why); },
                       .add_status =
                           [this](local::v1::UnitStatus& status) {
                             for (const local::v1::DiagnosticStatus& one : diagnostics_->Status())
                               *status.add_diagnostics() = one;
                           }});
  diagnostics_ = std::make_unique<DiagnosticRunner>(DiagnosticRunnerParts{
      .loop = loop_,
      .clock = clock_,
      .fs = fs_,
      .config = config_,
      .boot_id = state_.boot_id,
      .probes = probe_context_,
      .keys = [this] { return coordinator_->Keys(); },
      .now = [this] { return state_.trust.TrustedNow(clock_.Now()); },
      .find_release = [this](const std::string& digest) { return coordinator_->FindRunningRelease(digest); },
      .answer = [this](const DiagnosticAnswer& answer) { return QueueAnswer(answer); },
      .refused = [this](const std::string& why) { coordinator_->RefuseFromCloud(why); },
      .changed = [this] { coordinator_->OnCloudChanged(); }});
  stability_ = std::make_unique<StabilityWatch>(
      StabilityWatchParts{.loop = loop_,
                          .fs = fs_,
                          .config = config_,
                          .boot_id = state_.boot_id,
                          .workers = watch_workers_,
                          .probes = probe_context_,
                          .anomaly = [this](const std::string& what) { coordinator_->ReportAnomaly(what); }});
  stability_->SetProbes(safe_mode_.reason().empty());
  registry_.SetCallbacks({.status = [this](const UmInfo& um, bool registered) { OnUmStatus(um, registered); },
                          .lost = [this](const UmInfo& um) { coordinator_->OnUmLost(um); },
                          .refused = [this](const std::string& node_id,
                                            const absl::Status& why) { coordinator_->OnUmRefused(node_id, why); }});
  if (cloud_ != nullptr) RETURN_IF_ERROR(cloud_->Start(ConnectCloud(*coordinator_, *diagnostics_)));
  RETURN_IF_ERROR(coordinator_->Recover());
  // Not before it is known whether a trial is past its deadline.
  if (watchdog_ != nullptr) FeedWatchdog();
  if (safe_mode_.is_new()) coordinator_->ReportSafeMode(safe_mode_.reason());
  loop_.PostAfter(safe_mode_.lasting(), [this] { safe_mode_.Lasted(); });
  ASSIGN_OR_RETURN(const std::unique_ptr<UmServer> um_server, UmServer::Start(loop_, registry_, config_.um_server()));
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalApi> local_api,
                   LocalApi::Start(loop_, *coordinator_, *state_.history, config_.local_api().unix_socket()));
  {
    ShutdownSignals signals([this] { loop_.Stop(); });
    LogInfo("runs", {{"version", TANDEM_VERSION}, {"boot", state_.boot_id}});
    loop_.Run();
  }
  if (cloud_ != nullptr) cloud_->Stop();
  safe_mode_.EndedInOrder();
  stability_->End();
  return absl::OkStatus();
}

}  // namespace

absl::Status RunCm(const config::v1::CmConfig& config) {
  FileSystem& fs = FileSystem::Real();
  Clock& clock = Clock::Real();
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(config.state_dir()));
  ASSIGN_OR_RETURN(std::string boot_id, ReadBootId(fs, config.boot_id_file()));
  SafeMode safe_mode(fs, config, boot_id);
  // First of all: what else starts with the unit waits for it.
  if (const absl::Status told = NotifyReady(); !told.ok()) LogWarning("ready", {{"error", ToPersonText(told)}});
  ASSIGN_OR_RETURN(CmState state, OpenState(fs, config, std::move(boot_id)));
  return Cm(config, fs, clock, std::move(state), safe_mode).Run();
}

}  // namespace tandem::cm
