// A function with a stack of its own that can stop in the middle and go on later, all on one thread: what a simulation
// has instead of threads.
#ifndef TANDEM_TESTS_SIM_FIBER_H_
#define TANDEM_TESTS_SIM_FIBER_H_

#include <functional>
#include <memory>

namespace tandem::sim {

class Fiber {
 public:
  explicit Fiber(std::function<void()> work);
  // The work must have ended, or not have begun.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs it until its next Yield() or its end. A fiber may resume another one.
  void Resume();
  bool done() const { return done_; }

  // Back to whoever resumed the running fiber.
  static void Yield();
  // nullptr outside of any.
  static Fiber* Current();

 private:
  struct Context;
  static void Enter();

  std::function<void()> work_;
  std::unique_ptr<Context> context_;
  Fiber* resumed_by_ = nullptr;
  bool done_ = false;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_FIBER_H_
