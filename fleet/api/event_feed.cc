#include "fleet/api/event_feed.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

// Longest wait for the first look of a new subscription.
constexpr std::chrono::seconds kFirstLook{5};
// Names that one subscription keeps.
constexpr size_t kMaxPending = 200;

}  // namespace

EventFeed::EventFeed(Store& store, std::function<std::string()> outside, absl::Duration look_every)
    : store_(store), outside_(std::move(outside)), look_every_(look_every), thread_([this] { Run(); }) {}

EventFeed::~EventFeed() {
  Stop();
  thread_.join();
}

void EventFeed::Stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

absl::StatusOr<std::unique_ptr<EventFeed::Subscription>> EventFeed::Subscribe(Watched watched) {
  std::unique_ptr<Subscription> subscription(new Subscription(*this, std::move(watched)));
  std::unique_lock lock(mutex_);
  if (subscriptions_.size() >= kMaxSubscriptions) {
    return absl::ResourceExhaustedError(absl::StrCat("this controller already has ", kMaxSubscriptions,
                                                     " event streams; close a page, or ask another controller"));
  }
  subscriptions_.insert(subscription.get());
  const uint64_t mine = ++joined_;
  changed_.notify_all();
  changed_.wait_for(lock, kFirstLook, [&] { return stopping_ || looked_ >= mine; });
  const bool good = !stopping_ && looked_ >= mine && store_answers_;
  const bool stopping = stopping_;
  // Its destructor takes the lock.
  lock.unlock();
  if (good) return subscription;
  return absl::UnavailableError(stopping ? "the controller ends; ask again" : "the store does not answer; try again");
}

EventFeed::Subscription::~Subscription() {
  std::lock_guard lock(feed_.mutex_);
  feed_.subscriptions_.erase(this);
}

std::optional<std::set<std::string>> EventFeed::Subscription::Next(absl::Duration timeout) {
  std::unique_lock lock(feed_.mutex_);
  feed_.changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                          [&] { return feed_.stopping_ || !pending_.empty(); });
  if (feed_.stopping_) return std::nullopt;
  return std::exchange(pending_, {});
}

void EventFeed::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (subscriptions_.empty()) {
      marks_.reset();
      changed_.wait(lock, [&] { return stopping_ || !subscriptions_.empty(); });
      continue;
    }
    Look(lock);
    // A new subscription is looked for at once.
    changed_.wait_for(lock, absl::ToChronoMilliseconds(look_every_), [&] { return stopping_ || joined_ > looked_; });
  }
}

void EventFeed::Look(std::unique_lock<std::mutex>& lock) {
  const uint64_t joined = joined_;
  const Watched watched = AllWatched();
  const int64_t audit = marks_.has_value() ? marks_->audit : 0;
  ChangeMarks now;
  lock.unlock();
  const absl::Status read = store_.Read("change marks", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(now, ReadChangeMarks(tx, watched, audit));
    return absl::OkStatus();
  });
  std::string outside = outside_ ? outside_() : "";
  lock.lock();

  std::set<std::string> names;
  if (read.ok()) {
    if (marks_.has_value()) names = Differences(*marks_, now);
    if (marks_.has_value() && outside != outside_was_) names.insert("fleet");
    if (!store_answers_) names = {std::string(kEverythingChanged)};
    marks_ = std::move(now);
    outside_was_ = std::move(outside);
  }
  store_answers_ = read.ok();
  for (Subscription* subscription : subscriptions_) {
    for (const std::string& name : names) {
      // Units that others look at are not this one's business.
      const bool others = name.starts_with("unit/") && !subscription->watched_.units.contains(name.substr(5));
      if (!others) subscription->pending_.insert(name);
    }
    if (subscription->pending_.size() > kMaxPending) subscription->pending_ = {std::string(kEverythingChanged)};
  }
  looked_ = joined;
  changed_.notify_all();
}

Watched EventFeed::AllWatched() const {
  Watched all;
  for (const Subscription* subscription : subscriptions_) {
    all.units.insert(subscription->watched_.units.begin(), subscription->watched_.units.end());
    all.rollouts.insert(subscription->watched_.rollouts.begin(), subscription->watched_.rollouts.end());
  }
  return all;
}

}  // namespace tandem::fleet
