#include "common/time/workers.h"

#include <thread>
#include <utility>

namespace tandem {
namespace {

class ThreadWorker : public Worker {
 public:
  explicit ThreadWorker(std::function<void()> work) : thread_(std::move(work)) {}
  ~ThreadWorker() override { ThreadWorker::Join(); }

  void Join() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

class ThreadWorkers : public Workers {
 public:
  std::unique_ptr<Worker> Start(std::function<void()> work) override {
    return std::make_unique<ThreadWorker>(std::move(work));
  }
  void Wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, absl::Duration at_most) override {
    changed.wait_for(lock, absl::ToChronoNanoseconds(at_most));
  }
};

}  // namespace

Workers& Workers::Threads() {
  static ThreadWorkers* const workers = new ThreadWorkers;
  return *workers;
}

}  // namespace tandem
