#include "common/net/pending_publishes.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

constexpr absl::Duration kLongestWait = absl::Hours(1);

// Of the monotonic clock, which nobody sets.
absl::Time Monotonic() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

PendingPublishes::~PendingPublishes() { Stop(); }

uint64_t PendingPublishes::Add(absl::Duration timeout, Done done) {
  std::lock_guard lock(mutex_);
  const uint64_t id = next_id_++;
  if (stopping_) return id;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  const absl::Time deadline = Monotonic() + timeout;
  waiting_.emplace(id, Waiting{deadline, std::move(done)});
  deadlines_.emplace(deadline, id);
  if (deadlines_.begin()->second == id) wake_.notify_all();
  return id;
}

void PendingPublishes::Answer(std::map<uint64_t, Waiting>::iterator waiting, absl::Status status) {
  auto [first, last] = deadlines_.equal_range(waiting->second.deadline);
  for (; first != last; ++first) {
    if (first->second != waiting->first) continue;
    deadlines_.erase(first);
    break;
  }
  answers_.emplace_back(std::move(waiting->second.done), std::move(status));
  waiting_.erase(waiting);
  wake_.notify_all();
}

void PendingPublishes::Complete(uint64_t id, absl::Status status) {
  std::lock_guard lock(mutex_);
  if (const auto found = waiting_.find(id); found != waiting_.end()) Answer(found, std::move(status));
}

void PendingPublishes::CompleteAll(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  while (!waiting_.empty()) Answer(waiting_.begin(), status);
}

void PendingPublishes::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const absl::Time now = Monotonic();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      Answer(waiting_.find(deadlines_.begin()->second),
             absl::DeadlineExceededError("the broker did not acknowledge in time"));
    }
    if (!answers_.empty()) {
      std::deque<std::pair<Done, absl::Status>> answers = std::exchange(answers_, {});
      lock.unlock();
      for (const auto& [done, status] : answers) done(status);
      answers.clear();
      lock.lock();
      continue;
    }
    if (stopping_) return;
    if (deadlines_.empty()) {
      wake_.wait(lock);
    } else {
      // One that never comes would not fit into the library's numbers.
      wake_.wait_for(lock, absl::ToChronoNanoseconds(std::min(deadlines_.begin()->first - now, kLongestWait)));
    }
  }
}

void PendingPublishes::Stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    while (!waiting_.empty()) Answer(waiting_.begin(), absl::UnavailableError("the client was stopped"));
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace tandem
