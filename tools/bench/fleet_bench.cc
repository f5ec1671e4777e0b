#include "tools/bench/fleet_bench.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "fleet/controller/rollout_operations.h"
#include "tools/bench/fleet_setting.h"
#include "tools/fleet-sim/mqtt_line.h"

namespace tandem::bench {
namespace {

constexpr uint32_t kLines = 4;
constexpr uint64_t kUnanswered = 4000;
constexpr uint64_t kUnacknowledged = 2000;
constexpr int kFeedbackOf = 5;
// Coprime with every number of units here: all are visited before one is again.
constexpr uint64_t kStride = 1'000'003;

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
