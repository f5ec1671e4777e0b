// What units say, taken into the store: one message at a time, within a transaction of many.
//
// The order of arrival does not matter: reported and presence go by (epoch, seq) of the unit, feedback of one attempt
// as well, and what came before is only kept for reading. The same message twice changes nothing the second time.
#ifndef TANDEM_FLEET_CONTROLLER_REPORT_INTAKE_H_
#define TANDEM_FLEET_CONTROLLER_REPORT_INTAKE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/registry.h"
#include "fleet/controller/verification.h"
#include "fleet/messaging/unit_link.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/release/v1/diagnostic.pb.h"

namespace tandem::fleet {

struct ReportIntakeOptions {
  // A unit that nobody has registered is registered by its first report; else its messages wait until somebody does.
  bool open_registration = false;
  // How long what a unit said is kept.
  absl::Duration keep_events = absl::Hours(24 * 90);
};

// What is to be sent once the transaction is committed.
struct ReportReplies {
  struct Ack {
    std::string unit_id;
    std::string msg_id;
  };
  using VerdictTo = fleet::VerdictTo;
  std::vector<Ack> acks;
  std::vector<VerdictTo> verdicts;
  // Messages of units that are not registered, or were revoked.
  int unknown = 0;
};

// Not thread-safe.
class ReportIntake {
 public:
  ReportIntake(Documents& documents, Registry& registry, Verification& verification, ReportIntakeOptions options)
      : documents_(documents), registry_(registry), verification_(verification), options_(options) {}

  // INTERNAL and the like: the store failed, and the transaction must not be committed. What is wrong with a message is
  // no error here.
  absl::Status Take(StoreTransaction& tx, const UnitMessage& message, int64_t now, ReportReplies& replies);

 private:
  absl::Status TakeKnown(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit,
                         ReportReplies& replies);
  absl::Status TakeReported(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit,
                            ReportReplies& replies);
  absl::Status PublishAgainIfMissed(StoreTransaction& tx, int64_t sequence, int64_t now, UnitRow& unit);
  absl::Status TakeFeedback(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit);
  absl::Status TakeApplied(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit,
                           ReportReplies& replies);
  // It runs on trial what was ordered, and waits: its diagnostics decide, where there are any.
  absl::Status TakeProvisional(StoreTransaction& tx, const unit::v1::Applied& report, MessageOrder order, bool fresh,
                               int64_t now, UnitRow& unit, ReportReplies& replies);
  // The unit's newest attempt takes a step, if it means something there; what it has applied is verified.
  absl::Status StepAttempt(StoreTransaction& tx, UnitRow& unit, AttemptEvent event, std::optional<MessageOrder> order,
                           const std::string& reason, int64_t now);
  absl::Status CheckRunsDesired(StoreTransaction& tx, const UnitRow& unit, const std::string& hardware,
                                const google::protobuf::RepeatedPtrField<unit::v1::ComponentReport>& components,
                                const google::protobuf::RepeatedPtrField<unit::v1::PlaneReport>& planes);
  absl::Status SetRuns(StoreTransaction& tx, UnitRow& unit,
                       const google::protobuf::RepeatedPtrField<unit::v1::PlaneReport>& planes);

  Documents& documents_;
  Registry& registry_;
  Verification& verification_;
  const ReportIntakeOptions options_;
};

// What a state of a unit's feedback means for its attempt; nullopt: nothing.
std::optional<AttemptEvent> EventOfFeedback(const std::string& state);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_REPORT_INTAKE_H_
