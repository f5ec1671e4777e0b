// The fleet's side of the link to its units as an interface: MQTT (mqtt_unit_link.h), and a fake for tests
// (fake_unit_link.h). Topics and delivery rules are in docs/cloud-messages.md.
//
// What units send again until it is acknowledged (feedback, provisional, applied, diagnostic results) is taken, stored
// in groups, and only then acknowledged with Acknowledge(). What is retained (reported, presence) needs no
// acknowledgement: only the latest one counts, and it is read again by a plain subscription after each reconnect.
#ifndef TANDEM_FLEET_MESSAGING_UNIT_LINK_H_
#define TANDEM_FLEET_MESSAGING_UNIT_LINK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/unit/v1/unit.pb.h"

namespace tandem::fleet {

struct UnitMessage {
  enum class Kind { kReported, kPresence, kFeedback, kProvisional, kApplied, kDiagnostic };
  Kind kind = Kind::kReported;
  // From the topic, whose writer the broker's access list has checked.
  std::string unit_id;
  std::string msg_id;
  // The unit's clock: shown, never used to decide.
  absl::Time sent_at;
  // What this unit says is ordered by (epoch, seq), whatever order it arrives in.
  uint64_t epoch = 0;
  uint64_t seq = 0;
  std::string boot_id;
  // Of kDiagnostic.
  std::string run_id;
  std::string triggered_by;
  // The alternative that belongs to `kind`; Applied also for kProvisional.
  std::variant<unit::v1::Reported, unit::v1::Presence, unit::v1::Feedback, unit::v1::Applied,
               unit::v1::DiagnosticResult>
      payload;
};

// Called from threads of the link; must be quick, must not throw, and must not call the link.
struct UnitLinkCallbacks {
  // False: no room just now. The link waits a little and offers it again; then it drops the message, which the unit
  // sends again when it has no acknowledgement.
  std::function<bool(UnitMessage&& message)> message;
  std::function<void(bool connected, const std::string& reason)> connection;
  // What came on a unit's topic is not what it should be. `msg_id` may be empty.
  std::function<void(const std::string& unit_id, const std::string& msg_id, const absl::Status& status)> unreadable;
};

struct UnitLinkState {
  bool connected = false;
  // Why not.
  std::string error;
  std::string endpoint;
  // Since the start.
  uint64_t received = 0;
  uint64_t unreadable = 0;
  // For want of room.
  uint64_t dropped = 0;
  uint64_t published = 0;
};

// Thread-safe.
class UnitLink {
 public:
  using Done = std::function<void(const absl::Status& status)>;

  virtual ~UnitLink() = default;

  // Connects in the background and stays connected until Stop(); an unreachable broker is no error.
  virtual absl::Status Start(UnitLinkCallbacks callbacks) = 0;
  // No callback and no Done comes after it.
  virtual void Stop() = 0;

  // The unit's retained desired state: the JSON of common/crypto/desired_documents.h. Does not wait: `done` comes on
  // another thread with OK once the broker has it, or with UNAVAILABLE / DEADLINE_EXCEEDED / PERMISSION_DENIED. At most
  // MaxInFlight() may be without an answer.
  virtual void PublishDesired(const std::string& unit_id, const std::string& documents, Done done) = 0;
  virtual int MaxInFlight() const = 0;
  // Takes the retained desired state away: nobody orders this unit to anything any more.
  virtual void ClearDesired(const std::string& unit_id, Done done) = 0;
  // Wakes the unit, which then looks at its retained desired state. Dropped by the broker after `expiry`.
  virtual absl::Status Wake(const std::string& unit_id, uint64_t sequence, absl::Duration expiry) = 0;
  // `envelope`: a DSSE envelope of a release.v1.Verdict.
  virtual absl::Status PublishVerdict(const std::string& unit_id, const std::string& envelope) = 0;
  // A DSSE envelope of a release.v1.DiagnosticCommand; dropped by the broker after `expiry`. As PublishDesired().
  virtual void PublishDiagnostic(const std::string& unit_id, const std::string& command, absl::Duration expiry,
                                 Done done) = 0;
  // To be called after what they said is stored.
  virtual absl::Status Acknowledge(const std::string& unit_id, const std::vector<std::string>& msg_ids) = 0;
  // The chain of key sets, retained for all units: the JSON of common/crypto/desired_documents.h.
  virtual void PublishKeySets(const std::string& key_sets, Done done) = 0;

  virtual UnitLinkState state() const = 0;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_MESSAGING_UNIT_LINK_H_
