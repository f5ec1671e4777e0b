#include "tests/sim/world.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem::sim {
namespace {

// Work that does not end when its process does is a defect of its own.
constexpr int kMostResumes = 100'000;

}  // namespace

void World::After(absl::Duration delay, std::function<void()> then) {
  due_.push_back({.at = now_ + delay, .order = order_++, .then = std::move(then)});
  std::push_heap(due_.begin(), due_.end(), Later);
}

void World::RemoveLoop(EventLoop& loop) {
  std::erase_if(loops_, [&](const Loop& one) { return one.loop == &loop; });
}

void World::RunLoops() {
  for (bool ran = true; ran;) {
    ran = false;
    for (size_t i = 0; i < loops_.size(); ++i) ran = loops_[i].loop->RunReady() > 0 || ran;
  }
}

bool World::Step(absl::Duration end) {
  RunLoops();
  absl::Duration next = due_.empty() ? absl::InfiniteDuration() : due_.front().at;
  for (const Loop& one : loops_) next = std::min(next, one.loop->NextTimer() - one.clock->monotonic_offset());
  if (next > end) {
    now_ = end;
    return false;
  }
  now_ = std::max(now_, next);
  if (!due_.empty() && due_.front().at <= now_) {
    std::pop_heap(due_.begin(), due_.end(), Later);
    const Due due = std::move(due_.back());
    due_.pop_back();
    due.then();
  }
  RunLoops();
  return true;
}

absl::Duration World::Between(absl::Duration low, absl::Duration high) {
  const int64_t span = absl::ToInt64Microseconds(high - low);
  return low + absl::Microseconds(static_cast<int64_t>(random_() % static_cast<uint64_t>(span + 1)));
}

void World::AddLine(std::string text) {
  story_.push_back(absl::StrCat(absl::FormatDuration(absl::Trunc(now_, absl::Milliseconds(1))), "  ", text));
}

void SimClock::Sleep(absl::Duration duration) { SimWorkers::Sleep(duration); }

struct SimWorkers::Job : std::enable_shared_from_this<Job> {
  Job(World& of_world, const bool& process_ends, std::function<void()> work)
      : world(of_world), hurries(process_ends), fiber(std::move(work)) {}

  void Resume() {
    Job* const before = std::exchange(running, this);
    fiber.Resume();
    running = before;
  }

  World& world;
  const bool& hurries;
  Fiber fiber;
  // A sleep that was cut short is not ended again.
  uint64_t sleeps = 0;
  static thread_local Job* running;
};

thread_local SimWorkers::Job* SimWorkers::Job::running = nullptr;

class SimWorkers::JobWorker : public Worker {
 public:
  explicit JobWorker(std::shared_ptr<Job> job) : job_(std::move(job)) {}
  ~JobWorker() override { JobWorker::Join(); }

  void Join() override {
    for (int resumes = 0; !job_->fiber.done(); ++resumes) {
      if (resumes > kMostResumes) std::abort();
      const bool may_wait = Fiber::Current() != nullptr && !job_->hurries;
      may_wait ? Sleep(absl::Milliseconds(5)) : job_->Resume();
    }
  }

 private:
  std::shared_ptr<Job> job_;
};

void SimWorkers::Wake(const std::shared_ptr<Job>& job, absl::Duration delay) {
  job->world.After(delay, [weak = std::weak_ptr<Job>(job), sleep = ++job->sleeps] {
    const std::shared_ptr<Job> slept = weak.lock();
    if (slept != nullptr && slept->sleeps == sleep && !slept->fiber.done()) slept->Resume();
  });
}

std::unique_ptr<Worker> SimWorkers::Start(std::function<void()> work) {
  auto job = std::make_shared<Job>(world_, hurries_, std::move(work));
  Wake(job, world_.Between(absl::Microseconds(50), absl::Milliseconds(5)));
  return std::make_unique<JobWorker>(std::move(job));
}

void SimWorkers::Wait(std::unique_lock<std::mutex>& lock, std::condition_variable&, absl::Duration at_most) {
  lock.unlock();
  Sleep(at_most);
  lock.lock();
}

void SimWorkers::Sleep(absl::Duration duration) {
  Job* const job = Job::running;
  if (job == nullptr || job->hurries) return;
  Wake(job->shared_from_this(), duration);
  Fiber::Yield();
}

}  // namespace tandem::sim
