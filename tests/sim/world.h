// Virtual time, chance and the order of things: all of it follows from the seed.
#ifndef TANDEM_TESTS_SIM_WORLD_H_
#define TANDEM_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/time/clock.h"
#include "common/time/event_loop.h"
#include "common/time/workers.h"
#include "tests/sim/fiber.h"

namespace tandem::sim {

class SimClock;

class World {
 public:
  World(uint64_t seed, bool tells) : random_(seed), tells_(tells) {}

  absl::Duration now() const { return now_; }
  void After(absl::Duration delay, std::function<void()> then);
  // Their tasks and timers are run, too.
  void AddLoop(EventLoop& loop, SimClock& clock) { loops_.push_back({&loop, &clock}); }
  void RemoveLoop(EventLoop& loop);
  // Everything that is due now, and then to the next instant. False: nothing is left to happen before `end`.
  bool Step(absl::Duration end);

  bool Chance(double probability) { return Between(0, 999'999) < probability * 1'000'000; }
  uint64_t Between(uint64_t low, uint64_t high) { return low + random_() % (high - low + 1); }
  absl::Duration Between(absl::Duration low, absl::Duration high);

  // A line of the story, which is only told when somebody wants to read it.
  template <typename... Parts>
  void Tell(const Parts&... parts);
  bool tells() const { return tells_; }
  const std::vector<std::string>& story() const { return story_; }

 private:
  struct Due {
    absl::Duration at;
    uint64_t order;
    std::function<void()> then;
  };
  struct Loop {
    EventLoop* loop;
    SimClock* clock;
  };
  static bool Later(const Due& a, const Due& b) { return std::pair(a.at, a.order) > std::pair(b.at, b.order); }
  void RunLoops();
  void AddLine(std::string text);

  std::vector<Due> due_;
  std::vector<Loop> loops_;
  absl::Duration now_;
  uint64_t order_ = 0;
  std::mt19937_64 random_;
  const bool tells_;
  std::vector<std::string> story_;
};

// The clock of one computer. A job that sleeps lets the world go on without it.
class SimClock : public Clock {
 public:
  explicit SimClock(World& world) : world_(world) {}

  absl::Time Now() override { return start_ + world_.now() + wall_offset_; }
  absl::Duration Monotonic() override { return world_.now() + monotonic_offset_; }
  void Sleep(absl::Duration duration) override;

  // The time of day leaps.
  void Leap(absl::Duration by) { wall_offset_ += by; }
  // The computer slept: every process on it finds that time went by at once.
  void Suspend(absl::Duration length) {
    wall_offset_ += length;
    monotonic_offset_ += length;
  }
  absl::Duration monotonic_offset() const { return monotonic_offset_; }

 private:
  World& world_;
  const absl::Time start_ = absl::FromUnixSeconds(1'800'000'000);
  absl::Duration wall_offset_;
  absl::Duration monotonic_offset_;
};

// The work of one process, as fibers.
class SimWorkers : public Workers {
 public:
  explicit SimWorkers(World& world) : world_(world) {}

  std::unique_ptr<Worker> Start(std::function<void()> work) override;
  void Wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, absl::Duration at_most) override;

  // The process is about to end: its work no longer waits for anything.
  void Hurry() { hurries_ = true; }

  // Of the fiber that runs, for `duration`.
  static void Sleep(absl::Duration duration);

 private:
  struct Job;
  class JobWorker;
  static void Wake(const std::shared_ptr<Job>& job, absl::Duration delay);

  World& world_;
  bool hurries_ = false;
};

template <typename... Parts>
void World::Tell(const Parts&... parts) {
  if (!tells_) return;
  std::string text;
  (text.append(parts), ...);
  AddLine(std::move(text));
}

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_WORLD_H_
