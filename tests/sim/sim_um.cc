#include "tests/sim/sim_um.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem {

using um::UmInput;
using um::UmJob;
using um::UmStep;

namespace {

constexpr int kAttempts = 3;

absl::Duration LongestOf(UmJob job) {
  switch (job) {
    case UmJob::kPrepare:
      return absl::Seconds(10);
    case UmJob::kReboot:
      return absl::Seconds(5);
    default:
      return absl::Seconds(2);
  }
}

cm::UmState Wire(UmStep step) {
  switch (um::WireStateOf(step)) {
    case um::WireState::kIdle:
      return cm::UmState::kIdle;
    case um::WireState::kPrepared:
      return cm::UmState::kPrepared;
    case um::WireState::kUpdated:
      return cm::UmState::kUpdated;
    case um::WireState::kFailed:
      return cm::UmState::kFailed;
  }
  return cm::UmState::kFailed;
}

}  // namespace

void SimWorld::After(absl::Duration delay, std::function<void()> then) {
  Due due{.at = now_ + delay, .order = order_++, .then = std::move(then)};
  const auto later = [](const Due& a, const Due& b) { return std::pair(a.at, a.order) > std::pair(b.at, b.order); };
  due_.insert(std::upper_bound(due_.begin(), due_.end(), due, later), std::move(due));
}

bool SimWorld::RunNext() {
  if (due_.empty()) return false;
  const Due due = std::move(due_.back());
  due_.pop_back();
  now_ = due.at;
  due.then();
  return true;
}

bool SimWorld::Chance(double probability) {
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

absl::Duration SimWorld::Between(absl::Duration low, absl::Duration high) {
  return low + std::uniform_real_distribution<double>(0, 1)(random_) * (high - low);
}

SimUmStatus SimUm::Status() const {
  return {.state = Wire(step_), .working = um::IsWorking(step_), .version = running_, .error = error_};
}

void SimUm::Handle(cm::UmCommand command, const std::string& version, bool has_source) {
  switch (command) {
    case cm::UmCommand::kNone:
      return;
    case cm::UmCommand::kPrepare:
      if (step_ == UmStep::kIdle) {
        target_ = version;
        has_source_ = has_source;
        reboots_ = 0;
      }
      return Take(UmInput::kPrepareCommand, "");
    case cm::UmCommand::kStart:
      return Take(UmInput::kStartCommand, "");
    case cm::UmCommand::kApply:
      return Take(UmInput::kApplyCommand, "");
    case cm::UmCommand::kRevert:
      return Take(UmInput::kRevertCommand, "");
  }
}

void SimUm::Take(UmInput input, const std::string& error) {
  const std::optional<um::UmTransition> row = um::FindUmTransition(step_, input);
  if (row.has_value()) {
    const UmStep before = step_;
    step_ = row->to;
    error_ = error;
    if (row->job == UmJob::kReboot) ++reboots_;
    if (step_ != before && row->job != UmJob::kReboot && row->job != UmJob::kCheck) reboots_ = 0;
    if (row->job != UmJob::kNone) Begin(row->job);
  }
  callbacks_.changed();
}

void SimUm::Begin(UmJob job) {
  const uint64_t generation = ++generation_;
  world_.After(world_.Between(absl::Milliseconds(100), LongestOf(job)), [this, generation, job] {
    if (generation != generation_) return;
    if (job == UmJob::kReboot) {
      if (reboots_ > um::kMaxReboots) return Take(UmInput::kJobFailed, "rebooted too often");
      Boot();
      return callbacks_.rebooted();
    }
    if (!Calm() && world_.Chance(options_.crashes / 2)) return callbacks_.crashed();
    const bool fails = !Calm() && world_.Chance(options_.fails);
    const UmInput result = fails ? UmInput::kJobFailed : Perform(job);
    // Done, but nobody knows.
    if (!Calm() && world_.Chance(options_.crashes / 2)) return callbacks_.crashed();
    Take(result, result == UmInput::kJobFailed ? absl::StrCat(std::string(um::Name(job)), " failed") : "");
  });
}

UmInput SimUm::Perform(UmJob job) {
  switch (job) {
    case UmJob::kPrepare:
      wrote_other_ = false;
      if (other_ == target_ || running_ == target_) return UmInput::kJobDone;
      if (!has_source_) return UmInput::kJobFailed;
      other_ = target_;
      wrote_other_ = true;
      return UmInput::kJobDone;
    case UmJob::kStart:
      if (running_ == target_) return UmInput::kJobDone;
      if (other_ != target_) return UmInput::kJobFailed;
      if (options_.switches_boot) {
        armed_ = true;
        attempts_ = kAttempts;
        return UmInput::kJobNeedsReboot;
      }
      std::swap(running_, other_);
      return UmInput::kJobDone;
    case UmJob::kCheck:
      if (running_ == target_) {
        if (armed_) attempts_ = kAttempts;
        return UmInput::kJobDone;
      }
      return armed_ ? UmInput::kJobNeedsReboot : UmInput::kJobFailed;
    case UmJob::kApply:
      if (running_ != target_) return UmInput::kJobFailed;
      if (confirmed_ != running_ && options_.switches_boot) other_ = confirmed_;
      confirmed_ = running_;
      armed_ = false;
      return UmInput::kJobDone;
    case UmJob::kRevert:
      armed_ = false;
      if (running_ != confirmed_) {
        if (options_.switches_boot) return UmInput::kJobNeedsReboot;
        std::swap(running_, other_);
      }
      if (wrote_other_) other_.clear();
      wrote_other_ = false;
      return UmInput::kJobDone;
    default:
      return UmInput::kJobDone;
  }
}

// The bootloader's decision, at every reset of a computer with slots.
void SimUm::Boot() {
  if (!options_.switches_boot) return;
  const std::string trial = armed_ ? target_ : confirmed_;
  running_ = confirmed_;
  while (armed_ && running_ != trial) {
    if (attempts_-- <= 0) {
      armed_ = false;
    } else if (trial != does_not_boot_ && (Calm() || !world_.Chance(options_.boot_fails))) {
      running_ = trial;
    }
  }
}

void SimUm::Crash(bool power) {
  up_ = false;
  ++generation_;
  if (power) Boot();
}

void SimUm::Restart() {
  if (std::exchange(up_, true)) return;
  Take(UmInput::kRestarted, error_);
}

}  // namespace tandem
