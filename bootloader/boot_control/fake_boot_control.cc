#include "bootloader/boot_control/fake_boot_control.h"

#include <utility>

namespace tandem::boot {
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

absl::StatusOr<BootRecord> FakeBootControl::LoadRecord() {
  std::lock_guard lock(mutex_);
  return record_;
}

absl::Status FakeBootControl::ChangeRecord(const Change& change) {
  std::lock_guard lock(mutex_);
  ++calls_;
  if (const auto failure = failures_.find(calls_); failure != failures_.end()) return failure->second;
  const absl::Status status = change(record_);
  if (const auto failure = late_failures_.find(calls_); failure != late_failures_.end()) return failure->second;
  return status;
}

}  // namespace tandem::boot
