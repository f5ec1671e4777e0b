// A durable record whose files hold anything: it is whole or refused, and can always be written anew.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/storage/durable_record.h"
#include "common/storage/fake_file_system.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t split = text.size() * data[0] / 255;
  tandem::FakeFileSystem fs;
  fs.Put("/state/a.rec", text.substr(0, split));
  fs.Put("/state/a.rec.prev", text.substr(split));
  tandem::DurableRecord record(fs, "/state/a.rec");
  const absl::StatusOr<std::string> newest = record.Read();
  FUZZ_CHECK(newest.ok() || absl::IsDataLoss(newest.status()) || absl::IsNotFound(newest.status()));
  const absl::StatusOr<std::string> previous = record.ReadPrevious();
  const absl::StatusOr<std::string> best = record.ReadOrRestorePrevious();
  if (newest.ok()) FUZZ_CHECK(best.ok() && *best == *newest);
  if (!newest.ok() && previous.ok()) FUZZ_CHECK(best.ok() && *best == *previous);
  FUZZ_CHECK(record.Write("new").ok());
  FUZZ_CHECK(record.Read().value() == "new");
  return 0;
}
