// Attempts, and the documents that order units: who was ordered to what, and what the broker does not have yet.
#ifndef TANDEM_FLEET_STORE_ATTEMPT_TABLE_H_
#define TANDEM_FLEET_STORE_ATTEMPT_TABLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

// "ring/{rollout}/{ring}/": what the counters below begin with.
std::string RingCounterPrefix(int64_t rollout, int64_t ring);
// "ring/{rollout}/": of all its rings.
std::string AllRingsCounterPrefix(int64_t rollout);

// Counters per ring: "{state}" of forward attempts; "{kind}/{state}" of others; "controls"; "score/pass" and
// "score/fail"; and for scored units whose control is scored too "pair/{unit failed}{control failed}".
class AttemptTable {
 public:
  explicit AttemptTable(StoreTransaction& tx) : tx_(tx) {}

  // Its number. Nullopt: the unit has one of this rollout, kind and try already.
  absl::StatusOr<std::optional<int64_t>> Add(const AttemptRow& attempt);
  absl::StatusOr<AttemptRow> Get(int64_t number, bool lock);
  // What differs from `before`, which was read in this transaction; keeps the counters.
  absl::Status Save(const AttemptRow& before, const AttemptRow& after);

  // Forward attempts of a ring in one state, oldest first.
  absl::StatusOr<std::vector<AttemptRow>> InState(int64_t rollout, int64_t ring, AttemptKind kind, AttemptState state,
                                                  int64_t after, int limit);
  // All forward attempts of a rollout that are queued, at once: cancelled, or superseded.
  absl::Status CloseQueued(int64_t rollout, int rings, AttemptState to, const std::string& reason, int64_t now);
  // Forward attempts of a rollout that were ordered, are in one of `states` and were not taken back yet, by number from
  // above `after`.
  absl::StatusOr<std::vector<AttemptRow>> ToTakeBack(int64_t rollout, std::vector<AttemptState> states, int64_t after,
                                                     int limit);
  // Whether Due() would find any.
  absl::StatusOr<bool> HasDue(int64_t now);
  // Whose age to be scored has come; locked, without those that somebody else works on.
  absl::StatusOr<std::vector<AttemptRow>> Due(int64_t now, int limit);
  // Newest first.
  absl::StatusOr<std::vector<AttemptRow>> OfUnit(int64_t unit, int limit);
  // The unit's newest one of this rollout, if any.
  absl::StatusOr<std::optional<AttemptRow>> OfUnitInRollout(int64_t unit, int64_t rollout);
  absl::StatusOr<std::optional<AttemptRow>> Find(int64_t rollout, int64_t unit, AttemptKind kind, int64_t tries);
  // For pages: above number `after`; ring < 0: all; state unset: all.
  absl::StatusOr<std::vector<AttemptRow>> List(int64_t rollout, int64_t ring, std::optional<AttemptState> state,
                                               int64_t after, int limit);
  // The same, of those that were ever verified.
  absl::StatusOr<std::vector<AttemptRow>> Verified(int64_t rollout, std::optional<AttemptState> state, int64_t after,
                                                   int limit);
  // Whether the unit is a member of any ring of the rollout.
  absl::StatusOr<bool> IsMember(int64_t rollout, int64_t unit);
  // Open attempts of all rings: for limits over a whole rollout.
  absl::StatusOr<int64_t> CountOpen(int64_t rollout);

 private:
  absl::StatusOr<std::vector<AttemptRow>> Select(const std::string& where, std::initializer_list<SqlValue> values);

  StoreTransaction& tx_;
};

struct AssignmentRow {
  int64_t unit = 0;
  int64_t sequence = 0;
  int64_t expires = 0;
  std::string envelope;
};

struct PublishClaim {
  int64_t unit = 0;
  int64_t sequence = 0;
};

// The newest assignment of each unit, and the queue of those that the broker does not have.
class AssignmentTable {
 public:
  explicit AssignmentTable(StoreTransaction& tx) : tx_(tx) {}

  // The unit's new order, and its place in the queue. A claim of the one before goes on: see Claim().
  absl::Status Put(const AssignmentRow& assignment);
  // Nothing is ordered any more: the queue gets an empty document.
  absl::Status Clear(int64_t unit, int64_t sequence);
  absl::StatusOr<std::optional<AssignmentRow>> Get(int64_t unit);
  // Of units that expire before `time`, soonest first.
  absl::StatusOr<std::vector<AssignmentRow>> Expiring(int64_t time, int limit);
  // Publishes it once more.
  absl::Status Enqueue(int64_t unit, int64_t sequence);

  // Claim() would find something.
  absl::StatusOr<bool> HasUnclaimed(int64_t now);
  // Up to `limit` units that nobody has claimed, for `claimant` until `until`: nobody else publishes for them before
  // then, so the orders of one unit reach the broker in their order.
  absl::StatusOr<std::vector<PublishClaim>> Claim(const std::string& claimant, int64_t now, int64_t until, int limit);
  // The broker has `sequence`. When it is the newest, the unit leaves the queue (true); otherwise its claim ends.
  absl::StatusOr<bool> Published(const PublishClaim& claim, const std::string& claimant);
  // It could not be published: somebody may try again at `at`.
  absl::Status Unclaim(int64_t unit, const std::string& claimant, int64_t at);
  // Of a controller that starts again under its name.
  absl::Status UnclaimAll(const std::string& claimant);
  absl::StatusOr<int64_t> QueueLength();

 private:
  StoreTransaction& tx_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_ATTEMPT_TABLE_H_
