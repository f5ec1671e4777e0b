// For tests and benchmarks: a microcontroller with two slots, a bootloader and an SMP server, as a model.
//
// Time is what the caller says it is, so that it runs on virtual time (fake_line.h) as well as behind a real line.
#ifndef TANDEM_UM_PLUGINS_MCU_FAKE_MCU_H_
#define TANDEM_UM_PLUGINS_MCU_FAKE_MCU_H_

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "bootloader/core/mcuboot_image.h"
#include "um-plugins/mcu/smp_packet.h"

namespace tandem::smp {

struct FakeMcuOptions {
  // False: as MCUboot with swap. The running image is in slot 0, always; a test boot swaps the slots, and the next
  // reset swaps them back. True: a bootloader that runs either slot, and gives a trial `attempts` boots.
  bool two_slots = false;
  uint32_t attempts = 3;
  uint64_t slot_size = 1 << 20;
  // 0: it does not know the command.
  uint32_t buffer_size = 512;
  uint32_t buffer_count = 4;
  bool knows_slot_info = true;
  // Group 100.
  bool knows_boot_group = false;
  // `bootable` is among what it tells of a slot.
  bool tells_bootable = true;
  // An image that does not run may be confirmed.
  bool confirms_others = false;
  // Errors as `rc` only.
  bool version1 = false;
  // The beginning of an upload is known again after a reset.
  bool keeps_upload = false;
  absl::Duration reset_delay = absl::Milliseconds(250);
  absl::Duration boot_time = absl::Seconds(1);
  absl::Duration erase_time = absl::Milliseconds(300);
};

// Not thread-safe.
class FakeMcu {
 public:
  explicit FakeMcu(FakeMcuOptions options = {}) : options_(options) {}

  // ---- For tests ----

  // An MCUboot image that is in the slot from the factory.
  void Flash(size_t slot, std::string image) { slots_[slot] = std::move(image); }
  // The image of this hash dies before it serves anything.
  void MakeCrash(const std::string& hash) { crashing_.insert(hash); }
  // The power goes and comes back: what was being uploaded is forgotten, and it boots.
  void CutPower(absl::Duration now);
  // It answers nothing any more, or again.
  void SetSilent(bool silent) { silent_ = silent; }
  // It answers nothing of this group, and all others.
  void SetSilentGroup(std::optional<uint16_t> group) { silent_group_ = group; }
  // A bit of the slot that does not run has fallen over: it shows its hash, and is not booted until it is written
  // again.
  void DamageOther() { damaged_ = true; }
  void SetSecurityCounter(uint64_t counter) { security_counter_ = counter; }

  std::string RunningHash() const;
  std::string RunningVersion() const;
  bool RunningConfirmed() const;
  bool SomethingPending() const { return pending_ != Pending::kNone; }
  uint64_t security_counter() const { return security_counter_; }
  int boots() const { return boots_; }
  // Bytes of images that came, doubled ones too.
  uint64_t uploaded() const { return uploaded_; }
  // What a device must never be asked for: a write to the slot that runs or that it would fall back to, the
  // confirmation of an image that has never run.
  const std::vector<std::string>& violations() const { return violations_; }

  // The answer to one packet that arrives at `now`; nullopt: none.
  std::optional<std::string> Handle(std::string_view packet, absl::Duration now);

 private:
  enum class Pending { kNone, kTest, kForGood };

  void Advance(absl::Duration now);
  void Boot(absl::Duration now);
  // Swaps or chooses; true when the image that runs now serves.
  bool BootOnce();
  size_t Active() const { return active_; }
  size_t Other() const { return 1 - active_; }
  nlohmann::json Answer(const SmpPacket& packet, absl::Duration now);
  nlohmann::json Error(uint64_t rc, uint64_t image_rc) const;
  nlohmann::json ImageState() const;
  nlohmann::json SetImageState(const nlohmann::json& body);
  nlohmann::json Confirm(size_t slot);
  nlohmann::json Upload(const nlohmann::json& body, absl::Duration now);
  nlohmann::json SlotInfo() const;
  nlohmann::json BootGroup(const SmpPacket& packet);

  const FakeMcuOptions options_;
  std::array<std::string, 2> slots_;
  // With swap always 0.
  size_t active_ = 0;
  // Of the slot that does not run.
  Pending pending_ = Pending::kNone;
  // What runs was not confirmed.
  bool trial_ = false;
  uint32_t attempts_left_ = 0;
  std::set<std::string> crashing_;
  // Hashes that have served.
  std::set<std::string> booted_;
  uint64_t security_counter_ = 0;
  bool silent_ = false;
  std::optional<uint16_t> silent_group_;
  bool damaged_ = false;
  int boots_ = 0;
  uint64_t uploaded_ = 0;
  std::vector<std::string> violations_;

  std::optional<absl::Duration> reset_at_;
  absl::Duration ready_at_;
  // The running upload.
  bool uploading_ = false;
  std::string upload_sha_;
  uint64_t upload_size_ = 0;
};

// An image as imgtool would make it, without a signature.
struct TestImageSpec {
  uint8_t major = 1;
  uint8_t minor = 0;
  uint16_t revision = 0;
  uint32_t build = 0;
  size_t body_size = 5000;
  std::string hardware_id;
  std::optional<uint32_t> security_counter;
  // Another image must be at least that new: {image, {major, minor, revision, build}}.
  std::optional<std::pair<uint8_t, std::array<uint32_t, 4>>> depends_on;
  boot::ImageTag hash = boot::ImageTag::kSha256;
  // Encrypted when one of these says so: the bytes are not those that were hashed.
  uint32_t flags = 0;
  // A tag 0xa0 outside the protected area, as another vendor may use it.
  std::string vendor_tag;
};
std::string MakeTestImage(const TestImageSpec& spec);

// The hash tag of a whole image; empty when it is none.
std::string HashOfImage(std::string_view image);

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_FAKE_MCU_H_
