// The outbox of a simulated unit, in memory, which counts what is said, said again and acknowledged.
#ifndef TANDEM_TOOLS_FLEET_SIM_COUNTING_OUTBOX_H_
#define TANDEM_TOOLS_FLEET_SIM_COUNTING_OUTBOX_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cm/cloud/memory_outbox.h"
#include "tools/fleet-sim/world.h"

namespace tandem::fleetsim {

// As Outbox says. `figures` must outlive it.
class CountingOutbox : public cm::MemoryOutbox {
 public:
  CountingOutbox(cm::OutboxOptions options, Figures& figures) : MemoryOutbox(options), figures_(figures) {}

  absl::Status Add(const cm::OutboxMessage& message) override {
    const uint64_t before = size();
    const absl::Status status = MemoryOutbox::Add(message);
    fresh_ += size() - before;
    figures_.queued += size() - before;
    return status;
  }
  absl::StatusOr<std::vector<cm::OutboxMessage>> TakeDue(absl::Duration now, int limit) override {
    absl::StatusOr<std::vector<cm::OutboxMessage>> due = MemoryOutbox::TakeDue(now, limit);
    if (due.ok()) {
      const uint64_t first = std::min<uint64_t>(due->size(), std::exchange(fresh_, 0));
      figures_.resent += due->size() - first;
    }
    return due;
  }
  absl::Status Acknowledge(const std::vector<std::string>& msg_ids) override {
    const uint64_t before = size();
    const absl::Status status = MemoryOutbox::Acknowledge(msg_ids);
    figures_.acknowledged += before - size();
    return status;
  }

 private:
  Figures& figures_;
  // Added since messages were last taken.
  uint64_t fresh_ = 0;
};

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_COUNTING_OUTBOX_H_
