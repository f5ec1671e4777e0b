// Rollouts and their attempts.
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "fleet/api/operations.h"
#include "fleet/api/page_token.h"
#include "fleet/api/views.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/rollout_table.h"

namespace tandem::fleet {
namespace {

constexpr int kMaxRolloutsOfAPage = 100;
constexpr int kMaxAttempts = 1000;
constexpr absl::Duration kMaxWait = absl::Seconds(60);
// Another controller's writes are not told here.
constexpr absl::Duration kLookEvery = absl::Seconds(1);
// A busy fleet writes hundreds of times a second; nobody reads that fast.
constexpr auto kLookAtMostEvery = std::chrono::milliseconds(50);

// -1: all.
absl::StatusOr<int64_t> RingOf(const std::vector<std::string>& names, const std::string& name) {
  if (name.empty()) return -1;
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) return found - names.begin();
  return absl::NotFoundError(
      absl::StrCat("the rollout has no ring \"", name, "\"; it has ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<std::optional<AttemptState>> StateOf(const std::string& name) {
  if (name.empty()) return std::nullopt;
  const std::optional<AttemptState> state = ParseAttemptState(name);
  if (state.has_value()) return state;
  std::vector<std::string> names;
  names.reserve(kAttemptStates);
  for (int i = 0; i < kAttemptStates; ++i) names.emplace_back(Name(static_cast<AttemptState>(i)));
  return absl::InvalidArgumentError(absl::StrCat("state \"", name, "\" is none of ", absl::StrJoin(names, ", ")));
}

// Counts up while it lives, when there is room.
class Seat {
 public:
  Seat(std::atomic<int>& taken, int seats) : taken_(taken), has_(taken.fetch_add(1) < seats) {}
  ~Seat() { taken_.fetch_sub(1); }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;
  bool has() const { return has_; }

 private:
  std::atomic<int>& taken_;
  const bool has_;
};

absl::Duration WaitOf(const v1::WatchRolloutRequest& request) {
  const absl::Duration asked = absl::Seconds(request.wait().seconds()) + absl::Nanoseconds(request.wait().nanos());
  return std::clamp(asked, absl::ZeroDuration(), kMaxWait);
}

}  // namespace

absl::StatusOr<v1::Rollout> Operations::RolloutView(StoreTransaction& tx, const RolloutRow& row) {
  ASSIGN_OR_RETURN(v1::Rollout view, parts_.rollouts.View(tx, row));
  view.set_change(ChangeOf(view));
  return view;
}

absl::StatusOr<v1::Rollout> Operations::ReadRollout(uint64_t id) {
  v1::Rollout view;
  const absl::Status read = parts_.store.Read("rollout", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const RolloutRow row, RolloutTable(tx).Get(static_cast<int64_t>(id)));
    ASSIGN_OR_RETURN(view, RolloutView(tx, row));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return view;
}

absl::StatusOr<v1::RolloutPlan> Operations::PlanRollout(const Caller&, const v1::PlanRolloutRequest& request) {
  v1::RolloutPlan plan;
  const int64_t now = parts_.time.Now();
  const absl::Status read = parts_.store.Read("plan", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(plan, parts_.rollouts.Plan(tx, request.spec(), now));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return plan;
}

absl::StatusOr<v1::Rollout> Operations::CreateRollout(const Caller& caller, const v1::CreateRolloutRequest& request) {
  v1::Rollout view;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("create rollout", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t number, parts_.rollouts.Create(tx, request.spec(), caller.actor, now));
    ASSIGN_OR_RETURN(const RolloutRow row, RolloutTable(tx).Get(number));
    ASSIGN_OR_RETURN(view, RolloutView(tx, row));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return view;
}

absl::StatusOr<v1::ListRolloutsResponse> Operations::ListRollouts(const Caller&,
                                                                  const v1::ListRolloutsRequest& request) {
  const std::string query = request.active() ? "active rollouts" : "rollouts";
  ASSIGN_OR_RETURN(const int64_t before, NumberPositionOf(request.page_token(), query));
  const int size = PageSize(request.page_size(), 50, kMaxRolloutsOfAPage);
  v1::ListRolloutsResponse response;
  const absl::Status read = parts_.store.Read("rollouts", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const auto rows, RolloutTable(tx).List(request.active(), before, size + 1));
    for (const RolloutRow& row : rows) {
      if (response.rollouts_size() == size) {
        response.set_next_page_token(MakePageToken(query, absl::StrCat(rows[static_cast<size_t>(size) - 1].number)));
        break;
      }
      ASSIGN_OR_RETURN(*response.add_rollouts(), RolloutView(tx, row));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return response;
}

absl::StatusOr<v1::Rollout> Operations::GetRollout(const Caller&, const v1::GetRolloutRequest& request) {
  return ReadRollout(request.id());
}

absl::StatusOr<v1::Rollout> Operations::WatchRollout(const Caller&, const v1::WatchRolloutRequest& request) {
  const Seat seat(watchers_, kMaxWatchers);
  if (!seat.has()) {
    return absl::ResourceExhaustedError(absl::StrCat("this controller already has ", kMaxWatchers,
                                                     " calls that wait; try again in a second, or use GetRollout"));
  }
  const absl::Time end = absl::Now() + WaitOf(request);
  for (;;) {
    if (stopping_) return absl::UnavailableError("the controller ends; ask again");
    // Before the look: what is written meanwhile ends the wait at once.
    const uint64_t writes = parts_.store.writes();
    ASSIGN_OR_RETURN(v1::Rollout view, ReadRollout(request.id()));
    const absl::Duration left = end - absl::Now();
    if (view.change() != request.seen_change() || left <= absl::ZeroDuration()) return view;
    parts_.store.WaitForWrite(writes, std::min(left, kLookEvery));
    std::this_thread::sleep_for(kLookAtMostEvery);
  }
}

absl::StatusOr<v1::Rollout> Operations::ChangeRollout(const Caller& caller, const v1::ChangeRolloutRequest& request) {
  v1::Rollout view;
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("change rollout", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(parts_.rollouts.Change(tx, request, caller.actor, now));
    // Counters are written with the commit.
    RETURN_IF_ERROR(tx.WriteCounts());
    ASSIGN_OR_RETURN(const RolloutRow row, RolloutTable(tx).Get(static_cast<int64_t>(request.id())));
    ASSIGN_OR_RETURN(view, RolloutView(tx, row));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return view;
}

absl::StatusOr<v1::ListAttemptsResponse> Operations::ListAttempts(const Caller&,
                                                                  const v1::ListAttemptsRequest& request) {
  ASSIGN_OR_RETURN(const std::optional<AttemptState> state, StateOf(request.state()));
  const std::string query = absl::StrCat("attempts\n", request.rollout(), "\n", request.state(), "\n", request.ring());
  ASSIGN_OR_RETURN(const int64_t after, NumberPositionOf(request.page_token(), query));
  const int size = PageSize(request.page_size(), 100, kMaxAttempts);
  const auto rollout = static_cast<int64_t>(request.rollout());
  v1::ListAttemptsResponse response;
  const absl::Status read = parts_.store.Read("attempts", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    Views views(tx);
    ASSIGN_OR_RETURN(const std::vector<std::string> names, views.RingNames(rollout));
    ASSIGN_OR_RETURN(const int64_t ring, RingOf(names, request.ring()));
    ASSIGN_OR_RETURN(const auto rows, AttemptTable(tx).List(rollout, ring, state, after, size + 1));
    for (const AttemptRow& row : rows) {
      if (response.attempts_size() == size) {
        response.set_next_page_token(MakePageToken(query, absl::StrCat(rows[static_cast<size_t>(size) - 1].number)));
        break;
      }
      ASSIGN_OR_RETURN(*response.add_attempts(), views.Of(row));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return response;
}

}  // namespace tandem::fleet
