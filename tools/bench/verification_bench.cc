#include "tools/bench/verification_bench.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/controller/controller.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/messaging/mqtt_unit_link.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"
#include "tools/bench/fleet_setting.h"
#include "tools/fleet-sim/fleet_sim.h"

namespace tandem::bench {
namespace {

constexpr absl::Duration kLongest = absl::Minutes(5);
// Few units fail, whatever their number.
constexpr double kBadUnits = 3;
constexpr char kDiagnostic[] = "inference";

// A controller in this process, and what an operator does to it.
class Fleet {
 public:
  Fleet(Setting& setting, std::unique_ptr<fleet::Store> store, std::unique_ptr<fleet::MqttUnitLink> link)
      : setting_(setting), store_(std::move(store)), link_(std::move(link)) {
    options_.publisher.controller_id = options_.controller_id;
    options_.intake.open_registration = true;
    controller_.emplace(fleet::ControllerParts{.store = *store_,
                                               .documents = documents_,
                                               .registry = registry_,
                                               .orders = orders_,
                                               .verification = verification_,
                                               .units = units_,
                                               .link = *link_,
                                               .time = time_},
                        options_);
  }

  fleet::Controller& controller() { return *controller_; }
  fleet::Store& store() { return *store_; }

  // A release with one diagnostic, to all units at once.
  absl::StatusOr<int64_t> Roll(const std::string& release_id, const std::string& version) {
    release::v1::Release release = setting_.maker.ReleaseOf(release_id, {{.type = "rootfs", .version = version}});
    release::v1::Diagnostic& diagnostic = *release.add_diagnostics();
    diagnostic.set_name(kDiagnostic);
    diagnostic.set_run_after_ota(true);
    diagnostic.mutable_check()->mutable_exec()->add_command("check");
    const std::string envelope = setting_.maker.Seal(release);
    envelopes_.push_back(envelope);
    int64_t rollout = 0;
    const absl::Status written = store_->Write("roll", [&](fleet::StoreTransaction& tx) -> absl::Status {
      const int64_t now = time_.Now();
      RETURN_IF_ERROR(documents_.ImportRelease(tx, envelope, {"http://127.0.0.1:1/"}, "bench", now).status());
      RETURN_IF_ERROR(documents_.ImportReleaseList(
          tx, setting_.maker.Seal(setting_.maker.ListOf(envelopes_.size(), envelopes_)), "bench", now));
      fleet::v1::RolloutSpec spec;
      spec.set_name(release_id);
      spec.set_release(HexEncode(PayloadDigest(envelope)));
      spec.add_rings()->set_name("all");
      ASSIGN_OR_RETURN(rollout, operations_.Create(tx, spec, "bench", now));
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(written);
    return rollout;
  }

  absl::Status Hold(const std::vector<std::string>& unit_ids, bool held) {
    return store_->Write("hold", [&](fleet::StoreTransaction& tx) -> absl::Status {
      for (const std::string& unit_id : unit_ids) {
        RETURN_IF_ERROR(units_.Hold(tx, unit_id, held, "bench", "bench", time_.Now()));
      }
      return absl::OkStatus();
    });
  }

  int64_t Counter(const std::string& name) {
    int64_t value = 0;
    const absl::Status read = store_->Read("count", [&](fleet::StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(value, fleet::Counter(tx, name));
      return absl::OkStatus();
    });
    return read.ok() ? value : 0;
  }
  int64_t Verified(int64_t rollout) { return Counter(fleet::RingCounterPrefix(rollout, 0) + "verified"); }
  bool Failed(int64_t rollout) {
    bool failed = false;
    const absl::Status read = store_->Read("verdict", [&](fleet::StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const fleet::RolloutRow row, fleet::RolloutTable(tx).Get(rollout));
      ASSIGN_OR_RETURN(const fleet::ReleaseRow release, fleet::ReleaseTable(tx).Head(row.release));
      failed = release.verdict == fleet::ReleaseVerdict::kFailed;
      return absl::OkStatus();
    });
    return read.ok() && failed;
  }
  bool TakenBack(int64_t rollout) {
    bool over = false;
    const absl::Status read = store_->Read("state", [&](fleet::StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const fleet::RolloutRow row, fleet::RolloutTable(tx).Get(rollout));
      over = row.state == fleet::RolloutState::kAborted;
      return absl::OkStatus();
    });
    return read.ok() && over;
  }

 private:
  Setting& setting_;
  const std::unique_ptr<fleet::Store> store_;
  const std::unique_ptr<fleet::MqttUnitLink> link_;
  fleet::Documents documents_{"acme", setting_.maker.assignment[0]};
  fleet::Orders orders_{documents_, {}};
  fleet::Registry registry_{orders_};
  fleet::Verification verification_{documents_, {}};
  fleet::RolloutOperations operations_{documents_, verification_};
  fleet::UnitOperations units_{documents_, orders_, verification_};
  fleet::FleetTime time_{Clock::Real()};
  fleet::ControllerOptions options_{.controller_id = "bench"};
  std::optional<fleet::Controller> controller_;
  std::vector<std::string> envelopes_;
};

// On a thread of its own, for the simulator has its own.
class Stopwatch {
 public:
  Stopwatch(Fleet& fleet, int64_t rollout) : thread_([this, &fleet, rollout] { Watch(fleet, rollout); }) {}
  ~Stopwatch() {
    stop_ = true;
    thread_.join();
  }
  bool done() const { return done_; }
  const WayBackResult& result() const { return result_; }

 private:
  void Watch(Fleet& fleet, int64_t rollout) {
    while (!stop_ && !fleet.Failed(rollout)) Nap(absl::Milliseconds(1));
    const absl::Time verdict = absl::Now();
    const uint64_t before = fleet.controller().figures().published;
    while (!stop_ && fleet.controller().figures().published == before) Nap(absl::Milliseconds(1));
    result_.first = absl::Now() - verdict;
    while (!stop_ && !fleet.TakenBack(rollout)) Nap(absl::Milliseconds(5));
    result_.last = absl::Now() - verdict;
    result_.orders = fleet.controller().figures().published - before;
    done_ = true;
  }

  std::atomic<bool> stop_ = false;
  std::atomic<bool> done_ = false;
  WayBackResult result_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<WayBackResult> RunWayBack(FleetStore kind, uint32_t units) {
  InitLog({.level = "error"}).IgnoreError();
  Setting setting;
  RETURN_IF_ERROR(Prepare(kind, 0, setting));
  ASSIGN_OR_RETURN(std::unique_ptr<fleet::Store> store, setting.OpenStore());
  ASSIGN_OR_RETURN(std::unique_ptr<fleet::MqttUnitLink> link,
                   fleet::MqttUnitLink::Create({.name_space = "acme", .mqtt = {.url = setting.broker->url()}}));
  Fleet fleet(setting, std::move(store), std::move(link));
  RETURN_IF_ERROR(fleet.controller().Start());

  fleetsim::FleetSimOptions options;
  options.world.units = units;
  options.world.verify_share = 0.01;
  options.world.sleepy = true;
  options.line.url = setting.broker->url();
  options.connections = 8;
  options.connect_rate = 3000;
  options.behaviour.update_time = {absl::Milliseconds(10), absl::Milliseconds(100)};
  options.behaviour.diagnostic_time = {absl::Milliseconds(10), absl::Milliseconds(100)};
  options.behaviour.bad_diagnostics = {{.release = "r2", .diagnostic = kDiagnostic, .share = kBadUnits / units}};
  ASSIGN_OR_RETURN(const std::unique_ptr<fleetsim::FleetSim> sim, fleetsim::FleetSim::Create(options));
  std::vector<std::string> bad;
  for (uint32_t unit = 0; unit < units; ++unit) {
    const fleetsim::DiagnosticOf run{.unit = unit, .run_id = "any", .release_id = "r2", .diagnostic = kDiagnostic};
    if (sim->world().behaviour.OutcomeOf(run) != fleetsim::DiagnosticOutcome::kPassed) {
      bad.push_back(sim->world().UnitId(unit));
    }
  }
  if (bad.empty()) return absl::InternalError("no unit of this seed fails; take another number of units");

  const absl::Time end = absl::Now() + kLongest;
  int64_t good_rollout = 0;
  int64_t bad_rollout = 0;
  std::unique_ptr<Stopwatch> watch;
  absl::Status status;
  sim->Run([&] {
    if (absl::Now() > end || !status.ok()) return true;
    const auto roll = [&](int64_t& rollout, const char* release, const char* version) {
      const absl::StatusOr<int64_t> made = fleet.Roll(release, version);
      status.Update(made.status());
      rollout = made.value_or(0);
    };
    if (good_rollout == 0) {
      if (fleet.Counter("units") == units) roll(good_rollout, "r1", "1.0.0");
    } else if (bad_rollout == 0) {
      if (fleet.Verified(good_rollout) != units) return false;
      // These come last, so that all others have it when they fail.
      status.Update(fleet.Hold(bad, true));
      roll(bad_rollout, "r2", "2.0.0");
    } else if (watch == nullptr) {
      if (fleet.Verified(bad_rollout) != static_cast<int64_t>(units - bad.size())) return false;
      watch = std::make_unique<Stopwatch>(fleet, bad_rollout);
      status.Update(fleet.Hold(bad, false));
    }
    return watch != nullptr && watch->done();
  });
  RETURN_IF_ERROR(status);
  if (watch == nullptr || !watch->done()) {
    return absl::DeadlineExceededError(
        absl::StrCat(fleet.Counter("units"), " registered, ", good_rollout == 0 ? 0 : fleet.Verified(good_rollout),
                     " and ", bad_rollout == 0 ? 0 : fleet.Verified(bad_rollout), " of ", units, " verified"));
  }
  const WayBackResult result = watch->result();
  watch = nullptr;
  fleet.controller().Stop();
  return result;
}

absl::StatusOr<ReaperResult> RunReaper(FleetStore kind, uint32_t runs, uint32_t due) {
  Setting setting;
  RETURN_IF_ERROR(Prepare(kind, due, setting));
  ASSIGN_OR_RETURN(const std::unique_ptr<fleet::Store> store, setting.OpenStore());
  fleet::Documents documents("acme", setting.maker.assignment[0]);
  fleet::Verification verification(documents, {});
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  constexpr uint32_t kAtOnce = 50'000;
  for (uint32_t from = 0; from < runs; from += kAtOnce) {
    const absl::Status filled = store->Write("fill", [&](fleet::StoreTransaction& tx) -> absl::Status {
      for (uint32_t i = from; i < std::min(runs, from + kAtOnce); ++i) {
        fleet::DiagnosticRunRow run{.run_id = absl::StrCat("run-", i), .diagnostic = kDiagnostic, .timeout_secs = 60};
        run.unit = 1 + i % std::max<uint32_t>(due, 1);
        run.created_at = now;
        // The due ones are spread.
        run.deadline = due != 0 && i % (runs / due) == 0 ? now + 10 : now + 90;
        RETURN_IF_ERROR(fleet::DiagnosticRunTable(tx).Add(run).status());
      }
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(filled);
  }
  const auto pass = [&](int64_t at) -> absl::StatusOr<absl::Duration> {
    const absl::Time start = absl::Now();
    bool any = false;
    const absl::Status looked = store->Read("look", [&](fleet::StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(any, fleet::Verification::HasDue(tx, at));
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(looked);
    for (int done = any ? 500 : 0; done == 500;) {
      std::vector<fleet::VerdictTo> verdicts;
      const absl::Status reaped = store->Write("reap", [&](fleet::StoreTransaction& tx) -> absl::Status {
        ASSIGN_OR_RETURN(done, verification.Reap(tx, at, 500, verdicts));
        return absl::OkStatus();
      });
      RETURN_IF_ERROR(reaped);
    }
    return absl::Now() - start;
  };
  ReaperResult result;
  ASSIGN_OR_RETURN(result.none_due, pass(now));
  ASSIGN_OR_RETURN(result.some_due, pass(now + 20));
  return result;
}

absl::Status RunVerificationBench(const VerificationBenchOptions& options) {
  const uint32_t units = options.quick ? 1000 : 10'000;
  const uint32_t runs = options.quick ? 100'000 : 1'000'000;
  bool good = true;
  const auto within = [&](absl::Duration figure, double limit) {
    good = good && (limit == 0 || figure <= absl::Seconds(limit));
  };
  for (const FleetStore store : {FleetStore::kSqlite, FleetStore::kPostgres}) {
    if (options.quick && store == FleetStore::kPostgres) continue;
    ASSIGN_OR_RETURN(const WayBackResult back, RunWayBack(store, units));
    std::printf("%-10s verdict to first order back %.2f s, to the last of %llu %.1f s\n", Name(store).c_str(),
                absl::ToDoubleSeconds(back.first), static_cast<unsigned long long>(back.orders),
                absl::ToDoubleSeconds(back.last));
    std::fflush(stdout);
    ASSIGN_OR_RETURN(const ReaperResult reaper, RunReaper(store, runs, 1000));
    std::printf("%-10s reaper over %u runs: %.2f ms with none due, %.0f ms with 1,000 due\n", Name(store).c_str(), runs,
                absl::ToDoubleMilliseconds(reaper.none_due), absl::ToDoubleMilliseconds(reaper.some_due));
    std::fflush(stdout);
    within(back.first, options.max_first);
    within(back.last, options.max_last);
    within(reaper.some_due, options.max_reap);
  }
  return good ? absl::OkStatus() : absl::OutOfRangeError("a figure is above its limit");
}

}  // namespace tandem::bench
