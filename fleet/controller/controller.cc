#include "fleet/controller/controller.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/net/backoff.h"
#include "common/status/status.h"
#include "fleet/store/rollout_table.h"
#include "fleet/verification/run_outcome.h"

namespace tandem::fleet {
namespace {

constexpr int kScoreAtOnce = 500;
constexpr int kRefreshAtOnce = 250;
constexpr int64_t kStalePage = 20000;
constexpr int kFailuresAtOnce = 100;
constexpr int kReapAtOnce = 500;
constexpr absl::Duration kHousekeeping = absl::Seconds(10);
// Reads every unit.
constexpr int64_t kSweepSeconds = 180;
// A group that the store refuses so often, though it is there, holds something that it cannot store.
constexpr int kGroupTries = 3;

}  // namespace

Controller::Controller(ControllerParts parts, ControllerOptions options)
    : store_(parts.store),
      documents_(parts.documents),
      registry_(parts.registry),
      orders_(parts.orders),
      verification_(parts.verification),
      units_(parts.units),
      link_(parts.link),
      time_(parts.time),
      options_(std::move(options)) {}

Controller::~Controller() { Stop(); }

absl::Status Controller::Start() {
  const absl::Status read = store_.Write("begin", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(documents_.Refresh(tx));
    return AssignmentTable(tx).UnclaimAll(options_.publisher.controller_id);
  });
  RETURN_IF_ERROR(read);
  RETURN_IF_ERROR(link_.Start(
      {.message = [this](UnitMessage&& message) { return Offer(std::move(message)); },
       .connection =
           [](bool connected, const std::string& reason) {
             if (connected) {
               LogInfo("connected to the broker");
             } else {
               LogWarning("no connection to the broker", {{"reason", reason}});
             }
           },
       .unreadable =
           [](const std::string& unit_id, const std::string&, const absl::Status& status) {
             LogWarning("what a unit says cannot be read", {{"unit", unit_id}, {"reason", ToPersonText(status)}});
           }}));
  started_ = true;
  threads_.emplace_back([this] { TakeMessages(); });
  threads_.emplace_back([this] { MoveRollouts(); });
  threads_.emplace_back([this] { PublishOrders(); });
  threads_.emplace_back([this] { PublishDiagnostics(); });
  threads_.emplace_back([this] { KeepHouse(); });
  return absl::OkStatus();
}

void Controller::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (std::exchange(started_, false)) link_.Stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

ControllerFigures Controller::figures() const {
  return {.messages = messages_,
          .groups = groups_,
          .unknown = unknown_,
          .published = published_,
          .refused_by_store = refused_by_store_};
}

bool Controller::Sleep(absl::Duration duration) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, absl::ToChronoMilliseconds(duration), [this] { return stopping_; });
  return !stopping_;
}

// --- what units say ---

bool Controller::Offer(UnitMessage&& message) {
  std::lock_guard lock(mutex_);
  if (queue_.size() >= options_.queue || stopping_) return false;
  queue_.push_back(std::move(message));
  wake_.notify_all();
  return true;
}

std::vector<UnitMessage> Controller::NextGroup() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  std::vector<UnitMessage> group;
  if (stopping_) return group;
  const size_t size = std::min(options_.group, queue_.size());
  group.reserve(size);
  for (size_t i = 0; i < size; ++i) {
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  // Units are locked in one order, so that two controllers do not wait for each other crosswise; what one unit says
  // stays in its order.
  std::ranges::stable_sort(group, {}, &UnitMessage::unit_id);
  return group;
}

absl::Status Controller::TakeGroup(std::vector<UnitMessage>& group) {
  ReportIntake intake(documents_, registry_, verification_, options_.intake);
  ReportReplies replies;
  const absl::Status taken = store_.Write("store what units say", [&](StoreTransaction& tx) -> absl::Status {
    replies = {};
    const int64_t now = time_.Now();
    for (const UnitMessage& message : group) {
      RETURN_IF_ERROR(Annotate(intake.Take(tx, message, now, replies), absl::StrCat("unit ", message.unit_id)));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(taken);
  messages_ += group.size();
  ++groups_;
  unknown_ += static_cast<uint64_t>(replies.unknown);
  Answer(replies);
  return absl::OkStatus();
}

void Controller::TakeOneByOne(std::vector<UnitMessage>& group) {
  for (UnitMessage& message : group) {
    std::vector<UnitMessage> one;
    one.push_back(std::move(message));
    const absl::Status taken = TakeGroup(one);
    if (taken.ok()) continue;
    ++refused_by_store_;
    // Not acknowledged: the unit keeps it.
    LogError("what a unit says cannot be stored", {{"unit", one[0].unit_id}, {"reason", ToPersonText(taken)}});
  }
}

void Controller::Answer(const ReportReplies& replies) {
  std::map<std::string, std::vector<std::string>> acks;
  for (const ReportReplies::Ack& ack : replies.acks) acks[ack.unit_id].push_back(ack.msg_id);
  // What is lost here is asked for again.
  for (const auto& [unit_id, msg_ids] : acks) link_.Acknowledge(unit_id, msg_ids).IgnoreError();
  Answer(replies.verdicts);
}

void Controller::Answer(const std::vector<VerdictTo>& verdicts) {
  for (const VerdictTo& to : verdicts) {
    const absl::StatusOr<std::string> envelope = verification_.Seal(to, time_.Now());
    if (!envelope.ok()) {
      LogError("cannot sign a verdict", {{"unit", to.unit_id}, {"reason", ToPersonText(envelope.status())}});
      continue;
    }
    link_.PublishVerdict(to.unit_id, *envelope).IgnoreError();
  }
}

void Controller::TakeMessages() {
  Backoff backoff({.first = absl::Milliseconds(50), .max = absl::Seconds(5)});
  for (std::vector<UnitMessage> group = NextGroup(); !group.empty(); group = NextGroup()) {
    for (int tries = 1;; ++tries) {
      const absl::Status taken = TakeGroup(group);
      if (taken.ok()) break;
      if (tries == 1) LogError("cannot store what units say; it is tried again", {{"reason", ToPersonText(taken)}});
      // The store is there, and does not take it.
      const bool away = absl::IsUnavailable(taken) || absl::IsResourceExhausted(taken);
      if (!away && tries >= kGroupTries) {
        TakeOneByOne(group);
        break;
      }
      if (!Sleep(backoff.Next())) return;
    }
    backoff.Reset();
  }
}

// --- rollouts ---

bool Controller::LookAtRollouts(RolloutRunner& runner) {
  const int64_t now = time_.Now();
  bool more = false;
  std::vector<RolloutRow> active;
  absl::Status read = store_.Read("read the rollouts", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(documents_.Refresh(tx));
    ASSIGN_OR_RETURN(active, RolloutTable(tx).Active());
    return absl::OkStatus();
  });
  if (read.ok()) {
    const absl::StatusOr<bool> failures = LookAtFailures(runner, now);
    more = failures.ok() && *failures;
    read = failures.status();
  }
  if (const absl::StatusOr<int> scored = read.ok() ? runner.ScoreDue(now, kScoreAtOnce) : read; scored.ok()) {
    more = more || *scored == kScoreAtOnce;
  } else {
    LogError("cannot look after rollouts; it is tried again", {{"reason", ToPersonText(scored.status())}});
    Sleep(absl::Seconds(1));
    return false;
  }
  for (const RolloutRow& rollout : active) {
    const auto lock = store_.TryLock(absl::StrCat("rollout/", rollout.number));
    // Another controller looks at it.
    if (!lock.ok() || *lock == nullptr) continue;
    const absl::StatusOr<bool> looked = runner.Look(rollout.number, now);
    if (looked.ok()) {
      more = more || *looked;
      continue;
    }
    // An operator was quicker; the next look sees what became of it.
    if (absl::IsAborted(looked.status())) continue;
    LogError("cannot move a rollout on; it is tried again",
             {{"rollout", absl::StrCat(rollout.number)}, {"reason", ToPersonText(looked.status())}});
  }
  return more;
}

absl::StatusOr<bool> Controller::LookAtFailures(RolloutRunner& runner, int64_t now) {
  const auto lock = store_.TryLock("verification");
  // Another controller does.
  if (!lock.ok() || *lock == nullptr) return false;
  absl::StatusOr<bool> failures = runner.LookAtFailures(now, kFailuresAtOnce);
  if (failures.ok()) return failures;
  // An operator was quicker with one of the rollouts; the next look sees what became of it.
  if (!absl::IsAborted(failures.status())) {
    LogError("cannot act upon a failed verification; it is tried again", {{"reason", ToPersonText(failures.status())}});
  }
  // The rollouts must not wait for it.
  return false;
}

void Controller::MoveRollouts() {
  RolloutRunner runner(store_, documents_, orders_, verification_.options());
  do {
    const uint64_t seen = store_.writes();
    if (LookAtRollouts(runner)) continue;
    // Not for each message: a look reads every active rollout.
    if (!Sleep(options_.look_every / 5)) return;
    store_.WaitForWrite(seen, options_.look_every);
  } while (Sleep(absl::ZeroDuration()));
}

// --- orders ---

void Controller::PublishOrders() {
  Publisher publisher(store_, documents_, link_, options_.publisher);
  Backoff backoff({.first = absl::Milliseconds(200), .max = absl::Seconds(5)});
  do {
    const uint64_t seen = store_.writes();
    if (!link_.state().connected) {
      if (!Sleep(absl::Milliseconds(100))) return;
      continue;
    }
    const absl::StatusOr<int> published = publisher.PublishSome(time_.Now());
    if (!published.ok()) {
      LogError("cannot publish orders; it is tried again", {{"reason", ToPersonText(published.status())}});
      if (!Sleep(backoff.Next())) return;
      continue;
    }
    backoff.Reset();
    published_ += static_cast<uint64_t>(*published);
    if (*published == 0) store_.WaitForWrite(seen, options_.look_every);
  } while (Sleep(absl::ZeroDuration()));
}

void Controller::PublishDiagnostics() {
  DiagnosticPublisher publisher(store_, documents_, link_);
  Backoff backoff({.first = absl::Milliseconds(200), .max = absl::Seconds(5)});
  do {
    const uint64_t seen = store_.writes();
    if (!link_.state().connected || !documents_.trusted()->keys.has_value()) {
      if (!Sleep(absl::Milliseconds(100))) return;
      continue;
    }
    const absl::StatusOr<int> published = publisher.PublishSome(time_.Now());
    if (!published.ok()) {
      LogError("cannot publish diagnostics; it is tried again", {{"reason", ToPersonText(published.status())}});
      if (!Sleep(backoff.Next())) return;
      continue;
    }
    backoff.Reset();
    if (*published == 0) store_.WaitForWrite(seen, options_.look_every);
  } while (Sleep(absl::ZeroDuration()));
}

// --- house ---

absl::Status Controller::Reap(int64_t now) {
  bool storm_over = false;
  bool due = false;
  const absl::Status looked =
      store_.Read("look for diagnostics without an answer", [&](StoreTransaction& tx) -> absl::Status {
        ASSIGN_OR_RETURN(storm_over, units_.StormIsOver(tx, now));
        ASSIGN_OR_RETURN(due, Verification::HasDue(tx, now));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(looked);
  if (storm_over) {
    const absl::Status ended =
        store_.Write("end a storm", [&](StoreTransaction& tx) { return units_.EndStorm(tx, now); });
    RETURN_IF_ERROR(ended);
  }
  for (int looked_at = due ? kReapAtOnce : 0; looked_at == kReapAtOnce;) {
    std::vector<VerdictTo> verdicts;
    const absl::Status reaped =
        store_.Write("end diagnostics without an answer", [&](StoreTransaction& tx) -> absl::Status {
          verdicts.clear();
          ASSIGN_OR_RETURN(looked_at, verification_.Reap(tx, now, kReapAtOnce, verdicts));
          return absl::OkStatus();
        });
    RETURN_IF_ERROR(reaped);
    Answer(verdicts);
  }
  return absl::OkStatus();
}

absl::Status Controller::SweepStale(int64_t now) {
  const int64_t before = now - absl::ToInt64Seconds(options_.stale_after);
  int64_t last = 0;
  const absl::Status read = store_.Read("count the units", [&](StoreTransaction& tx) {
    return tx.sql.Query("SELECT COALESCE(MAX(number), 0) FROM units", {},
                        [&](const SqlRow& row) { last = row.Int(0); });
  });
  RETURN_IF_ERROR(read);
  // In pieces, so that messages do not wait for it.
  for (int64_t from = 0; from <= last; from += kStalePage) {
    const absl::Status swept = store_.Write("find stale units", [&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const int64_t stale,
                       tx.sql.Run("UPDATE units SET stale = 1 WHERE number > ?1 AND number <= ?2 AND stale = 0 AND "
                                  "online = 1 AND last_seen < ?3",
                                  {from, from + kStalePage, before}));
      tx.Count("stale", stale);
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(swept);
  }
  return absl::OkStatus();
}

void Controller::KeepHouse() {
  std::string key_sets;
  int64_t swept = 0;
  int64_t reaped = 0;
  do {
    const int64_t now = time_.Now();
    if (link_.state().connected) {
      const absl::StatusOr<std::string> json = documents_.KeySetsJson();
      if (json.ok() && !documents_.trusted()->key_set_envelopes.empty() && *json != key_sets) {
        link_.PublishKeySets(*json, [](const absl::Status&) {});
        key_sets = *json;
      }
    } else {
      // The broker may come back without them.
      key_sets.clear();
    }
    const auto lock = store_.TryLock("housekeeping");
    if (!lock.ok() || *lock == nullptr) continue;
    absl::Status status;
    if (documents_.CheckCanSign(now).ok()) {
      int refreshed = kRefreshAtOnce;
      while (status.ok() && refreshed == kRefreshAtOnce) {
        status = store_.Write("sign assignments anew", [&](StoreTransaction& tx) -> absl::Status {
          ASSIGN_OR_RETURN(refreshed, orders_.RefreshExpiring(tx, now, kRefreshAtOnce));
          return absl::OkStatus();
        });
      }
    }
    if (status.ok() && now - reaped >= kReapSeconds) {
      status = Reap(now);
      reaped = now;
    }
    if (status.ok() && now - swept >= kSweepSeconds) {
      status = SweepStale(now);
      swept = now;
    }
    if (!status.ok()) LogError("housekeeping failed; it is tried again", {{"reason", ToPersonText(status)}});
  } while (Sleep(kHousekeeping));
}

}  // namespace tandem::fleet
