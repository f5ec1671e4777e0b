// Brings diagnostic commands to the broker: claims what is to be published, signs, publishes, and notes what the broker
// has. What a controller leaves when it dies is published by another half a minute later; units run the same command
// once.
#ifndef TANDEM_FLEET_CONTROLLER_DIAGNOSTIC_PUBLISHER_H_
#define TANDEM_FLEET_CONTROLLER_DIAGNOSTIC_PUBLISHER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/controller/documents.h"
#include "fleet/messaging/unit_link.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

// Not thread-safe, but for what the link calls back.
class DiagnosticPublisher {
 public:
  DiagnosticPublisher(Store& store, Documents& documents, UnitLink& link)
      : store_(store), documents_(documents), link_(link) {}

  // Publishes what is due, without waiting for the broker's answers, and notes those that have come since; returns how
  // many it published.
  absl::StatusOr<int> PublishSome(int64_t now);

 private:
  struct Command {
    DiagnosticRunRow run;
    std::string unit_id;
    std::string release_digest;
  };
  // Claims of what the broker has; shared with callbacks that may come late.
  struct Answers {
    std::mutex mutex;
    std::vector<std::pair<int64_t, int64_t>> published;
  };

  absl::Status NoteAnswers();
  absl::StatusOr<std::vector<Command>> Claim(int64_t now);
  absl::StatusOr<std::string> Seal(const Command& command, int64_t now) const;

  Store& store_;
  Documents& documents_;
  UnitLink& link_;
  std::shared_ptr<Answers> answers_ = std::make_shared<Answers>();
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_DIAGNOSTIC_PUBLISHER_H_
