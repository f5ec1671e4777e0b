// A controller: takes what units say, moves rollouts on, and brings orders to the broker. It keeps nothing that is not
// in the store: any number of them share one PostgreSQL, and each may be killed at any instant.
//
//   Controller controller(store, documents, link, time, options);
//   RETURN_IF_ERROR(controller.Start());
//   …
//   controller.Stop();
#ifndef TANDEM_FLEET_CONTROLLER_CONTROLLER_H_
#define TANDEM_FLEET_CONTROLLER_CONTROLLER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/controller/diagnostic_publisher.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/fleet_time.h"
#include "fleet/controller/orders.h"
#include "fleet/controller/publisher.h"
#include "fleet/controller/registry.h"
#include "fleet/controller/report_intake.h"
#include "fleet/controller/rollout_runner.h"
#include "fleet/controller/unit_operations.h"
#include "fleet/controller/verification.h"
#include "fleet/messaging/unit_link.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

// What controllers work with; outlives them. Thread-safe, all of it.
struct ControllerParts {
  Store& store;
  Documents& documents;
  Registry& registry;
  Orders& orders;
  Verification& verification;
  UnitOperations& units;
  UnitLink& link;
  FleetTime& time;
};

struct ControllerOptions {
  // Unique among the controllers of one store.
  std::string controller_id;
  ReportIntakeOptions intake;
  PublisherOptions publisher;
  // Not heard of for so long, without a goodbye: stale. Three heartbeats.
  absl::Duration stale_after = absl::Minutes(15);
  // Messages that are stored in one transaction, and that may wait for one.
  size_t group = 512;
  size_t queue = 20000;
  // Between two looks at rollouts when nothing happens.
  absl::Duration look_every = absl::Milliseconds(500);
};

struct ControllerFigures {
  // Since the start.
  uint64_t messages = 0;
  uint64_t groups = 0;
  uint64_t unknown = 0;
  uint64_t published = 0;
  uint64_t refused_by_store = 0;
};

// Thread-safe.
class Controller {
 public:
  Controller(ControllerParts parts, ControllerOptions options);
  // As Stop().
  ~Controller();

  absl::Status Start();
  void Stop();

  ControllerFigures figures() const;

 private:
  // Each runs on a thread of its own until Stop().
  void TakeMessages();
  void MoveRollouts();
  void PublishOrders();
  void PublishDiagnostics();
  void KeepHouse();

  bool Offer(UnitMessage&& message);
  // Empty after Stop().
  std::vector<UnitMessage> NextGroup();
  absl::Status TakeGroup(std::vector<UnitMessage>& group);
  // What cannot be stored in a group is tried alone, and given up with a clear word.
  void TakeOneByOne(std::vector<UnitMessage>& group);
  void Answer(const ReportReplies& replies);
  void Answer(const std::vector<VerdictTo>& verdicts);
  // True: there is more to do at once.
  bool LookAtRollouts(RolloutRunner& runner);
  absl::StatusOr<bool> LookAtFailures(RolloutRunner& runner, int64_t now);
  absl::Status SweepStale(int64_t now);
  // Diagnostics without an answer, and the storm guard's end.
  absl::Status Reap(int64_t now);
  // False after Stop().
  bool Sleep(absl::Duration duration);

  Store& store_;
  Documents& documents_;
  Registry& registry_;
  Orders& orders_;
  Verification& verification_;
  UnitOperations& units_;
  UnitLink& link_;
  FleetTime& time_;
  const ControllerOptions options_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<UnitMessage> queue_;
  bool stopping_ = false;
  bool started_ = false;
  std::vector<std::thread> threads_;

  std::atomic<uint64_t> messages_ = 0;
  std::atomic<uint64_t> groups_ = 0;
  std::atomic<uint64_t> unknown_ = 0;
  std::atomic<uint64_t> published_ = 0;
  std::atomic<uint64_t> refused_by_store_ = 0;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_CONTROLLER_H_
