#include "tests/system/virtual_unit.h"

#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/sha256.h"
#include "common/net/message_envelope.h"
#include "common/process/run_command.h"
#include "common/storage/durable_record.h"
#include "common/storage/file_system.h"
#include "grpcpp/create_channel.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/support/text_file.h"
#include "tools/unit-sim/process_tree.h"

namespace tandem {
namespace {

constexpr char kUnitNamespace[] = "acme";
constexpr char kUnit[] = "unit-1";
constexpr uint64_t kSlotBytes = 256 << 10;
constexpr absl::Duration kPowerIsBackAfter = absl::Milliseconds(50);

std::string Binary(const std::string& name) { return absl::StrCat(TANDEM_BINARIES, "/", name); }

void WriteScript(const std::string& path, const std::string& body) {
  WriteText(path, "#!/bin/sh\n" + body + "\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
}

}  // namespace

VirtualUnit::VirtualUnit(VirtualUnitOptions options)
    : options_(std::move(options)), maker_(kUnitNamespace, absl::Now()) {
  if (options_.parts == nullptr) options_.parts = MakePayloadParts(options_.reload);
  std::string name = (std::filesystem::temp_directory_path() / "vunit_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) std::abort();
  folder_ = name;
  std::filesystem::create_directories(InUnit("data"));
  WriteText(At("keyset.json"), maker_.KeySetEnvelope());
  server_ = SetUpValue(Nginx::Start(options_.bytes_per_second));
  broker_ = std::make_unique<Mosquitto>(SetUpValue(Mosquitto::Start()));
  MqttOptions mqtt;
  mqtt.url = broker_->url();
  mqtt.client_id = "test-cloud";
  mqtt.backoff = {.first = absl::Milliseconds(50), .max = absl::Milliseconds(200)};
  MqttHandlers handlers;
  handlers.message = [this](const MqttMessage& message) { TakeMessage(message); };
  handlers.connected = [] {};
  handlers.disconnected = [](const std::string&) {};
  cloud_ = SetUpValue(MqttClient::Create(mqtt, handlers));
  cloud_->Subscribe(UnitTopics(kUnitNamespace, kUnit).feedback);
  cloud_->Subscribe(UnitTopics(kUnitNamespace, kUnit).applied);
  cloud_->Start();
  options_.parts->Make(At("unit"));
  WriteConfigs();
  WriteText(InUnit("slot-a.img"), MakeImage("1.0", ImageFault::kNone));
  WriteText(InUnit("slot-b.img"), "");
  for (const char* slot : {"slot-a.img", "slot-b.img"}) std::filesystem::resize_file(InUnit(slot), kSlotBytes);
  simulator_ = std::make_unique<ChildProcess>(
      std::vector<std::string>{Binary("tandem-unit-sim"), "run", "--config", At("sim.yaml")}, At("sim.log"));
}

VirtualUnit::~VirtualUnit() {
  // In order, so that it takes its processes along.
  simulator_->Stop();
  cloud_.reset();
  std::filesystem::remove_all(folder_);
}

std::string VirtualUnit::MakeImage(const std::string& version, ImageFault fault) {
  const std::string tree = At("tree");
  std::filesystem::remove_all(tree);
  std::filesystem::create_directories(tree + "/sbin");
  std::filesystem::create_directories(tree + "/etc");
  WriteText(tree + "/etc/version", version + "\n");
  WriteScript(tree + "/sbin/init", fault == ImageFault::kDoesNotBoot ? "exit 1" : "exit 0");
  WriteScript(tree + "/sbin/cm", fault == ImageFault::kCmBroken ? "exit 1" : "exec \"$@\"");
  const std::string file = At("image");
  CheckSetUp(RunCommandOk({.argv = {"mksquashfs", tree, file, "-noappend", "-quiet", "-no-progress", "-all-root"}}));
  return ReadText(file);
}

void VirtualUnit::WriteConfigs() {
  WriteCmConfig();
  WriteUmConfig();
  WriteText(At("sim.yaml"),
            absl::StrCat("unit: ", At("unit"), "\ninit_command: [\"{root}/sbin/init\"]\nservices:\n",
                         "  - {name: cm, restart_delay: 100ms, argv: [\"{root}/sbin/cm\", ", Binary("tandem-cm"),
                         ", --config, ", At("cm.yaml"), "]}\n  - {name: um, restart_delay: 100ms, argv: [",
                         Binary("tandem-um"), ", --config, ", At("um.yaml"), "]}\nwatchdog: {timeout: ",
                         absl::FormatDuration(options_.watchdog), "}\n", options_.parts->SimulatorConfig()));
}

void VirtualUnit::WriteCmConfig() {
  const std::string unit = At("unit");
  std::string nodes;
  for (const UnitPart& part : options_.parts->Parts()) absl::StrAppend(&nodes, "{node_id: ", part.node_id, "}, ");
  WriteText(
      At("cm.yaml"),
      absl::StrCat("unit_id: ", kUnit, "\nnamespace: ", kUnitNamespace, "\nstate_dir: ", unit,
                   "/data/cm\nboot_id_file: ", unit, "/run/boot_id\nsafe_mode: {flag_file: ", unit,
                   "/run/safe-mode}\ntrust: {key_set: ", folder_, "/keyset.json}\num_server: {unix_socket: ", unit,
                   "/run/um.sock}\nlocal_api: {unix_socket: ", unit, "/run/cm.sock}\nnodes: [", nodes,
                   "{node_id: rootfs}]\n", "cloud: {mqtt: {url: \"", broker_->url(), "\"}}\nwatchdog: {device: ", unit,
                   "/run/watchdog, timeout: ", absl::FormatDuration(options_.watchdog),
                   "}\nbudgets: {registration: 10s, start: ", absl::FormatDuration(options_.start_budget),
                   ", trial_deadline: ", absl::FormatDuration(options_.trial_deadline), "}\n", options_.cm_extra));
}

void VirtualUnit::WriteUmConfig() {
  const std::string unit = At("unit");
  std::vector<UnitPart> parts = options_.parts->Parts();
  parts.push_back(
      {"rootfs", 30,
       absl::StrCat("    rootfs:\n      component_type: rootfs\n      slot_a: ", unit,
                    "/slot-a.img\n      slot_b: ", unit, "/slot-b.img\n      ", options_.parts->BootSelector(),
                    "\n      version_file: ", unit, "/run/root/etc/version\n", BootOptions(unit))});
  std::string um = absl::StrCat("cm: unix:", unit, "/run/um.sock\nums:\n");
  for (const UnitPart& part : parts) {
    absl::StrAppend(&um, "  - node_id: ", part.node_id, "\n    priority: ", part.priority, "\n    state_dir: ", unit,
                    "/data/um-", part.node_id, "\n    key_set: ", folder_,
                    "/keyset.json\n    namespace: ", kUnitNamespace, "\n    unit_id: ", kUnit, "\n", part.plugin);
  }
  WriteText(At("um.yaml"), um);
}

void VirtualUnit::SwitchOn() {
  simulator_->Start();
  if (!WaitFor([&] { return Versions() == std::set<std::string>{"1.0"}; })) {
    std::cerr << "the unit does not come up: " << Story() << std::endl;
    std::abort();
  }
}

void VirtualUnit::PowerCut() {
  const uint64_t before = Machine().power_cuts;
  CheckSetUp(sim::SendRequest(InUnit(""), absl::StrCat("power-cut ", absl::ToInt64Milliseconds(kPowerIsBackAfter))));
  if (!WaitFor([&] { return Machine().power_cuts > before; })) std::abort();
}

bool VirtualUnit::KillProgram(const std::string& name) {
  bool killed = false;
  for (const pid_t process : sim::Descendants(Machine().machine)) {
    std::error_code error;
    const auto program = std::filesystem::read_symlink(absl::StrCat("/proc/", process, "/exe"), error);
    if (!error && program.filename() == name) killed = kill(process, SIGKILL) == 0 || killed;
  }
  return killed;
}

void VirtualUnit::PowerCycle(const std::string& peripheral) {
  CheckSetUp(sim::SendRequest(InUnit(""), absl::StrCat("power-cycle ", peripheral)));
}

void VirtualUnit::Assign(const std::string& version, ImageFault fault,
                         const std::function<void(release::v1::Assignment&, release::v1::Release&)>& change) {
  std::vector<TestComponent> components = options_.parts->Components(version);
  components.push_back({.id = "rootfs", .type = "rootfs", .version = version, .content = MakeImage(version, fault)});
  for (const TestComponent& component : components) {
    server_->Put(absl::StrCat("artifacts/", HexEncode(Sha256(component.content))), component.content);
  }
  release::v1::Release release = maker_.ReleaseOf("release-" + version, components);
  release::v1::Assignment unused;
  if (change) change(unused, release);
  const std::string envelope = maker_.Seal(release);
  releases_.push_back(envelope);
  release::v1::Assignment assignment = maker_.AssignmentOf(kUnit, ++sequence_, {envelope});
  assignment.set_attempt(1);
  assignment.clear_base_urls();
  assignment.add_base_urls(server_->url());
  if (change) change(assignment, release);
  const DesiredEnvelopes desired{.assignment = maker_.Seal(assignment),
                                 .releases = {envelope},
                                 .release_list = maker_.Seal(maker_.ListOf(sequence_, releases_)),
                                 .key_sets = {maker_.KeySetEnvelope()}};
  MessageEnvelope message;
  message.msg_id = NewMessageId();
  message.type = kDesiredMessage;
  message.ts = absl::Now();
  message.payload = SetUpValue(SerializeDesired(desired));
  const MqttMessage published{.topic = UnitTopics(kUnitNamespace, kUnit).desired,
                              .payload = SetUpValue(EncodeMessage(message)),
                              .retained = true,
                              .expiry = {}};
  if (!WaitFor([&] { return cloud_->PublishAndWait(published, absl::Seconds(2)).ok(); })) std::abort();
}

std::optional<local::v1::UnitStatus> VirtualUnit::Status() {
  // A channel that found no CM waits too long before it looks again.
  if (local_ == nullptr) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    local_ = local::v1::LocalService::NewStub(grpc::CreateCustomChannel(absl::StrCat("unix:", InUnit("run/cm.sock")),
                                                                        grpc::InsecureChannelCredentials(), arguments));
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  local::v1::UnitStatus status;
  if (local_->GetStatus(&context, {}, &status).ok()) return status;
  local_.reset();
  return std::nullopt;
}

std::string VirtualUnit::Phase() {
  const auto status = Status();
  return status.has_value() ? status->phase() : "";
}

record::v1::UnitUpdateRecord VirtualUnit::DurableUpdate() const {
  DurableRecord file(FileSystem::Real(), InUnit("data/cm/update.rec"));
  record::v1::UnitUpdateRecord record;
  const absl::StatusOr<std::string> bytes = file.Read();
  if (!bytes.ok() || !record.ParseFromString(*bytes)) return {};
  return record;
}

void VirtualUnit::TakeMessage(const MqttMessage& message) {
  static const auto& ends = *new std::set<std::string>{"applied", "reverted", "refused", "needs_service"};
  const absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(message.payload);
  // The topic "applied" has the same fields.
  unit::v1::Feedback feedback;
  if (!envelope.ok() || !MessageFromJson(envelope->payload, feedback).ok()) return;
  std::lock_guard lock(mutex_);
  if (envelope->type == kAppliedMessage) reports_[feedback.sequence()].applied_ids.insert(envelope->msg_id);
  if (ends.contains(feedback.state())) reports_[feedback.sequence()].ends.insert(feedback.state());
}

EndReports VirtualUnit::ReportsOf(uint64_t sequence) const {
  std::lock_guard lock(mutex_);
  const auto found = reports_.find(sequence);
  return found == reports_.end() ? EndReports() : found->second;
}

sim::Status VirtualUnit::Machine() const { return sim::ReadStatus(InUnit("")).value_or(sim::Status()); }

bool VirtualUnit::WaitForEnd(absl::Duration timeout) {
  return WaitFor(
      [&] {
        const auto status = Status();
        return status.has_value() && status->phase() == "Idle" && status->last_update().sequence() == sequence_ &&
               status->last_update().outcome() != "running";
      },
      timeout);
}

std::string VirtualUnit::Outcome() {
  const auto status = Status();
  return status.has_value() ? status->last_update().outcome() : "";
}

std::string VirtualUnit::Reason() {
  const auto status = Status();
  return status.has_value() ? status->last_update().reason() : "";
}

std::set<std::string> VirtualUnit::Versions() {
  const auto status = Status();
  std::set<std::string> versions;
  if (!status.has_value()) return versions;
  for (const auto& um : status->ums()) {
    if (um.components().empty() || !um.connected()) return {};
    versions.insert(um.components(0).version());
  }
  return versions;
}

bool VirtualUnit::WaitFor(const std::function<bool()>& condition, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (absl::Now() < deadline) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::string VirtualUnit::Story() const {
  std::string story;
  for (const char* name : {"unit/console.log", "unit/log/cm.log", "unit/log/um.log", "sim.log"}) {
    absl::StrAppend(&story, "\n--- ", name, " ---\n", ReadText(At(name)));
  }
  return story;
}

}  // namespace tandem
