// A microcontroller in memory, for tests: the real boot flow and SMP server on a MemoryFlash.
//
//   TestDevice device;
//   device.PutImage(Slot::kA, TestImage({.version = {1, 0, 0}}));
//   ASSERT_EQ(device.Boot().slot, Slot::kA);
//   nlohmann::json state = device.Request(kRead, 1, 0);
#ifndef TANDEM_TESTS_SUPPORT_MCU_TEST_DEVICE_H_
#define TANDEM_TESTS_SUPPORT_MCU_TEST_DEVICE_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "bootloader/core/flash_record_store.h"
#include "bootloader/mcu/boot/boot_flow.h"
#include "bootloader/mcu/boot/slot_images.h"
#include "bootloader/mcu/smp/server.h"
#include "bootloader/mcu/testing/memory_flash.h"
#include "common/crypto/keys.h"
#include "tools/mcu-image/image_builder.h"

namespace tandem::mcu {

inline constexpr uint8_t kRead = 0;
inline constexpr uint8_t kWrite = 2;
inline constexpr FlashLayout kTestLayout = {
    .record0 = 0x0000, .record1 = 0x1000, .progress = 0x2000, .slot_a = 0x4000, .slot_b = 0x8000, .slot_size = 0x4000};

struct TestImageOptions {
  boot::ImageVersion version = {1, 0, 0, 0};
  uint32_t security_counter = 2;
  std::string hardware_id = "test-board";
  bool other_key = false;
  bool is_signed = true;
  uint32_t load_address = 0x20000000;
  uint32_t flags = boot::kImageRamLoad;
  size_t body_size = 5000;
};

// A whole image; all of one kind are equal but for the signature.
std::string TestImage(const TestImageOptions& options);
std::string HashOfImage(const std::string& image);

class TestDevice {
 public:
  explicit TestDevice(uint32_t program_size = 8);

  // From the reset on; the server that runs then is the application's, or recovery's when no slot is chosen.
  BootOutcome Boot();
  // The bootloader's serial recovery, as when somebody asked for it.
  void BootIntoRecovery() { Serve(boot::Slot::kNone); }
  // One request; nlohmann::json writes and reads its CBOR. null when the server did not answer.
  nlohmann::json Request(uint8_t op, uint16_t group, uint8_t command,
                         const nlohmann::json& map = nlohmann::json::object(), uint8_t version = 1);
  // Uploads as a client does: `chunk` bytes each time, from the offset that is answered. The last answer.
  nlohmann::json Upload(const std::string& image, size_t chunk = 700, bool with_sha = true);
  nlohmann::json Test(const std::string& image);
  // "": without a hash.
  nlohmann::json Confirm(const std::string& image = "");

  void PutImage(boot::Slot slot, const std::string& image);
  boot::BootRecord Record() { return records_.Load().record; }
  void SetRecord(const boot::BootRecord& record);

  MemoryFlash& flash() { return flash_; }
  SmpServer& server() { return *server_; }

 private:
  void Serve(boot::Slot running);

  MemoryFlash flash_;
  boot::FlashRecordStore records_;
  FlashSlotImages images_;
  Device device_;
  std::array<uint8_t, 1024> response_{};
  std::optional<SmpServer> server_;
};

nlohmann::json Binary(std::string_view bytes);

}  // namespace tandem::mcu

#endif  // TANDEM_TESTS_SUPPORT_MCU_TEST_DEVICE_H_
