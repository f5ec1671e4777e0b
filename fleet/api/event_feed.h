// Tells many listeners what has changed, and asks the store once for all of them.
//
//   EventFeed feed(store, [&] { return link.state().connected ? "connected" : "away"; });
//   ASSIGN_OR_RETURN(auto subscription, feed.Subscribe({.units = {"gw-17"}}));
//   while (const auto changed = subscription->Next(absl::Seconds(15))) …     {"fleet", "unit/gw-17"}; {}: nothing new
//
// It looks every 250 ms, and only while somebody listens; so what another controller of the same store did is told as
// soon as what this one did. Names that are not fetched add up: a slow listener misses nothing and costs nothing.
// Nothing is kept for those who are away: whoever comes (back) reads what it shows first, and listens then.
#ifndef TANDEM_FLEET_API_EVENT_FEED_H_
#define TANDEM_FLEET_API_EVENT_FEED_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/api/change_marks.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

// Thread-safe. The store must outlive it, and it its subscriptions.
class EventFeed {
 public:
  // Each holds a thread of the HTTP server.
  static constexpr int kMaxSubscriptions = 64;

  // `outside`: what belongs to the fleet's state and is not in the store, such as the broker's; compared as a text.
  EventFeed(Store& store, std::function<std::string()> outside, absl::Duration look_every = absl::Milliseconds(250));
  ~EventFeed();
  EventFeed(const EventFeed&) = delete;
  EventFeed& operator=(const EventFeed&) = delete;

  // For one thread.
  class Subscription {
   public:
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    // What has changed since the last call, as soon as there is something; {} after `timeout`. Nullopt: the feed has
    // ended. kEverythingChanged: the store did not answer for a while, or too much happened.
    std::optional<std::set<std::string>> Next(absl::Duration timeout);

   private:
    friend class EventFeed;
    Subscription(EventFeed& feed, Watched watched) : feed_(feed), watched_(std::move(watched)) {}
    EventFeed& feed_;
    const Watched watched_;
    // Under the feed's mutex.
    std::set<std::string> pending_;
  };

  // When it returns, the feed has looked: every later change is told. RESOURCE_EXHAUSTED: there are kMaxSubscriptions.
  // UNAVAILABLE: the feed has ended, or the store does not answer.
  absl::StatusOr<std::unique_ptr<Subscription>> Subscribe(Watched watched);

  // Ends all subscriptions, and refuses new ones.
  void Stop();

 private:
  void Run();
  // With lock_ held, which it lets go meanwhile.
  void Look(std::unique_lock<std::mutex>& lock);
  Watched AllWatched() const;

  Store& store_;
  const std::function<std::string()> outside_;
  const absl::Duration look_every_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::set<Subscription*> subscriptions_;
  // Rise with each subscription, and as far as the last look knew of them.
  uint64_t joined_ = 0;
  uint64_t looked_ = 0;
  bool store_answers_ = true;
  std::optional<ChangeMarks> marks_;
  std::string outside_was_;
  std::thread thread_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_EVENT_FEED_H_
