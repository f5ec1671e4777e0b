#include "bootloader/boot_control/fake_boot_control.h"

#include <algorithm>
#include <utility>

#include "bootloader/boot_control/record_boot_control.h"

namespace tandem::boot {
namespace {

uint8_t Attempts(uint32_t attempts) { return static_cast<uint8_t>(std::min<uint32_t>(attempts, kMaxAttempts + 1)); }

}  // namespace

Decision FakeBootControl::Boot() {
  std::lock_guard lock(mutex_);
  Decision decision = Decide({RecordState::kValid, record_, 0});
  record_ = decision.record;
  return decision;
}

void FakeBootControl::FailCall(uint64_t n, absl::Status status) {
  std::lock_guard lock(mutex_);
  failures_[calls_ + n] = std::move(status);
}

void FakeBootControl::FailAfterCall(uint64_t n, absl::Status status) {
  std::lock_guard lock(mutex_);
  late_failures_[calls_ + n] = std::move(status);
}

uint64_t FakeBootControl::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

void FakeBootControl::SetRecord(const BootRecord& record) {
  std::lock_guard lock(mutex_);
  record_ = record;
}

absl::Status FakeBootControl::Change(const std::function<ChangeResult(BootRecord&)>& change) {
  std::lock_guard lock(mutex_);
  ++calls_;
  if (const auto failure = failures_.find(calls_); failure != failures_.end()) return failure->second;
  const absl::Status status = ToStatus(change(record_));
  if (const auto failure = late_failures_.find(calls_); failure != late_failures_.end()) return failure->second;
  return status;
}

absl::StatusOr<BootState> FakeBootControl::Read() {
  std::lock_guard lock(mutex_);
  return ToState(record_);
}

absl::Status FakeBootControl::MarkUnbootable(Slot slot) {
  return Change([&](BootRecord& record) { return boot::MarkUnbootable(record, slot); });
}

absl::Status FakeBootControl::SetTrial(Slot slot, uint32_t attempts) {
  return Change([&](BootRecord& record) { return boot::SetTrial(record, slot, Attempts(attempts)); });
}

absl::Status FakeBootControl::RearmAttempts(Slot slot, uint32_t attempts) {
  return Change([&](BootRecord& record) { return boot::RearmAttempts(record, slot, Attempts(attempts)); });
}

absl::Status FakeBootControl::Confirm(Slot slot) {
  return Change([&](BootRecord& record) { return boot::Confirm(record, slot); });
}

absl::Status FakeBootControl::CancelTrial() {
  return Change([](BootRecord& record) { return boot::CancelTrial(record); });
}

absl::Status FakeBootControl::RaiseSecurityCounter(uint64_t value) {
  return Change([&](BootRecord& record) { return boot::RaiseSecurityCounter(record, static_cast<uint32_t>(value)); });
}

}  // namespace tandem::boot
