#include "tests/support/mcu_test_device.h"

#include <vector>

#include "common/crypto/sha256.h"
#include "gtest/gtest.h"

namespace tandem::mcu {
namespace {

using nlohmann::json;

constexpr uint32_t kRamBegin = 0x20000000;
constexpr uint32_t kRamSize = 0x4000;
constexpr uint32_t kFlashAddress = 0x08000000;

const tandem::PrivateKey& Key(bool other) {
  static const auto& keys = *new std::array<tandem::PrivateKey, 2>{
      *tandem::PrivateKey::Generate(KeyAlgorithm::kEcdsaP256), *tandem::PrivateKey::Generate(KeyAlgorithm::kEcdsaP256)};
  return keys[other ? 1 : 0];
}

const PublicKey& DeviceKey() {
  static const PublicKey& key = *[] {
    auto* made = new PublicKey;
    const std::string& der = Key(false).public_key().der();
    std::copy(der.end() - static_cast<int>(made->point.size()), der.end(), made->point.begin());
    const std::string hash = tandem::Sha256(der);
    std::copy(hash.begin(), hash.end(), made->hash.begin());
    return made;
  }();
  return key;
}

std::span<uint8_t> Ram(uint32_t address, uint32_t size) {
  static std::array<uint8_t, kRamSize> ram;
  if (address < kRamBegin || address - kRamBegin > kRamSize || size > kRamSize - (address - kRamBegin)) return {};
  return std::span(ram).subspan(address - kRamBegin, size);
}

std::span<const uint8_t> HardwareId() {
  static constexpr std::string_view kId = "test-board";
  return {reinterpret_cast<const uint8_t*>(kId.data()), kId.size()};
}

}  // namespace

json Binary(std::string_view bytes) { return json::binary(std::vector<uint8_t>(bytes.begin(), bytes.end())); }

std::string TestImage(const TestImageOptions& options) {
  const mcu_image::ImageSpec spec = {.version = options.version,
                                     .load_address = options.load_address,
                                     .flags = options.flags,
                                     .security_counter = options.security_counter,
                                     .hardware_id = options.hardware_id};
  std::string body;
  for (size_t i = 0; i < options.body_size; ++i) body.push_back(static_cast<char>(i * 7 + options.version.major));
  return *BuildImage(spec, body, options.is_signed ? &Key(options.other_key) : nullptr);
}

std::string HashOfImage(const std::string& image) {
  const boot::Image parsed = *mcu_image::ParseImage(image);
  return {parsed.hash.begin(), parsed.hash.end()};
}

TestDevice::TestDevice(uint32_t program_size)
    : flash_({.size = 0xc000, .sector_size = 0x1000, .program_size = program_size}),
      records_(flash_, kTestLayout.record0, kTestLayout.record1),
      images_({.flash = &flash_,
               .layout = kTestLayout,
               .rules = {.key = &DeviceKey(), .hardware_id = HardwareId()},
               .ram = Ram,
               .flash_address = [](uint32_t at) { return kFlashAddress + at; }}) {}

void TestDevice::Serve(boot::Slot running) {
  device_ = {.flash = &flash_,
             .layout = kTestLayout,
             .records = &records_,
             .images = &images_,
             .running = running,
             .buffer_size = 1024,
             .buffer_count = 4};
  server_.emplace(device_, response_);
}

BootOutcome TestDevice::Boot() {
  const BootOutcome outcome = ChooseImage(records_, images_);
  Serve(outcome.slot);
  return outcome;
}

json TestDevice::Request(uint8_t op, uint16_t group, uint8_t command, const json& map, uint8_t version) {
  const std::vector<uint8_t> payload = json::to_cbor(map);
  std::vector<uint8_t> packet(kSmpHeaderSize);
  WriteHeader({.version = version,
               .op = static_cast<SmpOp>(op),
               .length = static_cast<uint16_t>(payload.size()),
               .group = group,
               .sequence = 42,
               .command = command},
              packet);
  packet.insert(packet.end(), payload.begin(), payload.end());
  const std::span<const uint8_t> response = server_->Handle(packet);
  if (response.empty()) return nullptr;
  EXPECT_EQ(response[0], (version << 3) | (op + 1));
  EXPECT_EQ(response[6], 42);
  EXPECT_EQ(response[7], command);
  return json::from_cbor(response.begin() + kSmpHeaderSize, response.end());
}

json TestDevice::Upload(const std::string& image, size_t chunk, bool with_sha) {
  size_t offset = 0;
  for (size_t packets = 0; packets < 2 * image.size(); ++packets) {
    json map = {{"off", offset}, {"data", Binary(std::string_view(image).substr(offset, chunk))}};
    if (offset == 0) map["len"] = image.size();
    if (offset == 0 && with_sha) map["sha"] = Binary(tandem::Sha256(image));
    json answer = Request(kWrite, 1, 1, map);
    if (!answer.contains("off")) return answer;
    offset = answer["off"];
    if (offset == image.size()) return answer;
  }
  ADD_FAILURE() << "the upload does not end";
  return {};
}

json TestDevice::Test(const std::string& image) {
  return Request(kWrite, 1, 0, {{"hash", Binary(HashOfImage(image))}, {"confirm", false}});
}

json TestDevice::Confirm(const std::string& image) {
  json map = {{"confirm", true}};
  if (!image.empty()) map["hash"] = Binary(HashOfImage(image));
  return Request(kWrite, 1, 0, map);
}

void TestDevice::PutImage(boot::Slot slot, const std::string& image) {
  flash_.bytes().replace(kTestLayout.SlotStart(slot), kTestLayout.slot_size,
                         image + std::string(kTestLayout.slot_size - image.size(), '\xff'));
}

void TestDevice::SetRecord(const boot::BootRecord& record) {
  const boot::EncodedRecord bytes = Encode(record);
  flash_.bytes().replace(kTestLayout.record0, bytes.size(), std::string(bytes.begin(), bytes.end()));
}

}  // namespace tandem::mcu
