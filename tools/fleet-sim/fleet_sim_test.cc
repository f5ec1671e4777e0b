#include "tools/fleet-sim/fleet_sim.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"
#include "fleet/controller/controller.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/messaging/mqtt_unit_link.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/sqlite_database.h"
#include "fleet/store/unit_table.h"
#include "tests/support/mosquitto.h"
#include "tests/support/test_documents.h"

namespace tandem::fleetsim {
namespace {

constexpr uint32_t kFleetUnits = 300;
// For machines under load.
constexpr absl::Duration kLongest = absl::Seconds(240);

// By default Mosquitto drops what is more than 1,000 messages ahead of a controller; units then say it again, later.
constexpr char kBroker[] = R"(
listener {port} 127.0.0.1
allow_anonymous true
user root
persistence false
set_tcp_nodelay true
max_inflight_messages 500
max_queued_messages 100000
log_dest none
)";

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    ADD_FAILURE() << value.status();
    abort();
  }
  return *std::move(value);
}

// A controller in this process on a real broker, which takes whoever comes.
class FleetSimTest : public testing::Test {
 protected:
  FleetSimTest() : maker_("acme", absl::Now()) {
    folder_ = (std::filesystem::temp_directory_path() / "fleet_sim_XXXXXX").string();
    if (mkdtemp(folder_.data()) == nullptr) abort();
    broker_.emplace(OrDie(Mosquitto::Start({.configuration = kBroker})));
    store_ = OrDie(fleet::Store::Open(OrDie(fleet::OpenSqlite(folder_))));
    link_ = OrDie(fleet::MqttUnitLink::Create({.name_space = "acme", .mqtt = {.url = broker_->url()}}));
    fleet::ControllerOptions options{.controller_id = "test"};
    options.publisher.controller_id = "test";
    options.intake.open_registration = true;
    controller_.emplace(fleet::ControllerParts{.store = *store_,
                                               .documents = documents_,
                                               .registry = registry_,
                                               .orders = orders_,
                                               .verification = verification_,
                                               .units = units_,
                                               .link = *link_,
                                               .time = time_},
                        options);
    Write([&](fleet::StoreTransaction& tx) {
      return documents_.ImportKeySets(tx, {maker_.KeySetEnvelope()}, "test", time_.Now());
    });
    EXPECT_TRUE(controller_->Start().ok());
  }
  ~FleetSimTest() override {
    controller_.reset();
    link_ = nullptr;
    store_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  void Write(const fleet::Store::Work& work) {
    const absl::Status status = store_->Write("test", work);
    EXPECT_TRUE(status.ok()) << status;
  }

  std::string Import(const std::string& release_id, const std::string& version) {
    release::v1::Release release = maker_.ReleaseOf(release_id, {{.type = "rootfs", .version = version}});
    for (const std::string& name : diagnostics_) {
      release.add_diagnostics()->set_name(name);
      release.mutable_diagnostics()->rbegin()->mutable_check()->mutable_device()->set_path("/dev/null");
    }
    const std::string envelope = maker_.Seal(release);
    envelopes_.push_back(envelope);
    Write([&](fleet::StoreTransaction& tx) -> absl::Status {
      RETURN_IF_ERROR(documents_.ImportRelease(tx, envelope, {"http://127.0.0.1:1/"}, "test", time_.Now()).status());
      const release::v1::ReleaseList list = maker_.ListOf(envelopes_.size(), envelopes_);
      return documents_.ImportReleaseList(tx, maker_.Seal(list), "test", time_.Now());
    });
    return HexEncode(PayloadDigest(envelope));
  }

  int64_t Roll(const std::string& digest) {
    fleet::v1::RolloutSpec spec;
    spec.set_name("test");
    spec.set_release(digest);
    spec.mutable_score_age()->set_seconds(20);
    int64_t number = 0;
    Write([&](fleet::StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(number, operations_.Create(tx, spec, "test", time_.Now()));
      return absl::OkStatus();
    });
    return number;
  }

  fleet::v1::Rollout View(int64_t number) {
    fleet::v1::Rollout view;
    const absl::Status status = store_->Read("test", [&](fleet::StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const fleet::RolloutRow row, fleet::RolloutTable(tx).Get(number));
      ASSIGN_OR_RETURN(view, operations_.View(tx, row));
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return view;
  }
  int64_t Registered() {
    int64_t units = 0;
    const absl::Status status = store_->Read("test", [&](fleet::StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(units, fleet::Counter(tx, "units"));
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return units;
  }

  FleetSimOptions Options() const {
    FleetSimOptions options;
    options.world.units = kFleetUnits;
    options.world.attributes["region"] = {{"eu", 2}, {"us", 1}};
    options.world.resend = absl::Seconds(1);
    options.line.url = broker_->url();
    options.behaviour.update_time = {absl::Milliseconds(100), absl::Milliseconds(800)};
    return options;
  }

  TestMaker maker_;
  std::string folder_;
  std::optional<Mosquitto> broker_;
  std::unique_ptr<fleet::Store> store_;
  fleet::Documents documents_{"acme", maker_.assignment[0]};
  fleet::Orders orders_{documents_, {}};
  fleet::Registry registry_{orders_};
  fleet::Verification verification_{documents_, {}};
  fleet::RolloutOperations operations_{documents_, verification_};
  fleet::UnitOperations units_{documents_, orders_, verification_};
  fleet::FleetTime time_{Clock::Real()};
  std::unique_ptr<fleet::MqttUnitLink> link_;
  std::optional<fleet::Controller> controller_;
  std::vector<std::string> envelopes_;
  // Of the releases that are imported next.
  std::vector<std::string> diagnostics_;
};

TEST_F(FleetSimTest, AGoodReleaseReachesAllAndABadOneEndsInTheCanary) {
  FleetSimOptions options = Options();
  options.behaviour.bad_releases["r2"] = 0.5;
  options.behaviour.duplicate = 0.1;
  options.behaviour.reorder = 0.1;
  const std::unique_ptr<FleetSim> sim = OrDie(FleetSim::Create(options));
  const absl::Time start = absl::Now();
  int64_t good = 0;
  int64_t bad = 0;
  sim->Run([&] {
    if (absl::Now() - start > kLongest) return true;
    if (good == 0) {
      if (sim->connected() == kFleetUnits && Registered() == kFleetUnits) good = Roll(Import("r1", "1.0.0"));
      return false;
    }
    if (bad == 0) {
      if (View(good).state() == "complete" && sim->figures().applied == kFleetUnits) bad = Roll(Import("r2", "2.0.0"));
      return false;
    }
    return View(bad).state() == "aborted" && sim->idle_for() > absl::Seconds(1);
  });
  ASSERT_NE(good, 0) << "only " << sim->connected() << " connected, " << Registered() << " registered";
  // The bad one begins when the good one is complete.
  ASSERT_NE(bad, 0) << View(good).DebugString();
  EXPECT_EQ(View(bad).state(), "aborted") << View(bad).DebugString();
  const Figures& figures = sim->figures();
  EXPECT_GT(figures.reverted, 0u);
  // The canary only was given it.
  EXPECT_LT(figures.orders, kFleetUnits + kFleetUnits / 5);
  EXPECT_EQ(figures.refused, 0u);
  EXPECT_EQ(figures.acknowledged, figures.queued);
  for (uint32_t i = 0; i < kFleetUnits; ++i) {
    const ReleaseIndex runs = sim->unit(i).memory().runs[0];
    ASSERT_NE(runs, 0);
    EXPECT_EQ(sim->world().catalog.at(runs).document.release_id(), "r1") << i;
  }
}

TEST_F(FleetSimTest, UnitsAnswerDiagnosticsOfTheReleaseThatTheyRun) {
  FleetSimOptions options = Options();
  options.world.units = 40;
  options.connections = 2;
  options.world.verify_share = 1;
  options.behaviour.diagnostic_time = {absl::Milliseconds(1), absl::Milliseconds(20)};
  options.behaviour.bad_diagnostics = {*ParseBadDiagnostic("r1/camera=0.5"), *ParseBadDiagnostic("r1/hangs=1:hangs")};
  diagnostics_ = {"inference", "camera", "hangs"};
  const std::unique_ptr<FleetSim> sim = OrDie(FleetSim::Create(options));
  const absl::Time start = absl::Now();
  int64_t good = 0;
  std::string digest;
  bool ordered = false;
  const auto order = [&](uint32_t unit, const std::string& diagnostic, const PrivateKey& key) {
    release::v1::DiagnosticCommand command;
    command.set_namespace_("acme");
    command.set_unit_id(sim->world().UnitId(unit));
    command.set_run_id(absl::StrCat("run-", unit));
    command.set_release_digest(absl::HexStringToBytes(digest));
    command.set_diagnostic(diagnostic);
    command.set_triggered_by("operator");
    SetTimestamp(command.mutable_expires(), absl::Now() + absl::Minutes(5));
    link_->PublishDiagnostic(command.unit_id(), SealOrDie(command, kDiagnosticCommandType, {key}), absl::Minutes(5),
                             [](const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; });
  };
  sim->Run([&] {
    if (absl::Now() - start > kLongest) return true;
    if (good == 0 && sim->connected() == 40 && Registered() == 40) good = Roll(digest = Import("r1", "1.0.0"));
    if (good == 0 || sim->figures().applied < 40) return false;
    if (!ordered) {
      for (uint32_t unit = 0; unit < 40; ++unit) {
        for (const std::string& diagnostic : diagnostics_) order(unit, diagnostic, maker_.assignment[0]);
      }
      order(0, "unknown", maker_.assignment[0]);
      order(1, "inference", maker_.release[0]);
      ordered = true;
    }
    return sim->figures().diagnostics == 121 && sim->figures().refused == 1 && sim->idle_for() > absl::Seconds(1);
  });
  const Figures& figures = sim->figures();
  EXPECT_EQ(figures.diagnostics, 121u);
  EXPECT_EQ(figures.refused, 1u);
  EXPECT_EQ(figures.diagnostics_hanging, 40u);
  EXPECT_GT(figures.diagnostics_failed, 5u);
  EXPECT_LT(figures.diagnostics_failed, 36u);
  EXPECT_EQ(figures.diagnostics_passed + figures.diagnostics_failed, 81u);
}

TEST_F(FleetSimTest, ManyUnitsShareFewConnections) {
  FleetSimOptions options = Options();
  options.connections = 3;
  options.world.verify_share = 0.5;
  const std::unique_ptr<FleetSim> sim = OrDie(FleetSim::Create(options));
  const absl::Time start = absl::Now();
  int64_t good = 0;
  sim->Run([&] {
    if (absl::Now() - start > kLongest) return true;
    if (good == 0 && sim->connected() == kFleetUnits && Registered() == kFleetUnits) good = Roll(Import("r1", "1.0.0"));
    return good != 0 && View(good).state() == "complete" && sim->idle_for() > absl::Seconds(1);
  });
  ASSERT_NE(good, 0);
  EXPECT_EQ(View(good).state(), "complete") << View(good).DebugString();
  EXPECT_EQ(sim->figures().connects, 3u);
  EXPECT_EQ(sim->figures().applied, kFleetUnits);
  EXPECT_EQ(sim->figures().acknowledged, sim->figures().queued);
  // All sleep again.
  EXPECT_EQ(sim->figures().awake, 0u);
}

TEST_F(FleetSimTest, UnitsThatFlapAndAppearLateGetTheReleaseToo) {
  FleetSimOptions options = Options();
  options.world.units = 60;
  options.world.resend = absl::Seconds(1);
  options.behaviour.flap = 0.3;
  options.behaviour.flap_every = {absl::Milliseconds(300), absl::Seconds(2)};
  options.behaviour.offline = 0.2;
  options.behaviour.offline_for = {absl::Seconds(1), absl::Seconds(3)};
  options.reconnect = absl::Milliseconds(200);
  const std::unique_ptr<FleetSim> sim = OrDie(FleetSim::Create(options));
  const absl::Time start = absl::Now();
  int64_t good = 0;
  sim->Run([&] {
    if (absl::Now() - start > kLongest) return true;
    if (good == 0 && Registered() == 60) good = Roll(Import("r1", "1.0.0"));
    return good != 0 && View(good).state() == "complete";
  });
  EXPECT_EQ(good != 0 ? View(good).state() : "never began", "complete");
  EXPECT_GT(sim->figures().connections_lost, 10u);
}

TEST(MqttLinesTest, TooManyOpenFilesAreRefusedWithWhatToDo) {
  const absl::Status status = AllowOpenFiles(uint64_t{1} << 40);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(status.message().find("--multiplex"), std::string::npos);
}

}  // namespace
}  // namespace tandem::fleetsim
