#include "um-plugins/mcu/mcu_device.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::plugins {
namespace {

// A device answers for a moment before it resets; one that still answers unchanged after this never got the request.
constexpr absl::Duration kResetGrace = absl::Seconds(5);
constexpr absl::Duration kFirstLook = absl::Milliseconds(200);
constexpr absl::Duration kMaxLook = absl::Seconds(2);

bool HasPending(const McuState& state) { return state.other.has_value() && state.other->pending; }

}  // namespace

McuDevice::McuDevice(smp::Connect connect, Clock& clock, McuDeviceOptions options)
    : clock_(clock),
      options_(std::move(options)),
      line_(std::move(connect), clock),
      client_(line_, clock, {.answer_timeout = options_.answer_timeout, .cancelled = options_.cancelled}) {}

absl::StatusOr<McuState> McuDevice::ReadState(absl::Duration timeout) {
  McuState state;
  ASSIGN_OR_RETURN(state.slots, smp::ReadImageState(client_, timeout));
  std::vector<smp::ImageSlot> own;
  for (const smp::ImageSlot& slot : state.slots) {
    if (slot.image == options_.image) own.push_back(slot);
  }
  std::stable_sort(own.begin(), own.end(),
                   [](const smp::ImageSlot& a, const smp::ImageSlot& b) { return a.slot < b.slot; });
  auto active = std::find_if(own.begin(), own.end(), [](const smp::ImageSlot& slot) { return slot.active; });
  // Of the images of another core some devices do not say that they run: they run from the first slot.
  if (active == own.end() && options_.image != 0 && !own.empty() && own[0].slot == 0) active = own.begin();
  if (active == own.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the device does not say that it runs an image ", options_.image));
  }
  state.active = *active;
  own.erase(active);
  if (!own.empty()) state.other = own[0];
  return state;
}

absl::Status McuDevice::AskForReset() {
  if (options_.reset) return Annotate(options_.reset(), "reset_command");
  return smp::ResetDevice(client_);
}

absl::StatusOr<McuState> McuDevice::Reset() {
  const absl::StatusOr<McuState> before = ReadState(options_.answer_timeout);
  // A device that hangs can still be reset by other means.
  if (!before.ok() && !(options_.reset && absl::IsDeadlineExceeded(before.status()))) return before.status();
  const bool pending = before.ok() && HasPending(*before);
  RETURN_IF_ERROR(AskForReset());

  const absl::Duration start = clock_.Monotonic();
  absl::Duration asked = start;
  absl::Duration look = kFirstLook;
  while (clock_.Monotonic() - start < options_.boot_timeout) {
    clock_.Sleep(look);
    look = std::min(look * 2, kMaxLook);
    absl::StatusOr<McuState> now = ReadState(kMaxLook);
    // Silent while it boots.
    if (absl::IsDeadlineExceeded(now.status())) continue;
    RETURN_IF_ERROR(now.status());
    const bool unchanged = before.ok() && now->active.hash == before->active.hash && HasPending(*now) == pending;
    if (!unchanged) return now;
    if (clock_.Monotonic() - asked < kResetGrace) continue;
    // With nothing pending a second reset could end the trial of an image that came up at once: the caller knows.
    if (!pending) return now;
    RETURN_IF_ERROR(AskForReset());
    asked = clock_.Monotonic();
  }
  return absl::DeadlineExceededError(absl::StrCat("the device has not come back within ",
                                                  absl::FormatDuration(options_.boot_timeout), " after a reset"));
}

}  // namespace tandem::plugins
