// A unit in memory for the tests of one room of cm/update: records, UMs, cloud and history, and a running update that
// only notes what it is told.
#ifndef TANDEM_TESTS_SUPPORT_UPDATE_ROOM_H_
#define TANDEM_TESTS_SUPPORT_UPDATE_ROOM_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cm/cloud/fake_cloud_bridge.h"
#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/records/desired_store.h"
#include "cm/update/update_port.h"
#include "cm/update/update_reporter.h"
#include "common/storage/fake_file_system.h"
#include "common/time/event_loop.h"
#include "tandem/config/v1/cm.pb.h"
#include "tests/support/fake_history.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {

// Notes what it is told; the test sets what it shows.
class FakeUpdate : public UpdatePort {
 public:
  const UnitUpdate& update() const override { return shown; }
  const StoredDesired* documents() const override { return shown_documents.has_value() ? &*shown_documents : nullptr; }
  void Handle(const Event& event) override { events.push_back(event); }
  absl::Status Begin(const Step& step, const StoredDesired& documents) override {
    if (!begin_status.ok()) return begin_status;
    begun.push_back(step);
    shown = step.update;
    shown_documents = documents;
    return absl::OkStatus();
  }
  void ReplaceDocuments(StoredDesired documents) override { shown_documents = std::move(documents); }
  void Changed() override { ++changes; }

  // Of this kind, in order.
  std::vector<Event> Of(Event::Kind kind) const {
    std::vector<Event> found;
    for (const Event& event : events) {
      if (event.kind == kind) found.push_back(event);
    }
    return found;
  }

  UnitUpdate shown;
  std::optional<StoredDesired> shown_documents;
  std::vector<Event> events;
  std::vector<Step> begun;
  absl::Status begin_status;
  int changes = 0;
};

// A UM's stream; keeps the commands.
class FakeUmStream : public UmStream {
 public:
  void Send(const updatemanager::v2::CMMessages& message) override { commands.push_back(message); }
  void Close(const absl::Status&) override {}

  std::vector<updatemanager::v2::CMMessages> commands;
};

class UpdateRoom {
 public:
  // Nodes "a", "b", ... as many as given.
  explicit UpdateRoom(const std::vector<std::string>& nodes = {"a"})
      : config(MakeConfig(nodes)), ums({config.nodes().begin(), config.nodes().end()}) {
    fs.Put("/etc/key_set.json", maker.KeySetEnvelope());
    fs.MakeFolders("/cm").IgnoreError();
    absl::StatusOr<TrustStore> loaded_trust = TrustStore::Load(fs, "/cm/trust.rec", "/etc/key_set.json", "acme");
    absl::StatusOr<DesiredStore> loaded_desired = DesiredStore::Load(fs, "/cm", "");
    trust = std::make_unique<TrustStore>(*std::move(loaded_trust));
    desired = std::make_unique<DesiredStore>(*std::move(loaded_desired));
    cloud.Start({}).IgnoreError();
    reporter = std::make_unique<UpdateReporter>(UpdateReporterParts{.loop = loop,
                                                                    .clock = clock,
                                                                    .config = config,
                                                                    .ums = ums,
                                                                    .trust = *trust,
                                                                    .desired = *desired,
                                                                    .history = history,
                                                                    .cloud = &cloud,
                                                                    .boot_id = "boot",
                                                                    .safe_mode = {}});
  }

  static config::v1::CmConfig MakeConfig(const std::vector<std::string>& nodes) {
    config::v1::CmConfig made;
    made.set_unit_id("unit-1");
    made.set_namespace_("acme");
    made.set_state_dir("/cm");
    for (const std::string& node : nodes) made.add_nodes()->set_node_id(node);
    return made;
  }

  // The UM `node` registers, or reports again: one component of the same id and type, which runs `version`.
  void Report(const std::string& node, updatemanager::v2::UpdateState state, const std::string& version,
              bool working = false) {
    updatemanager::v2::UpdateStatus status;
    status.set_node_id(node);
    status.set_update_state(state);
    status.set_working(working);
    status.set_tells_running(true);
    auto& component = *status.add_components();
    component.set_component_id(node);
    component.set_component_type(node);
    component.set_version(version);
    std::shared_ptr<FakeUmStream>& stream = streams[node];
    if (stream != nullptr) return ums.Status(stream, status);
    stream = std::make_shared<FakeUmStream>();
    ums.Register(stream, {.local = true, .names = {}, .address = "test"}, status).IgnoreError();
  }

  // Versions by node; signed for this unit.
  DesiredEnvelopes MakeDesired(const std::map<std::string, std::string>& versions, uint64_t sequence) {
    std::vector<TestComponent> components;
    for (const auto& [node, version] : versions) components.push_back({.id = node, .type = node, .version = version});
    return maker.Desired("unit-1", sequence, {maker.MakeRelease("r" + std::to_string(sequence), components)});
  }

  // Lets virtual time pass, a second at a time.
  void Pass(absl::Duration time) {
    for (; time > absl::ZeroDuration(); time -= absl::Seconds(1)) {
      clock.Advance(absl::Seconds(1));
      loop.RunReady();
    }
  }

  // What the cloud was told, as "state: reason".
  std::vector<std::string> Told() const {
    std::vector<std::string> told;
    for (const unit::v1::Feedback& feedback : cloud.feedback)
      told.push_back(feedback.state() + ": " + feedback.reason());
    return told;
  }

  TestMaker maker{"acme"};
  FakeClock clock;
  EventLoop loop{clock};
  FakeFileSystem fs;
  config::v1::CmConfig config;
  UmRegistry ums;
  std::map<std::string, std::shared_ptr<FakeUmStream>> streams;
  std::unique_ptr<TrustStore> trust;
  std::unique_ptr<DesiredStore> desired;
  FakeCloudBridge cloud;
  FakeHistory history;
  FakeUpdate update;
  std::unique_ptr<UpdateReporter> reporter;
};

}  // namespace tandem::cm

#endif  // TANDEM_TESTS_SUPPORT_UPDATE_ROOM_H_
