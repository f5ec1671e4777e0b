// Brings orders to the broker: claims what is not published, publishes, and notes what the broker has. A claim is this
// controller's for a while; when it dies, another takes over what it left.
#ifndef TANDEM_FLEET_CONTROLLER_PUBLISHER_H_
#define TANDEM_FLEET_CONTROLLER_PUBLISHER_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "fleet/controller/documents.h"
#include "fleet/messaging/unit_link.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

struct PublisherOptions {
  // Unique among the controllers.
  std::string controller_id;
  // Longer than a broker takes to answer, or a controller to be restarted.
  absl::Duration claim = absl::Seconds(30);
  // Before an order that could not be published is tried again.
  absl::Duration retry = absl::Seconds(5);
  // In one transaction.
  int batch = 500;
};

// Not thread-safe, but for what the link calls back.
class Publisher {
 public:
  Publisher(Store& store, Documents& documents, UnitLink& link, PublisherOptions options, Clock& clock = Clock::Real())
      : store_(store), documents_(documents), link_(link), options_(std::move(options)), clock_(clock) {}

  // Claims, publishes and waits for the broker's answers; returns how many orders it has brought there. `now`: seconds.
  absl::StatusOr<int> PublishSome(int64_t now);

 private:
  struct Published {
    PublishClaim claim;
    std::string unit_id;
    // Empty: the unit's desired state is taken away.
    std::string documents;
    absl::Status status = absl::UnavailableError("the broker did not answer");
  };
  // Shared with callbacks that may come late.
  struct Answers {
    std::mutex mutex;
    std::condition_variable wake;
    size_t missing = 0;
    std::vector<Published> orders;
  };

  absl::StatusOr<std::vector<Published>> Claim(int64_t now);
  absl::Status Note(const std::vector<Published>& orders, int64_t now);

  Store& store_;
  Documents& documents_;
  UnitLink& link_;
  const PublisherOptions options_;
  Clock& clock_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_PUBLISHER_H_
