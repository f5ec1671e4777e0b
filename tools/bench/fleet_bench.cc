#include "tools/bench/fleet_bench.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "fleet/controller/controller.h"
#include "fleet/controller/report_intake.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/messaging/mqtt_unit_link.h"
#include "fleet/messaging/unit_message_reader.h"
#include "fleet/store/postgres_database.h"
#include "fleet/store/sqlite_database.h"
#include "fleet/store/unit_table.h"
#include "tests/support/mosquitto.h"
#include "tests/support/postgres.h"
#include "tests/support/test_documents.h"
#include "tools/fleet-sim/fleet_sim.h"
#include "tools/fleet-sim/mqtt_line.h"

namespace tandem::bench {
namespace {

constexpr uint32_t kLines = 4;
constexpr uint64_t kUnanswered = 4000;
constexpr uint64_t kUnacknowledged = 2000;
constexpr int kFeedbackOf = 5;
constexpr uint32_t kRegisterAtOnce = 5000;
// Coprime with every number of units here: all are visited before one is again.
constexpr uint64_t kStride = 1'000'003;

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

// Shared with children.
struct Shared {
  std::atomic<bool> ready = false;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> messages = 0;
  std::atomic<uint64_t> groups = 0;
  std::atomic<uint64_t> published = 0;
  std::atomic<uint64_t> acknowledged = 0;
  std::atomic<int64_t> cpu_ns = 0;
  std::atomic<uint64_t> resident = 0;
};

class SharedPage {
 public:
  SharedPage()
      : shared_(new (mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared) {
  }
  ~SharedPage() { munmap(shared_, sizeof(Shared)); }
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;
  Shared& operator*() const { return *shared_; }
  Shared* operator->() const { return shared_; }

 private:
  Shared* const shared_;
};

// A process of this program; ended with its owner.
class Child {
 public:
  explicit Child(const std::function<absl::Status()>& run) : pid_(fork()) {
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const absl::Status status = run();
    if (!status.ok()) std::fprintf(stderr, "tandem-bench: %s\n", ToPersonText(status).c_str());
    _exit(status.ok() ? 0 : 1);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  const pid_t pid_;
};

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

class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "fleet_bench_XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~Folder() {
    std::error_code none;
    std::filesystem::remove_all(path_, none);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

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

// Everything of a fleet but its controllers.
struct Setting {
  Folder folder;
  std::unique_ptr<Postgres> postgres;
  std::string postgres_url;
  std::optional<Mosquitto> broker;
  TestMaker maker{"acme", absl::Now()};
  absl::Duration registration;

  absl::StatusOr<std::unique_ptr<fleet::Store>> OpenStore() const {
    ASSIGN_OR_RETURN(std::unique_ptr<fleet::SqlDatabase> database,
                     postgres == nullptr ? fleet::OpenSqlite(folder.path()) : fleet::OpenPostgres(postgres_url));
    return fleet::Store::Open(std::move(database));
  }
};

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
  RETURN_IF_ERROR(Register(*store, documents, units));
  setting.registration = absl::Now() - start;
  return absl::OkStatus();
}

// Runs until told to stop. `begin` works on the store when the controller is there.
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

// --- the load ---

class Load : public fleetsim::LineListener {
 public:
  Load(const Setting& setting, uint32_t units, Shared& shared, std::function<uint64_t()> stored)
      : setting_(setting), units_(units), shared_(shared), stored_(std::move(stored)) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(lines_, fleetsim::MqttLines::Create({.url = setting_.broker->url(), .in_flight = 1000}, *this));
    ASSIGN_OR_RETURN(report_, MessageToJson(Report()));
    unit::v1::Feedback feedback;
    feedback.set_state("waiting");
    feedback.set_reason("standstill");
    ASSIGN_OR_RETURN(feedback_, MessageToJson(feedback));
    for (uint32_t line = 0; line < kLines; ++line) {
      RETURN_IF_ERROR(lines_->Add(absl::StrCat("bench-load-", line), absl::StrCat(line),
                                  line == 0 ? std::vector<std::string>{"acme/+/ack"} : std::vector<std::string>()));
      lines_->Connect(line);
    }
    while (connected_ < kLines) lines_->Run(absl::Milliseconds(10));
    shared_.ready = true;
    while (!shared_.stop) {
      const uint64_t upto = std::min(stored_() + kUnanswered, (shared_.acknowledged + kUnacknowledged) * kFeedbackOf);
      for (int burst = 0; said_ < upto && burst < 200; ++burst) RETURN_IF_ERROR(SayNext());
      lines_->Run(said_ < upto ? absl::ZeroDuration() : absl::Milliseconds(1));
    }
    return absl::OkStatus();
  }

  std::optional<MqttMessage> LineWill(uint32_t) override { return std::nullopt; }
  void LineConnected(uint32_t) override { ++connected_; }
  void LineLost(uint32_t, const std::string& reason) override {
    std::fprintf(stderr, "tandem-bench: the load lost a connection: %s\n", reason.c_str());
    _exit(1);
  }
  void LineMessage(uint32_t, MqttMessage message) override {
    // {"msg_ids":["…","…"]}: each id is between two quotes.
    const size_t list = message.payload.find('[', message.payload.find("msg_ids"));
    if (list == std::string::npos) return;
    shared_.acknowledged +=
        static_cast<uint64_t>(std::count(message.payload.begin() + list, message.payload.end(), '"')) / 2;
  }

 private:
  absl::Status SayNext() {
    const uint64_t number = said_++;
    const auto unit = static_cast<uint32_t>(number * kStride % units_);
    const bool report = number % kFeedbackOf != 0;
    const std::string unit_id = UnitId(unit);
    // seq rises with each message of a unit: it comes again only after all others.
    const std::string json =
        absl::StrCat("{\"v\":2,\"msg_id\":\"0b1e5f0c-77d2-4a9e-8a51-", absl::Hex(number, absl::kZeroPad12),
                     "\",\"type\":\"", report ? kReportedMessage : kFeedbackMessage,
                     "\",\"ts\":\"2026-11-21T10:00:00.000Z\",\"boot_id\":\"5d1f8c52-6f0e-4b0f-9a53-6f1f3a5e1f0d\","
                     "\"epoch\":2,\"seq\":",
                     number + 1, ",\"payload\":", report ? report_ : feedback_, "}");
    return lines_->Publish(unit % kLines,
                           {.topic = absl::StrCat("acme/", unit_id, report ? "/reported" : "/release/feedback"),
                            .payload = json,
                            .retained = report});
  }

  const Setting& setting_;
  const uint32_t units_;
  Shared& shared_;
  const std::function<uint64_t()> stored_;
  std::unique_ptr<fleetsim::MqttLines> lines_;
  std::string report_;
  std::string feedback_;
  uint32_t connected_ = 0;
  uint64_t said_ = 0;
};

uint64_t FolderBytes(const std::string& path) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

std::string Name(FleetStore store) { return store == FleetStore::kSqlite ? "SQLite" : "PostgreSQL"; }

}  // namespace

absl::StatusOr<ReportsResult> RunReports(const ReportsCase& bench_case) {
  Setting setting;
  RETURN_IF_ERROR(Prepare(bench_case.store, bench_case.units, setting));
  std::vector<SharedPage> controllers(static_cast<size_t>(bench_case.controllers));
  SharedPage load_page;
  const auto sum = [&](auto member) {
    int64_t total = 0;
    for (const SharedPage& page : controllers) total += static_cast<int64_t>(((*page).*member).load());
    return total;
  };
  const auto stored = [&] { return static_cast<uint64_t>(sum(&Shared::messages)); };
  ReportsResult result;
  {
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < bench_case.controllers; ++i) {
      children.push_back(
          std::make_unique<Child>([&, i] { return RunController(setting, i, *controllers[i], nullptr); }));
      if (!WaitFor([&] { return controllers[i]->ready.load(); }, absl::Seconds(60))) {
        return absl::DeadlineExceededError("a controller does not start");
      }
    }
    // The pass over what is retained, which is nothing here, ends after three quiet seconds.
    Nap(absl::Seconds(1));
    children.push_back(
        std::make_unique<Child>([&] { return Load(setting, bench_case.units, *load_page, stored).Run(); }));
    if (!WaitFor([&] { return stored() > 4 * kUnanswered; }, absl::Seconds(60))) {
      return absl::DeadlineExceededError(absl::StrCat("only ", stored(), " messages were stored"));
    }
    const absl::Time start = absl::Now();
    const uint64_t stored_before = stored();
    const uint64_t acknowledged_before = load_page->acknowledged;
    const int64_t cpu_before = sum(&Shared::cpu_ns);
    const int64_t groups_before = sum(&Shared::groups);
    Nap(bench_case.length);
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    const auto messages = static_cast<double>(stored() - stored_before);
    result.stored_per_second = messages / seconds;
    result.acknowledged_per_second = static_cast<double>(load_page->acknowledged - acknowledged_before) / seconds;
    result.controller_cpu = absl::Nanoseconds(static_cast<double>(sum(&Shared::cpu_ns) - cpu_before) / messages);
    result.messages_per_group =
        messages / static_cast<double>(std::max<int64_t>(sum(&Shared::groups) - groups_before, 1));
    result.controller_resident = static_cast<uint64_t>(sum(&Shared::resident));
    load_page->stop = true;
  }
  result.registration = setting.registration;
  if (bench_case.store == FleetStore::kSqlite) result.database_bytes = FolderBytes(setting.folder.path());
  return result;
}

absl::StatusOr<OrdersResult> RunOrders(FleetStore store, uint32_t units) {
  Setting setting;
  RETURN_IF_ERROR(Prepare(store, units, setting));
  SharedPage page;
  const auto begin = [&](fleet::Store& opened, fleet::Documents& documents) {
    return opened.Write("roll", [&](fleet::StoreTransaction& tx) -> absl::Status {
      const int64_t now = absl::ToUnixSeconds(absl::Now());
      const std::string release = setting.maker.MakeRelease("r1", {{.type = "rootfs", .version = "2.0.0"}});
      RETURN_IF_ERROR(documents.ImportRelease(tx, release, {"http://127.0.0.1:1/"}, "bench", now).status());
      RETURN_IF_ERROR(
          documents.ImportReleaseList(tx, setting.maker.Seal(setting.maker.ListOf(1, {release})), "bench", now));
      fleet::v1::RolloutSpec spec;
      spec.set_name("bench");
      spec.set_release(HexEncode(PayloadDigest(release)));
      spec.add_rings()->set_name("all");
      fleet::Verification verification(documents, {});
      return fleet::RolloutOperations(documents, verification).Create(tx, spec, "bench", now).status();
    });
  };
  const Child controller([&] { return RunController(setting, 0, *page, begin); });
  if (!WaitFor([&] { return page->ready.load(); }, absl::Seconds(60))) {
    return absl::DeadlineExceededError("a controller does not start");
  }
  const absl::Time start = absl::Now();
  const int64_t cpu = page->cpu_ns;
  if (!WaitFor([&] { return page->published >= units; }, absl::Minutes(5))) {
    return absl::DeadlineExceededError(absl::StrCat("only ", page->published.load(), " orders were published"));
  }
  return OrdersResult{.all_published = absl::Now() - start, .controller_cpu = absl::Nanoseconds(page->cpu_ns - cpu)};
}

namespace {

absl::StatusOr<ReportsResult> MedianOf(const ReportsCase& bench_case, int runs) {
  std::vector<ReportsResult> results;
  for (int i = 0; i < runs; ++i) {
    ASSIGN_OR_RETURN(const ReportsResult result, RunReports(bench_case));
    results.push_back(result);
  }
  std::ranges::sort(results, {}, &ReportsResult::stored_per_second);
  return results[results.size() / 2];
}

void PrintReports(const ReportsCase& bench_case, const ReportsResult& result) {
  std::printf("%-10s %11d %9u %10.0f %10.0f %9.1f us %9.0f %9.1f MB %9.1f MB\n", Name(bench_case.store).c_str(),
              bench_case.controllers, bench_case.units, result.stored_per_second, result.acknowledged_per_second,
              absl::ToDoubleMicroseconds(result.controller_cpu), result.messages_per_group,
              static_cast<double>(result.controller_resident) / 1e6, static_cast<double>(result.database_bytes) / 1e6);
  std::fflush(stdout);
}

}  // namespace

absl::Status RunFleetBench(const FleetBenchOptions& options) {
  const absl::Duration length = options.quick ? absl::Seconds(1) : absl::Seconds(5);
  const int runs = options.quick ? 1 : options.runs;
  std::printf("%-10s %11s %9s %10s %10s %12s %9s %12s %12s\n", "store", "controllers", "units", "stored/s", "acked/s",
              "CPU each", "in group", "controllers", "database");
  std::vector<ReportsCase> cases = {{.store = FleetStore::kSqlite, .length = length}};
  if (!options.quick) {
    cases.push_back({.store = FleetStore::kPostgres, .length = length});
    cases.push_back({.store = FleetStore::kPostgres, .controllers = 2, .length = length});
  }
  for (uint32_t units = 100'000; !options.quick && units <= options.most_units; units *= 10) {
    cases.push_back({.store = FleetStore::kSqlite, .units = units, .length = length});
  }
  double reports = 0;
  absl::Duration first_cpu;
  absl::Duration last_cpu;
  for (const ReportsCase& bench_case : cases) {
    ASSIGN_OR_RETURN(const ReportsResult result, MedianOf(bench_case, bench_case.units > 10'000 ? 1 : runs));
    PrintReports(bench_case, result);
    if (bench_case.store == FleetStore::kPostgres) continue;
    if (reports == 0) {
      reports = result.stored_per_second;
      first_cpu = result.controller_cpu;
    }
    last_cpu = result.controller_cpu;
  }
  const double ratio = absl::FDivDuration(last_cpu, first_cpu);
  std::printf("CPU of a message, largest fleet to smallest: %.2f\n", ratio);
  const uint32_t orders = options.quick ? 1000 : 10'000;
  for (const FleetStore store : {FleetStore::kSqlite, FleetStore::kPostgres}) {
    if (options.quick && store == FleetStore::kPostgres) continue;
    ASSIGN_OR_RETURN(const OrdersResult result, RunOrders(store, orders));
    std::printf(
        "%-10s %u assignments, from the ring's start to the broker: %.1f s (%.0f/s), controller %.1f s of CPU\n",
        Name(store).c_str(), orders, absl::ToDoubleSeconds(result.all_published),
        orders / absl::ToDoubleSeconds(result.all_published), absl::ToDoubleSeconds(result.controller_cpu));
    std::fflush(stdout);
  }
  if (reports < options.min_reports) {
    return absl::OutOfRangeError(absl::StrCat("fewer reports in a second than ", options.min_reports));
  }
  if (options.max_ratio > 0 && ratio > options.max_ratio) {
    return absl::OutOfRangeError(absl::StrCat("a message costs more than ", options.max_ratio, " times as much"));
  }
  return absl::OkStatus();
}

}  // namespace tandem::bench
