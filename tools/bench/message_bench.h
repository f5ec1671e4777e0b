// What a message of a unit costs the fleet: from the bytes of the broker to a UnitMessage, next to the general way (a
// JSON document, its text again, protobuf's own reader).
#ifndef TANDEM_TOOLS_BENCH_MESSAGE_BENCH_H_
#define TANDEM_TOOLS_BENCH_MESSAGE_BENCH_H_

#include <cstddef>

#include "absl/time/time.h"

namespace tandem::bench {

struct MessageBenchResult {
  // Of the report that is read: five components, three planes, attributes.
  size_t bytes = 0;
  // Medians of CPU time for one.
  absl::Duration ours;
  absl::Duration general;
};

// With the code of fleet/messaging, on this machine; takes about a second.
MessageBenchResult RunMessageBench();

}  // namespace tandem::bench

#endif  // TANDEM_TOOLS_BENCH_MESSAGE_BENCH_H_
