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
  for (const auto& [node_id, um] : registry.ums()) {
    for (const InstalledVersion& installed : InstalledOf(um.last)) {
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

// Feeds the watchdog from the event thread for as long as that is alive and no trial is past its deadline.
void KeepFeeding(EventLoop& loop, Watchdog& watchdog, const Coordinator& coordinator, bool was_fed) {
  const absl::Status fed = coordinator.MayFeedWatchdog()
                               ? watchdog.Feed()
                               : absl::DeadlineExceededError("the trial deadline has passed without a decision");
  if (!fed.ok() && was_fed) LogWarning("watchdog not fed", {{"error", ToPersonText(fed)}});
  loop.PostAfter(watchdog.interval(),
                 [&loop, &watchdog, &coordinator, ok = fed.ok()] { KeepFeeding(loop, watchdog, coordinator, ok); });
}

absl::StatusOr<std::string> ReadBootId(FileSystem& fs, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, Annotate(fs.ReadFile(path), "boot id"));
  return std::string(absl::StripSuffix(text.substr(0, text.find('\n') + 1), "\n"));
}

CloudCallbacks ConnectCloud(Coordinator& coordinator, DiagnosticRunner& diagnostics) {
  CloudCallbacks callbacks;
  callbacks.desired = [&coordinator](const DesiredDocuments& documents) { coordinator.OnDesired(documents); };
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

}  // namespace

absl::Status RunCm(const config::v1::CmConfig& config) {
  FileSystem& fs = FileSystem::Real();
  Clock& clock = Clock::Real();
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(config.state_dir()));
  ASSIGN_OR_RETURN(const std::string boot_id, ReadBootId(fs, config.boot_id_file()));

  // First of all: what else starts with the unit waits for it.
  SafeMode safe_mode(fs, config, boot_id);
  if (const absl::Status told = NotifyReady(); !told.ok()) LogWarning("ready", {{"error", ToPersonText(told)}});

  // Ends in reverse order: whatever posts to the loop before the loop.
  EventLoop loop(clock);
  CurlHttpFetcher fetcher;
  Stager stager(fetcher, clock);
  ASSIGN_OR_RETURN(TrustStore trust, TrustStore::Load(fs, JoinPath(config.state_dir(), "trust.rec"),
                                                      config.trust().key_set(), config.namespace_()));
  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteHistory> history,
                   SqliteHistory::Open(JoinPath(config.state_dir(), "history.db")));
  UmRegistry registry({config.nodes().begin(), config.nodes().end()});
  ArtifactDelivery delivery(loop, fs, stager, config.artifacts(), config.state_dir());

  std::unique_ptr<Watchdog> watchdog;
  if (!config.watchdog().device().empty()) {
    watchdog = std::make_unique<Watchdog>(
        config.watchdog().device(),
        DurationOr(config.watchdog().has_timeout(), config.watchdog().timeout(), absl::Seconds(30)), clock);
  }

  std::unique_ptr<CloudBridge> cloud;
  if (config.has_cloud()) {
    ASSIGN_OR_RETURN(cloud, MqttBridge::Create(loop, clock, config, boot_id));
  }

  // Both ask the coordinator, which tells them when to look again.
  std::unique_ptr<StabilityWatch> stability;
  // It asks the coordinator, whose status shows it.
  std::unique_ptr<DiagnosticRunner> diagnostics;
  ComponentSnapshot components;
  ProbeWorkers probe_workers(kProbeThreads);
  // Of its own: a probe that is slow for ever must not hold up a gate.
  ProbeWorkers watch_workers(1);
  ProbeContext probe_context{
      .components = [&components] { return components.Get(); },
      .watchdog =
          [&watchdog] {
            return watchdog == nullptr ? absl::FailedPreconditionError("no watchdog is configured") : watchdog->Check();
          }};
  std::function<void()> phase_changed;
  std::function<bool(const std::string& why)> leave_safe_mode;
  Coordinator coordinator(
      {.loop = loop,
       .clock = clock,
       .fs = fs,
       .config = config,
       .trust = trust,
       .ums = registry,
       .delivery = delivery,
       .history = *history,
       .make_gate =
           [&](GateMode mode, const std::vector<release::v1::Probe>& probes, absl::Duration grace) {
             return GateRunner::Create(loop, probe_workers, mode, probes, probe_context, grace);
           },
       .cloud = cloud.get(),
       .boot_id = boot_id,
       .phase_changed = [&phase_changed] { phase_changed(); },
       .safe_mode = [&safe_mode] { return safe_mode.reason(); },
       .leave_safe_mode = [&leave_safe_mode](const std::string& why) { return leave_safe_mode(why); },
       .add_status =
           [&diagnostics](local::v1::UnitStatus& status) {
             if (diagnostics == nullptr) return;
             for (const local::v1::DiagnosticStatus& one : diagnostics->Status()) {
               *status.add_diagnostics() = one;
             }
           }});
  diagnostics = std::make_unique<DiagnosticRunner>(DiagnosticRunnerParts{
      .loop = loop,
      .clock = clock,
      .fs = fs,
      .config = config,
      .boot_id = boot_id,
      .probes = probe_context,
      .keys = [&coordinator] { return coordinator.Keys(); },
      .now = [&trust, &clock] { return trust.TrustedNow(clock.Now()); },
      .find_release = [&coordinator](const std::string& digest) { return coordinator.FindRunningRelease(digest); },
      .answer =
          [&cloud](const DiagnosticAnswer& answer) {
            if (cloud == nullptr) return absl::OkStatus();
            return cloud->QueueDiagnosticResult(answer.result, answer.run_id, answer.triggered_by);
          },
      .refused = [&coordinator](const std::string& why) { coordinator.RefuseFromCloud(why); },
      .changed = [&coordinator] { coordinator.OnCloudChanged(); }});
  stability = std::make_unique<StabilityWatch>(
      StabilityWatchParts{.loop = loop,
                          .fs = fs,
                          .config = config,
                          .boot_id = boot_id,
                          .workers = watch_workers,
                          .probes = probe_context,
                          .anomaly = [&coordinator](const std::string& what) { coordinator.ReportAnomaly(what); }});
  stability->SetProbes(safe_mode.reason().empty());
  leave_safe_mode = [&](const std::string& why) {
    if (!safe_mode.Leave()) return false;
    stability->SetProbes(true);
    coordinator.ReportSafeMode(absl::StrCat("left: ", why));
    return true;
  };
  phase_changed = [&] {
    const Phase phase = coordinator.update().phase;
    safe_mode.SetTrial(phase == Phase::kStarting || phase == Phase::kTrial || phase == Phase::kCommitting);
    if (phase == Phase::kIdle && coordinator.update().outcome == Outcome::kApplied) {
      leave_safe_mode("an update was applied");
    }
    if (const std::optional<StabilityTarget> target = coordinator.Stability(); target.has_value()) {
      stability->Watch(target->sequence, target->attempt, target->probes, target->grace);
    } else {
      stability->Pause();
    }
  };
  if (watchdog != nullptr) KeepFeeding(loop, *watchdog, coordinator, /*was_fed=*/true);
  registry.SetCallbacks(
      {.status =
           [&](const UmInfo& um, bool registered) {
             components.Set(ProbeComponents(registry, coordinator.update()));
             coordinator.OnUmStatus(um, registered);
             components.Set(ProbeComponents(registry, coordinator.update()));
           },
       .lost = [&](const UmInfo& um) { coordinator.OnUmLost(um); },
       .refused = [&](const std::string& node_id, const absl::Status& why) { coordinator.OnUmRefused(node_id, why); }});
  if (cloud != nullptr) RETURN_IF_ERROR(cloud->Start(ConnectCloud(coordinator, *diagnostics)));
  RETURN_IF_ERROR(coordinator.Recover());
  if (safe_mode.is_new()) coordinator.ReportSafeMode(safe_mode.reason());
  loop.PostAfter(safe_mode.lasting(), [&safe_mode] { safe_mode.Lasted(); });
  ASSIGN_OR_RETURN(std::unique_ptr<UmServer> um_server, UmServer::Start(loop, registry, config.um_server()));
  ASSIGN_OR_RETURN(std::unique_ptr<LocalApi> local_api,
                   LocalApi::Start(loop, coordinator, *history, config.local_api().unix_socket()));
  {
    ShutdownSignals signals([&loop] { loop.Stop(); });
    LogInfo("runs", {{"version", TANDEM_VERSION}, {"boot", boot_id}});
    loop.Run();
  }
  if (cloud != nullptr) cloud->Stop();
  safe_mode.EndedInOrder();
  stability->End();
  // Before what they ask.
  stability.reset();
  diagnostics.reset();
  return absl::OkStatus();
}

}  // namespace tandem::cm
