// Any two copies of a boot record, and whatever the running system asks for afterwards.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "bootloader/core/slot_policy.h"
#include "tests/fuzz/check.h"

using tandem::boot::BootReason;
using tandem::boot::BootRecord;
using tandem::boot::Slot;

namespace {

void CheckRecord(const BootRecord& record) {
  BootRecord read;
  FUZZ_CHECK(Decode(Encode(record), read) == tandem::boot::CopyState::kValid);
  FUZZ_CHECK(read == record);
}

void CheckDecision(const tandem::boot::LoadedRecord& loaded) {
  const tandem::boot::Decision decision = tandem::boot::Decide(loaded);
  FUZZ_CHECK(decision.slot == Slot::kA || decision.slot == Slot::kB || decision.slot == Slot::kNone);
  if (decision.write) CheckRecord(decision.record);
  if (loaded.state != tandem::boot::RecordState::kLost && decision.slot != Slot::kNone) {
    FUZZ_CHECK(loaded.record.IsBootable(decision.slot));
  }
  if (decision.reason == BootReason::kTrial) {
    FUZZ_CHECK(decision.write && decision.record.attempts_left + 1 == loaded.record.attempts_left);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const size_t first = std::min(size, tandem::boot::kBootRecordSize);
  const size_t second = std::min(size - first, tandem::boot::kBootRecordSize);
  tandem::boot::LoadedRecord loaded = tandem::boot::Choose({data, first}, {data + first, second});
  FUZZ_CHECK(loaded.copy < 2);
  CheckDecision(loaded);
  if (loaded.state == tandem::boot::RecordState::kLost) return 0;
  BootRecord& record = loaded.record;
  for (size_t i = first + second; i + 1 < size; i += 2) {
    const Slot slot = data[i + 1] % 3 == 2 ? Slot::kNone : static_cast<Slot>(data[i + 1] % 3);
    const uint8_t attempts = data[i + 1] / 16;
    const bool had_bootable = record.IsBootable(Slot::kA) || record.IsBootable(Slot::kB);
    switch (data[i] % 6) {
      case 0:
        MarkUnbootable(record, slot);
        break;
      case 1:
        SetTrial(record, slot, attempts);
        break;
      case 2:
        RearmAttempts(record, slot, attempts);
        break;
      case 3:
        Confirm(record, slot);
        break;
      case 4:
        CancelTrial(record);
        break;
      case 5:
        RaiseSecurityCounter(record, data[i + 1]);
        break;
    }
    CheckRecord(record);
    FUZZ_CHECK(!had_bootable || record.IsBootable(Slot::kA) || record.IsBootable(Slot::kB));
    CheckDecision(loaded);
  }
  return 0;
}
