#include "tests/sim/fiber.h"

#include <ucontext.h>

#include <cstdlib>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace tandem::sim {
namespace {

constexpr size_t kStackSize = 256 << 10;

thread_local Fiber* current = nullptr;
// Stacks are used again: there are a few at a time, and many in a campaign.
thread_local std::vector<std::unique_ptr<char[]>> free_stacks;

}  // namespace

struct Fiber::Context {
  std::unique_ptr<char[]> stack;
  ucontext_t inside{};
  ucontext_t outside{};
  bool begun = false;
#if defined(__SANITIZE_ADDRESS__)
  void* outside_fake_stack = nullptr;
  void* inside_fake_stack = nullptr;
  const void* outside_bottom = nullptr;
  size_t outside_size = 0;
#endif
#if defined(__SANITIZE_THREAD__)
  void* inside_thread = nullptr;
  void* outside_thread = nullptr;
#endif
};

Fiber::Fiber(std::function<void()> work) : work_(std::move(work)) {}

Fiber::~Fiber() {
  if (context_ != nullptr && !done_) std::abort();
}

Fiber* Fiber::Current() { return current; }

void Fiber::Enter() {
  Fiber* const fiber = current;
  Context& context = *fiber->context_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &context.outside_bottom, &context.outside_size);
#endif
  fiber->work_();
  fiber->work_ = nullptr;
  fiber->done_ = true;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, context.outside_bottom, context.outside_size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(context.outside_thread, 0);
#endif
  setcontext(&context.outside);
}

void Fiber::Resume() {
  if (done_) return;
  if (context_ == nullptr) {
    context_ = std::make_unique<Context>();
    if (free_stacks.empty()) {
      context_->stack = std::make_unique_for_overwrite<char[]>(kStackSize);
    } else {
      context_->stack = std::move(free_stacks.back());
      free_stacks.pop_back();
    }
    getcontext(&context_->inside);
    context_->inside.uc_stack.ss_sp = context_->stack.get();
    context_->inside.uc_stack.ss_size = kStackSize;
    context_->inside.uc_link = nullptr;
    makecontext(&context_->inside, &Fiber::Enter, 0);
#if defined(__SANITIZE_THREAD__)
    context_->inside_thread = __tsan_create_fiber(0);
#endif
  }
  resumed_by_ = std::exchange(current, this);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&context_->outside_fake_stack, context_->stack.get(), kStackSize);
#endif
#if defined(__SANITIZE_THREAD__)
  context_->outside_thread = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(context_->inside_thread, 0);
#endif
  swapcontext(&context_->outside, &context_->inside);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(context_->outside_fake_stack, nullptr, nullptr);
#endif
  current = resumed_by_;
  if (!done_) return;
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(context_->inside_thread);
#endif
  free_stacks.push_back(std::move(context_->stack));
  context_.reset();
}

void Fiber::Yield() {
  Context& context = *current->context_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&context.inside_fake_stack, context.outside_bottom, context.outside_size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(context.outside_thread, 0);
#endif
  swapcontext(&context.inside, &context.outside);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(context.inside_fake_stack, &context.outside_bottom, &context.outside_size);
#endif
}

}  // namespace tandem::sim
