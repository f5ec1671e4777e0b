#include "bootloader/mcu/boot/slot_images.h"

namespace tandem::mcu {
namespace {

// Of a Cortex-M's vector table.
constexpr uint32_t kVectorAlignment = 256;

}  // namespace

FlashSource FlashSlotImages::Source(boot::Slot slot) const {
  return FlashSource(*config_.flash, config_.layout.SlotStart(slot), config_.layout.slot_size);
}

ImageRules FlashSlotImages::Rules(uint32_t security_counter) const {
  ImageRules rules = config_.rules;
  rules.security_counter = security_counter;
  return rules;
}

CheckResult FlashSlotImages::CheckPlace(boot::Slot slot, const boot::Image& image) const {
  const boot::ImageHeader& header = image.header;
  if ((header.load_address + header.header_size) % kVectorAlignment != 0) return CheckResult::kWrongPlace;
  if ((header.flags & boot::kImageRamLoad) != 0) {
    return config_.ram(header.load_address, image.total_size).empty() ? CheckResult::kWrongPlace : CheckResult::kOk;
  }
  const uint32_t address = config_.flash_address(config_.layout.SlotStart(slot));
  const bool in_place = (header.flags & boot::kImageRomFixed) != 0 && address != 0 && header.load_address == address;
  return in_place ? CheckResult::kOk : CheckResult::kWrongPlace;
}

CheckResult FlashSlotImages::Check(boot::Slot slot, uint32_t security_counter, boot::Image& image) {
  FlashSource source = Source(slot);
  if (const CheckResult result = CheckImage(source, Rules(security_counter), image); result != CheckResult::kOk) {
    return result;
  }
  return CheckPlace(slot, image);
}

CheckResult FlashSlotImages::Load(boot::Slot slot, uint32_t security_counter, uint32_t& vector_table) {
  FlashSource source = Source(slot);
  boot::Image image;
  // Nothing is believed yet; but only what has the form of an image says where to copy it.
  if (ReadImage(source, image) != boot::ImageResult::kOk || (image.header.flags & boot::kImageRamLoad) == 0) {
    const CheckResult result = Check(slot, security_counter, image);
    vector_table = image.header.load_address + image.header.header_size;
    return result;
  }
  if (const CheckResult place = CheckPlace(slot, image); place != CheckResult::kOk) return place;
  const std::span<uint8_t> ram = config_.ram(image.header.load_address, image.total_size);
  if (!source.Read(0, ram)) return CheckResult::kReadFailed;
  MemorySource copied(ram);
  const uint32_t load_address = image.header.load_address;
  const CheckResult result = CheckImage(copied, Rules(security_counter), image);
  if (result == CheckResult::kOk && image.header.load_address != load_address) return CheckResult::kReadFailed;
  vector_table = load_address + image.header.header_size;
  return result;
}

bool FlashSlotImages::Hash(boot::Slot slot, uint32_t size, Digest& digest) {
  FlashSource source = Source(slot);
  return HashOf(source, size, config_.rules.keep_alive, digest);
}

}  // namespace tandem::mcu
