#include "tools/bench/fleet_setting.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <new>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/controller/controller.h"
#include "fleet/controller/report_intake.h"
#include "fleet/messaging/mqtt_unit_link.h"
#include "fleet/store/postgres_database.h"
#include "fleet/store/sqlite_database.h"
#include "fleet/store/unit_table.h"
#include "tools/fleet-sim/fleet_sim.h"

namespace tandem::bench {
namespace {

constexpr uint32_t kRegisterAtOnce = 5000;

constexpr char kBroker[] = R"(
listener {port} 127.0.0.1
allow_anonymous true
user root
persistence false
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 1000000
log_dest none
)";

// As if each had said what it runs; the first is asked what that leaves in the store.
absl::Status Register(fleet::Store& store, fleet::Documents& documents, uint32_t units) {
  fleet::Orders orders(documents, {});
  fleet::Registry registry(orders);
  fleet::Verification verification(documents, {});
  fleet::ReportIntake intake(documents, registry, verification, {});
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  for (uint32_t from = 0; from < units; from += kRegisterAtOnce) {
    const absl::Status written = store.Write("register", [&](fleet::StoreTransaction& tx) -> absl::Status {
      for (uint32_t unit = from; unit < std::min(units, from + kRegisterAtOnce); ++unit) {
        const fleet::UnitRegistration registration{
            .attributes = {.unit_id = UnitId(unit), .hardware = "gw-2", .region = unit % 3 == 0 ? "us" : "eu"}};
        RETURN_IF_ERROR(fleet::UnitTable(tx).Register(registration, now).status());
      }
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(written);
  }
  return store.Write("report", [&](fleet::StoreTransaction& tx) -> absl::Status {
    fleet::ReportReplies replies;
    fleet::UnitMessage message;
    message.unit_id = UnitId(0);
    message.kind = fleet::UnitMessage::Kind::kReported;
    message.epoch = 1;
    message.seq = 1;
    message.payload = Report();
    RETURN_IF_ERROR(intake.Take(tx, message, now, replies));
    ASSIGN_OR_RETURN(const fleet::UnitRow first, fleet::UnitTable(tx).Get(UnitId(0), /*lock=*/false));
    ASSIGN_OR_RETURN(const std::string reported, fleet::UnitTable(tx).Reported(first.number));
    RETURN_IF_ERROR(
        tx.sql
            .Run("INSERT INTO unit_reports (unit, reported) SELECT number, ?1 FROM units WHERE number <> ?2",
                 {SqlBytes{reported}, first.number})
            .status());
    tx.Count("online", units);
    return tx.sql
        .Run("UPDATE units SET online = 1, last_seen = ?1, reported_epoch = 1, reported_seq = 1, reported_hash = ?2",
             {now, first.reported_hash})
        .status();
  });
}

}  // namespace

SharedPage::SharedPage()
    : shared_(new (mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared) {}

SharedPage::~SharedPage() { munmap(shared_, sizeof(Shared)); }

Child::Child(const std::function<absl::Status()>& run) : pid_(fork()) {
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const absl::Status status = run();
  if (!status.ok()) std::fprintf(stderr, "tandem-bench: %s\n", ToPersonText(status).c_str());
  _exit(status.ok() ? 0 : 1);
}

Child::~Child() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Nap(absl::Duration time) { std::this_thread::sleep_for(absl::ToChronoNanoseconds(time)); }

bool WaitFor(const std::function<bool()>& done, absl::Duration longest) {
  const absl::Time end = absl::Now() + longest;
  while (!done()) {
    if (absl::Now() > end) return false;
    Nap(absl::Milliseconds(2));
  }
  return true;
}

absl::Duration ProcessCpu() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

std::string Name(FleetStore store) { return store == FleetStore::kSqlite ? "SQLite" : "PostgreSQL"; }

Folder::Folder() : path_((std::filesystem::temp_directory_path() / "fleet_bench_XXXXXX").string()) {
  if (mkdtemp(path_.data()) == nullptr) abort();
}

Folder::~Folder() {
  std::error_code none;
  std::filesystem::remove_all(path_, none);
}

std::string UnitId(uint32_t unit) { return absl::StrFormat("bench-%07d", unit); }

unit::v1::Reported Report() {
  unit::v1::Reported reported;
  reported.set_boot_id("5d1f8c52-6f0e-4b0f-9a53-6f1f3a5e1f0d");
  reported.set_phase("Idle");
  reported.set_cm_version(TANDEM_VERSION);
  reported.set_hardware("gw-2");
  for (const char* name : {"rootfs", "models", "mcu"}) {
    unit::v1::ComponentReport& component = *reported.add_components();
    component.set_node_id("main");
    component.set_component_id(name);
    component.set_component_type(name);
    component.set_version("1.0.0");
    component.set_state("installed");
  }
  (*reported.mutable_attributes())["region"] = "eu";
  return reported;
}

absl::StatusOr<std::unique_ptr<fleet::Store>> Setting::OpenStore() const {
  ASSIGN_OR_RETURN(std::unique_ptr<fleet::SqlDatabase> database,
                   postgres == nullptr ? fleet::OpenSqlite(folder.path()) : fleet::OpenPostgres(postgres_url));
  return fleet::Store::Open(std::move(database));
}

absl::Status Prepare(FleetStore kind, uint32_t units, Setting& setting) {
  if (kind == FleetStore::kPostgres) {
    ASSIGN_OR_RETURN(setting.postgres, Postgres::Start());
    ASSIGN_OR_RETURN(setting.postgres_url, setting.postgres->CreateDatabase());
  }
  ASSIGN_OR_RETURN(Mosquitto broker, Mosquitto::Start({.configuration = kBroker}));
  setting.broker.emplace(std::move(broker));
  ASSIGN_OR_RETURN(const std::unique_ptr<fleet::Store> store, setting.OpenStore());
  fleet::Documents documents("acme", setting.maker.assignment[0]);
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  RETURN_IF_ERROR(store->Write("keys", [&](fleet::StoreTransaction& tx) {
    return documents.ImportKeySets(tx, {setting.maker.KeySetEnvelope()}, "bench", now);
  }));
  const absl::Time start = absl::Now();
  if (units != 0) RETURN_IF_ERROR(Register(*store, documents, units));
  setting.registration = absl::Now() - start;
  return absl::OkStatus();
}

absl::Status RunController(const Setting& setting, int number, Shared& shared,
                           const std::function<absl::Status(fleet::Store&, fleet::Documents&)>& begin) {
  InitLog({.level = "error"}).IgnoreError();
  ASSIGN_OR_RETURN(const std::unique_ptr<fleet::Store> store, setting.OpenStore());
  fleet::Documents documents("acme", setting.maker.assignment[0]);
  fleet::Orders orders(documents, {});
  fleet::Registry registry(orders);
  fleet::FleetTime time(Clock::Real());
  ASSIGN_OR_RETURN(const std::unique_ptr<fleet::MqttUnitLink> link,
                   fleet::MqttUnitLink::Create({.name_space = "acme", .mqtt = {.url = setting.broker->url()}}));
  fleet::ControllerOptions options{.controller_id = absl::StrCat("bench-", number)};
  options.publisher.controller_id = options.controller_id;
  fleet::Verification verification(documents, {});
  fleet::UnitOperations units(documents, orders, verification);
  fleet::Controller controller({.store = *store,
                                .documents = documents,
                                .registry = registry,
                                .orders = orders,
                                .verification = verification,
                                .units = units,
                                .link = *link,
                                .time = time},
                               options);
  RETURN_IF_ERROR(controller.Start());
  if (!WaitFor([&] { return link->state().connected; }, absl::Seconds(20))) {
    return absl::UnavailableError("the controller does not reach the broker");
  }
  if (begin) RETURN_IF_ERROR(begin(*store, documents));
  shared.ready = true;
  while (!shared.stop) {
    const fleet::ControllerFigures figures = controller.figures();
    shared.groups = figures.groups;
    shared.published = figures.published;
    shared.cpu_ns = absl::ToInt64Nanoseconds(ProcessCpu());
    shared.resident = fleetsim::FleetSim::ResidentBytes();
    shared.messages = figures.messages;
    Nap(absl::Milliseconds(2));
  }
  controller.Stop();
  return absl::OkStatus();
}

}  // namespace tandem::bench
