#include "um-plugins/mcu/mcu_record.h"

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"

namespace tandem::plugins {
namespace {

constexpr int kMaxKnown = 4;

}  // namespace

std::string NameOf(const record::v1::McuRecord::Image& image) {
  return absl::StrCat(image.version(), " (", HexEncode(image.hash()).substr(0, 8), ")");
}

void Close(record::v1::McuRecord& record) {
  record.clear_target();
  record.clear_origin();
  record.clear_test_boots();
  record.clear_seen_running_at();
  record.clear_failed();
}

void Remember(record::v1::McuRecord& record, const record::v1::McuRecord::Image& image) {
  auto& known = *record.mutable_known();
  for (int i = known.size() - 1; i >= 0; --i) {
    if (known[i].hash() == image.hash()) known.DeleteSubrange(i, 1);
  }
  while (known.size() >= kMaxKnown) known.DeleteSubrange(0, 1);
  *record.add_known() = image;
}

const record::v1::McuRecord::Image* Find(const record::v1::McuRecord& record, const std::string& hash) {
  for (const auto& image : record.known()) {
    if (image.hash() == hash) return &image;
  }
  return nullptr;
}

}  // namespace tandem::plugins
