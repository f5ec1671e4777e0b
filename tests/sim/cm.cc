#include "tests/sim/cm.h"

#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/cloud/memory_outbox.h"
#include "cm/cloud/mqtt_bridge.h"
#include "cm/cloud/sqlite_outbox.h"
#include "common/status/status.h"
#include "tests/sim/cloud_link.h"
#include "tests/sim/documents.h"
#include "tests/sim/um.h"

namespace tandem::sim {
namespace {

constexpr char kState[] = "/state/cm";
constexpr char kKeySetFile[] = "/etc/keyset.json";
// Of a durable record: magic, format, length, SHA-256.
constexpr size_t kRecordHeader = 48;

}  // namespace

Cm::Cm(World& world, Computer& computer, Network& network, Cloud& cloud, config::v1::CmConfig config, Hooks hooks)
    : Process(world, computer, "CM"),
      network_(network),
      cloud_(cloud),
      config_(std::move(config)),
      hooks_(std::move(hooks)),
      outbox_(std::make_unique<cm::MemoryOutbox>()) {
  config_.set_unit_id(kUnitId);
  config_.set_namespace_(kNameSpace);
  config_.set_state_dir(kState);
  config_.mutable_trust()->set_key_set(kKeySetFile);
  computer.fs().Put(kKeySetFile, FirstKeySet());
  computer.fs().Put(JoinPath(kState, "keep"), "");
}

Cm::~Cm() {
  outbox_.reset();
  if (!outbox_folder_.empty()) std::filesystem::remove_all(outbox_folder_);
}

void Cm::UseDurableOutbox() {
  std::string name = std::filesystem::temp_directory_path() / "tandem-sim-XXXXXX";
  if (mkdtemp(name.data()) != nullptr) outbox_folder_ = name;
  outbox_.reset();
}

absl::Status Cm::Open() {
  Clock& clock = computer_.clock();
  fetcher_ = std::make_unique<NetworkFetcher>(network_);
  stager_ = std::make_unique<Stager>(*fetcher_, clock);
  ASSIGN_OR_RETURN(cm::TrustStore trust,
                   cm::TrustStore::Load(*fs_, JoinPath(kState, "trust.rec"), kKeySetFile, kNameSpace));
  trust_.emplace(std::move(trust));
  ASSIGN_OR_RETURN(cm::DesiredStore desired, cm::DesiredStore::Load(*fs_, kState, config_.hardware()));
  desired_.emplace(std::move(desired));
  registry_ =
      std::make_unique<cm::UmRegistry>(std::vector<config::v1::Node>(config_.nodes().begin(), config_.nodes().end()));
  delivery_ = std::make_unique<cm::ArtifactDelivery>(
      *loop_, *fs_, *stager_, config_.artifacts(), kState, *workers_,
      [this](const cm::ArtifactServerOptions& options) -> absl::StatusOr<std::unique_ptr<cm::ArtifactHost>> {
        return std::make_unique<SimArtifactHost>(network_, *fs_, options.token_key);
      });
  if (!outbox_folder_.empty()) {
    outbox_.reset();
    ASSIGN_OR_RETURN(outbox_, cm::SqliteOutbox::Open(JoinPath(outbox_folder_, "outbox.db")));
  }
  ASSIGN_OR_RETURN(const uint64_t epoch,
                   cm::NextEpoch(*fs_, JoinPath(kState, "epoch.rec"), outbox_->newest_epoch(), clock.Now()));
  outbox_->ResetDelays();
  link_ = std::make_unique<CloudLink>(
      *loop_, clock, cloud_, *outbox_, epoch, [this] { return fs_->WriteFileAtomically("/state/cm/outbox", ""); },
      [this] { return CanAct(); });
  probe_workers_ = std::make_unique<cm::ProbeWorkers>(4, *workers_);
  const cm::ProbeContext probes{
      .clock = &clock,
      .run_command = [this](const cm::ProbeCommand& command) -> absl::StatusOr<cm::ProbeCommandResult> {
        SimWorkers::Sleep(world_.Between(absl::Milliseconds(10), absl::Milliseconds(150)));
        const std::string& what = command.argv[0];
        const bool good = what == "standstill" ? hooks_.standstill() : what == "fine";
        return cm::ProbeCommandResult{.exit_code = good ? 0 : 1};
      }};
  coordinator_ = std::make_unique<cm::Coordinator>(cm::CoordinatorParts{
      .loop = *loop_,
      .clock = clock,
      .fs = *fs_,
      .config = config_,
      .trust = *trust_,
      .desired = *desired_,
      .ums = *registry_,
      .delivery = *delivery_,
      .history = history_,
      .make_gate =
          [this, probes](cm::GateMode mode, const std::vector<release::v1::Probe>& list, absl::Duration grace) {
            return cm::GateRunner::Create(*loop_, *probe_workers_, mode, list, probes, grace);
          },
      .cloud = link_.get(),
      .boot_id = absl::StrCat("boot-", computer_.boots()),
      .phase_changed = [this] { hooks_.phase_changed(); }});
  registry_->SetCallbacks(
      {.status = [this](const cm::UmInfo& um, bool registered) { coordinator_->OnUmStatus(um, registered); },
       .lost = [this](const cm::UmInfo& um) { coordinator_->OnUmLost(um); },
       .refused = [this](const std::string& node_id,
                         const absl::Status& why) { coordinator_->OnUmRefused(node_id, why); }});
  RETURN_IF_ERROR(link_->Start(
      {.desired = [this](const DesiredEnvelopes& documents) { coordinator_->OnDesired(documents); },
       .verdict = [this](const std::string& envelope) { coordinator_->OnVerdict(envelope); },
       .key_sets = [this](const std::vector<std::string>& key_sets) { coordinator_->OnKeySets(key_sets); }}));
  RETURN_IF_ERROR(coordinator_->Recover());
  KeepFeeding();
  return absl::OkStatus();
}

void Cm::KeepFeeding() {
  if (coordinator_->MayFeedWatchdog()) ArmWatchdog();
  loop_->PostAfter(kWatchdogTimeout / 3, [this] { KeepFeeding(); });
}

void Cm::Close() {
  for (const std::weak_ptr<Stream>& weak : std::exchange(streams_, {})) {
    if (const std::shared_ptr<Stream> stream = weak.lock(); stream != nullptr) stream->Break();
  }
  coordinator_.reset();
  probe_workers_.reset();
  link_.reset();
  delivery_.reset();
  registry_.reset();
  desired_.reset();
  trust_.reset();
  stager_.reset();
  fetcher_.reset();
  registered_.clear();
}

template <typename Record>
std::optional<Record> Cm::Durable(const char* file) {
  const auto bytes = computer_.fs().ReadFile(JoinPath(kState, file));
  Record record;
  if (!bytes.ok() || bytes->size() < kRecordHeader) return std::nullopt;
  if (!record.ParseFromArray(bytes->data() + kRecordHeader, static_cast<int>(bytes->size() - kRecordHeader))) {
    return std::nullopt;
  }
  return record;
}

std::optional<record::v1::UnitUpdateRecord> Cm::DurableUpdate() {
  return Durable<record::v1::UnitUpdateRecord>("update.rec");
}

std::optional<record::v1::CommittedRecord> Cm::DurableCommitted() {
  return Durable<record::v1::CommittedRecord>("committed.rec");
}

void Cm::OnStatus(const std::shared_ptr<Stream>& stream, Computer& from,
                  const updatemanager::v2::UpdateStatus& status) {
  if (!fs_->alive()) return;
  if (!registered_.insert(stream.get()).second) return registry_->Status(stream, status);
  cm::UmPeer peer{.local = from.name() == "main", .names = {}, .address = from.name()};
  if (!peer.local) peer.names = {status.node_id()};
  if (const absl::Status taken = registry_->Register(stream, peer, status); !taken.ok()) stream->Close(taken);
}

void Cm::OnClosed(const std::shared_ptr<Stream>& stream) {
  registered_.erase(stream.get());
  if (fs_->alive()) registry_->Closed(stream);
}

}  // namespace tandem::sim
