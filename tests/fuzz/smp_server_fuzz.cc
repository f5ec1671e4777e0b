// Bytes from a serial line, through the frame decoder and the CBOR reader into the SMP server of a microcontroller. A
// second decoder would hide nearly all input behind its checksum, so the input is also taken as packets as they are.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bootloader/core/flash_record_store.h"
#include "bootloader/core/slot_policy.h"
#include "bootloader/mcu/smp/frame.h"
#include "bootloader/mcu/smp/server.h"
#include "bootloader/mcu/testing/memory_flash.h"
#include "tests/fuzz/check.h"

using namespace tandem::mcu;  // NOLINT(google-build-using-namespace): this file is about nothing else
using tandem::boot::BootRecord;
using tandem::boot::Slot;

namespace {

constexpr FlashLayout kLayout = {
    .record0 = 0x000, .record1 = 0x100, .progress = 0x200, .slot_a = 0x400, .slot_b = 0x800, .slot_size = 0x400};

// Every image whose first byte is even is good; its hash is that byte.
class AnyImages final : public SlotImages {
 public:
  explicit AnyImages(MemoryFlash& flash) : flash_(flash) {}
  CheckResult Check(Slot slot, uint32_t security_counter, tandem::boot::Image& image) override {
    const auto first = static_cast<uint8_t>(flash_.bytes()[kLayout.SlotStart(slot)]);
    image = {};
    image.hash.fill(first);
    image.security_counter = first;
    if (first == 0xff) return CheckResult::kBlank;
    if (first % 2 != 0) return CheckResult::kWrongSignature;
    return first >= security_counter ? CheckResult::kOk : CheckResult::kBelowSecurityCounter;
  }
  CheckResult Load(Slot slot, uint32_t security_counter, uint32_t&) override {
    tandem::boot::Image image;
    return Check(slot, security_counter, image);
  }
  bool Hash(Slot slot, uint32_t, Digest& digest) override {
    digest.fill(static_cast<uint8_t>(flash_.bytes()[kLayout.SlotStart(slot)]));
    return true;
  }

 private:
  MemoryFlash& flash_;
};

// Whatever is asked: the running application's slot keeps its bytes, and a device that boots goes on booting.
void CheckDevice(MemoryFlash& flash, tandem::boot::FlashRecordStore& records, const Device& device) {
  const tandem::boot::LoadedRecord loaded = records.Load();
  if (device.InRecovery()) return;
  FUZZ_CHECK(flash.bytes()[kLayout.SlotStart(device.running)] == 2);
  FUZZ_CHECK(loaded.state != tandem::boot::RecordState::kLost);
  FUZZ_CHECK(loaded.record.IsBootable(loaded.record.active));
  FUZZ_CHECK(Decide(loaded).slot != Slot::kNone);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  MemoryFlash flash({.size = 0xc00, .sector_size = 0x100, .program_size = uint32_t{1} << (data[0] >> 4) % 5});
  flash.bytes()[kLayout.slot_a] = 2;
  tandem::boot::FlashRecordStore records(flash, kLayout.record0, kLayout.record1);
  AnyImages images(flash);
  const Slot running = (data[0] & 1) != 0 ? Slot::kNone : Slot::kA;
  const tandem::boot::LoadedRecord loaded = records.Load();
  FUZZ_CHECK(records.Save(loaded, Decide(loaded).record) == tandem::boot::FlashResult::kOk);
  const Device device = {.flash = &flash,
                         .layout = kLayout,
                         .records = &records,
                         .images = &images,
                         .running = running,
                         .buffer_size = 512,
                         .buffer_count = 1};
  std::array<uint8_t, 512> buffer{};
  SmpServer server(device, buffer);
  const auto handle = [&](std::span<const uint8_t> packet) {
    const std::span<const uint8_t> response = server.Handle(packet);
    FUZZ_CHECK(response.size() <= buffer.size());
    SmpHeader header;
    if (!response.empty()) {
      // A response is whole, and CBOR that this reader takes, too.
      FUZZ_CHECK(response.size() >= kSmpHeaderSize);
      CborReader reader(response.subspan(kSmpHeaderSize));
      CborItem map;
      FUZZ_CHECK(reader.Next(map) && map.kind == CborKind::kMap && reader.SkipRest(map) && reader.AtEnd());
    }
    FUZZ_CHECK(response.empty() == !ReadHeader(packet, header));
    CheckDevice(flash, records, device);
  };
  std::span<const uint8_t> input(data + 1, size - 1);
  if ((data[0] & 2) != 0) {
    PacketReader<512> reader;
    for (const uint8_t byte : input) {
      const std::span<const uint8_t> packet = reader.Feed(byte);
      if (!packet.empty()) handle(packet);
    }
    return 0;
  }
  // Packets one after the other, each as long as its header says.
  while (input.size() >= kSmpHeaderSize) {
    const size_t length = kSmpHeaderSize + static_cast<size_t>(input[2] << 8 | input[3]);
    const std::span<const uint8_t> packet = input.first(std::min(length, input.size()));
    handle(packet);
    input = input.subspan(packet.size());
  }
  return 0;
}
