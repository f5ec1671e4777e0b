#include "tests/sim/um.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "tests/sim/cm.h"
#include "tests/sim/documents.h"
#include "um-plugins/payload/payload_plugin.h"
#include "um-plugins/slots/slot_plugin.h"
#include "um/prepare_request.h"

namespace tandem::sim {
namespace {

constexpr char kFolder[] = "/data";

}  // namespace

// The real plugin, which takes its time, and fails where a campaign wants it to.
class SimPlugin : public um::Plugin {
 public:
  explicit SimPlugin(Um& um) : um_(um) {}

  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override {
    ASSIGN_OR_RETURN(std::vector<um::InstalledComponent> inventory, um_.real_->Inventory());
    if (um_.world_.now() < um_.hidden_until_) return absl::UnavailableError("the device does not answer");
    for (um::InstalledComponent& installed : inventory) {
      installed.id = um_.component();
      installed.type = um_.component() + "-type";
    }
    return inventory;
  }
  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override {
    std::vector<um::Artifact> own = artifacts;
    for (um::Artifact& artifact : own) artifact.component_id = um_.options_.node_id;
    return Do("Prepare", [&] { return um_.real_->Prepare(own, operation); });
  }
  absl::StatusOr<um::StartResult> Start(um::Operation& operation) override {
    return Do("Start", [&] { return um_.real_->Start(operation); });
  }
  absl::StatusOr<um::RebootCheck> CheckAfterReboot(um::Operation& operation) override {
    return Do("Check", [&] { return um_.real_->CheckAfterReboot(operation); });
  }
  absl::Status Apply(um::Operation& operation) override {
    return Do("Apply", [&] { return um_.real_->Apply(operation); });
  }
  absl::StatusOr<um::RevertResult> Revert(um::Operation& operation) override {
    return Do("Revert", [&] { return um_.real_->Revert(operation); });
  }
  absl::Status Seal() override {
    return Do("Seal", [&] { return um_.real_->Seal(); });
  }
  absl::Status Reboot() override {
    return Do("Reboot", [&] { return um_.real_->Reboot(); });
  }
  bool SwitchesBoot() const override { return um_.real_->SwitchesBoot(); }

 private:
  template <typename Call>
  auto Do(const std::string& method, Call call) -> decltype(call()) {
    SimWorkers::Sleep(um_.world_.Between(absl::Milliseconds(20), absl::Milliseconds(400)));
    RETURN_IF_ERROR(um_.Fails(method, /*after=*/false));
    auto result = call();
    SimWorkers::Sleep(um_.world_.Between(absl::Milliseconds(1), absl::Milliseconds(100)));
    if (result.ok()) RETURN_IF_ERROR(um_.Fails(method, /*after=*/true));
    return result;
  }

  Um& um_;
};

Um::Um(World& world, Computer& computer, Network& network, UmOptions options)
    : Process(world, computer, options.node_id), network_(network), options_(std::move(options)) {
  FakeFileSystem& fs = computer.fs();
  fs.Put(absl::StrCat("/state/", options_.node_id, "/keep"), "");
  if (options_.switches_boot) {
    computer.AddSlots(options_.node_id, options_.version);
    return;
  }
  const std::string folder = JoinPath(kFolder, options_.node_id);
  const std::string image = ImageOf(options_.node_id, options_.version, true);
  const std::string name = absl::StrCat(options_.version, "-", HexEncode(Sha256(image)).substr(0, 8));
  fs.Put(JoinPath(folder, absl::StrCat("versions/", name, "/payload")), image);
  (void)fs.SwitchSymlink(absl::StrCat("versions/", name), JoinPath(folder, "current"));
}

Um::~Um() = default;

absl::Status Um::Fails(const std::string& method, bool after) {
  const auto found = failures_.find({method, after});
  if (found == failures_.end() || found->second <= 0) return absl::OkStatus();
  --found->second;
  world_.Tell(name(), ": ", method, " fails", after ? " after it was done" : "");
  return absl::InternalError(absl::StrCat(method, ": ", error_text_));
}

std::string Um::RunningVersion() {
  if (options_.switches_boot) {
    const auto bytes = computer_.fs().ReadFile(computer_.SlotPath(computer_.running()));
    return bytes.ok() ? VersionOfImage(*bytes, options_.node_id) : "";
  }
  const auto bytes = computer_.fs().ReadFile(JoinPath(kFolder, absl::StrCat(options_.node_id, "/current/payload")));
  return bytes.ok() ? VersionOfImage(*bytes, options_.node_id) : "";
}

bool Um::OnTrial() {
  if (!options_.switches_boot || !computer_.on()) return false;
  // Asked each second, and the same until something is written or booted.
  const std::pair now(computer_.fs().calls(), computer_.boots());
  if (std::exchange(looked_for_trial_, now) == now) return on_trial_;
  boot::RecordBootControl control(computer_.fs(), "/dev/boot");
  const absl::StatusOr<boot::BootState> state = control.Read();
  on_trial_ = state.ok() && state->confirmed != computer_.running();
  return on_trial_;
}

std::unique_ptr<um::Plugin> Um::MakeSlots() {
  boot_ = std::make_unique<boot::RecordBootControl>(*fs_, "/dev/boot");
  return std::make_unique<plugins::SlotPlugin>(
      plugins::SlotPlugin::Dependencies{.fs = *fs_,
                                        .clock = computer_.clock(),
                                        .fetcher = *fetcher_,
                                        .boot = *boot_,
                                        .reboot =
                                            [this] {
                                              fs_->Die();
                                              world_.After(absl::Milliseconds(1),
                                                           [this] { computer_.Restart(false, absl::Seconds(2)); });
                                              return absl::OkStatus();
                                            }},
      plugins::SlotPluginOptions{.component_id = options_.node_id,
                                 .component_type = options_.node_id + "-type",
                                 .state_dir = absl::StrCat("/state/", options_.node_id),
                                 .slot_a = "/dev/a",
                                 .slot_b = "/dev/b",
                                 .cmdline_file = "/proc/cmdline",
                                 .slot_keys = {"tandem.slot="},
                                 .boot_id_file = "/proc/boot_id",
                                 .factory_version = options_.version,
                                 .artifact_tls = {}});
}

std::unique_ptr<um::Plugin> Um::MakePayload() {
  config::v1::UmConfig config;
  config.set_state_dir(absl::StrCat("/state/", options_.node_id));
  config::v1::PayloadComponent& component = *config.mutable_payload()->add_components();
  component.set_component_id(options_.node_id);
  component.set_component_type(options_.node_id + "-type");
  component.set_folder(JoinPath(kFolder, options_.node_id));
  component.add_reload_command("reload");
  return std::make_unique<plugins::PayloadPlugin>(
      plugins::PayloadPlugin::Dependencies{.fs = *fs_,
                                           .clock = computer_.clock(),
                                           .fetcher = *fetcher_,
                                           .run = [this](const Command&) { return Fails("Reload", false); },
                                           .unpack = {}},
      config);
}

absl::Status Um::Open() {
  fetcher_ = std::make_unique<NetworkFetcher>(network_);
  real_ = options_.switches_boot ? MakeSlots() : MakePayload();
  plugin_ = std::make_unique<SimPlugin>(*this);
  manager_ = std::make_unique<um::UpdateManager>(
      *loop_, *fs_, *plugin_,
      um::UpdateManagerOptions{.node_id = options_.node_id,
                               .priority = options_.priority,
                               .state_dir = absl::StrCat("/state/", options_.node_id)},
      [this](const updatemanager::v2::PrepareUpdate& command) {
        return um::ReadPrepare(command, um::PrepareTrust(), computer_.clock());
      },
      *workers_);
  RETURN_IF_ERROR(manager_->Recover());
  world_.After(world_.Between(absl::Milliseconds(10), absl::Milliseconds(300)), [this] { Connect(); });
  return absl::OkStatus();
}

void Um::Close() {
  if (stream_ != nullptr) stream_->Break();
  stream_.reset();
  if (manager_ != nullptr) last_step_ = manager_->step();
  manager_.reset();
  plugin_.reset();
  real_.reset();
  boot_.reset();
  fetcher_.reset();
}

void Um::Connect() {
  if (!up() || !fs_->alive() || stream_ != nullptr) return;
  if (!reachable_ || !cm_->up()) {
    world_.After(absl::Milliseconds(700), [this, of = life()] {
      if (of == life()) Connect();
    });
    return;
  }
  const uint64_t um_life = life();
  const uint64_t cm_life = cm_->life();
  stream_ = std::make_shared<Stream>(
      world_,
      Stream::Ends{
          .um_receives =
              [this, um_life](const updatemanager::v2::CMMessages& message) {
                if (um_life == life() && up() && fs_->alive()) manager_->Handle(message);
              },
          .um_loses =
              [this, um_life] {
                if (um_life != life() || !up()) return;
                manager_->Disconnected();
                stream_.reset();
                world_.After(world_.Between(absl::Milliseconds(300), absl::Seconds(1)), [this, um_life] {
                  if (um_life == life()) Connect();
                });
              },
          .cm_receives =
              [this, cm_life](const std::shared_ptr<Stream>& stream, const updatemanager::v2::UpdateStatus& status) {
                if (cm_life == cm_->life() && cm_->up()) cm_->OnStatus(stream, computer_, status);
              },
          .cm_loses =
              [this, cm_life](const std::shared_ptr<Stream>& stream) {
                if (cm_life == cm_->life() && cm_->up()) cm_->OnClosed(stream);
              },
          .cm_sends = [this](const updatemanager::v2::CMMessages& message) { return cm_->OnSend(*this, message); }});
  cm_->Opened(stream_);
  manager_->Connected([this, stream = stream_](const updatemanager::v2::UpdateStatus& status) {
    if (stream->open() && CanAct()) stream->SendStatus(status);
  });
}

void Um::SetReachable(bool reachable) {
  if (reachable != reachable_) world_.Tell(name(), reachable ? " can reach CM again" : " cannot reach CM");
  reachable_ = reachable;
  if (!reachable && stream_ != nullptr) stream_->Break();
}

}  // namespace tandem::sim
