// What the fleet's benchmarks run in: a broker, a store, controllers in processes of their own.
#ifndef TANDEM_TOOLS_BENCH_FLEET_SETTING_H_
#define TANDEM_TOOLS_BENCH_FLEET_SETTING_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/controller/documents.h"
#include "fleet/store/store.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/support/mosquitto.h"
#include "tests/support/postgres.h"
#include "tests/support/test_documents.h"
#include "tools/bench/fleet_bench.h"

namespace tandem::bench {

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
  SharedPage();
  ~SharedPage();
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
  explicit Child(const std::function<absl::Status()>& run);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  const pid_t pid_;
};

void Nap(absl::Duration time);
// False: not within `longest`.
bool WaitFor(const std::function<bool()>& done, absl::Duration longest);
absl::Duration ProcessCpu();
std::string Name(FleetStore store);

// A temporary one, gone with its owner.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string UnitId(uint32_t unit);
// What each unit says.
unit::v1::Reported Report();

// Everything of a fleet but its controllers.
struct Setting {
  Folder folder;
  std::unique_ptr<Postgres> postgres;
  std::string postgres_url;
  std::optional<Mosquitto> broker;
  TestMaker maker{"acme", absl::Now()};
  absl::Duration registration;

  absl::StatusOr<std::unique_ptr<fleet::Store>> OpenStore() const;
};

// Broker, store and key set, and so many units that are registered already and have said what they run.
absl::Status Prepare(FleetStore kind, uint32_t units, Setting& setting);

// A controller, until told to stop. `begin` works on the store when the controller is there.
absl::Status RunController(const Setting& setting, int number, Shared& shared,
                           const std::function<absl::Status(fleet::Store&, fleet::Documents&)>& begin);

}  // namespace tandem::bench

#endif  // TANDEM_TOOLS_BENCH_FLEET_SETTING_H_
