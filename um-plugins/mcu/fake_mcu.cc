#include "um-plugins/mcu/fake_mcu.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bootloader/core/mcuboot_image.h"
#include "common/crypto/sha256.h"
#include "um-plugins/mcu/image_file.h"

namespace tandem::smp {
namespace {

using nlohmann::json;

std::string VersionOfImage(std::string_view bytes) {
  MemoryImageSource source(bytes);
  boot::Image image;
  if (boot::ReadImage(source, image) != boot::ImageResult::kOk) return "";
  const boot::ImageVersion& version = image.header.version;
  const std::string text = absl::StrCat(version.major, ".", version.minor, ".", version.revision);
  return version.build == 0 ? text : absl::StrCat(text, ".", version.build);
}

void PutLittle16(std::string& out, uint32_t value) {
  out.push_back(static_cast<char>(value & 0xff));
  out.push_back(static_cast<char>(value >> 8 & 0xff));
}

void Put32(std::string& out, uint32_t value) {
  PutLittle16(out, value & 0xffff);
  PutLittle16(out, value >> 16);
}

void PutTag(std::string& out, boot::ImageTag tag, std::string_view value) {
  PutLittle16(out, static_cast<uint16_t>(tag));
  PutLittle16(out, static_cast<uint32_t>(value.size()));
  out.append(value);
}

std::string HashWith(boot::ImageTag type, const std::string& bytes) {
  const EVP_MD* const digest = type == boot::ImageTag::kSha512   ? EVP_sha512()
                               : type == boot::ImageTag::kSha384 ? EVP_sha384()
                                                                 : EVP_sha256();
  std::string value(EVP_MD_get_size(digest), '\0');
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(value.data()), nullptr, digest, nullptr);
  return value;
}

}  // namespace

std::string HashOfImage(std::string_view bytes) {
  MemoryImageSource source(bytes);
  boot::Image image;
  if (boot::ReadImage(source, image) != boot::ImageResult::kOk) return "";
  return std::string(bytes.substr(image.hash_tag.at, image.hash_tag.size));
}

std::string MakeTestImage(const TestImageSpec& spec) {
  std::string tags;
  if (!spec.hardware_id.empty()) PutTag(tags, boot::ImageTag::kHardwareId, spec.hardware_id);
  if (spec.security_counter.has_value()) {
    std::string value;
    Put32(value, *spec.security_counter);
    PutTag(tags, boot::ImageTag::kSecurityCounter, value);
  }
  if (spec.depends_on.has_value()) {
    const auto& [image, version] = *spec.depends_on;
    std::string value(4, '\0');
    value[0] = static_cast<char>(image);
    value.push_back(static_cast<char>(version[0]));
    value.push_back(static_cast<char>(version[1]));
    PutLittle16(value, version[2]);
    Put32(value, version[3]);
    PutTag(tags, boot::ImageTag::kDependency, value);
  }
  const size_t protected_size = tags.empty() ? 0 : tags.size() + 4;

  std::string image;
  Put32(image, boot::kImageMagic);
  Put32(image, 0);
  PutLittle16(image, boot::kImageHeaderSize);
  PutLittle16(image, static_cast<uint32_t>(protected_size));
  Put32(image, static_cast<uint32_t>(spec.body_size));
  Put32(image, spec.flags);
  image.push_back(static_cast<char>(spec.major));
  image.push_back(static_cast<char>(spec.minor));
  PutLittle16(image, spec.revision);
  Put32(image, spec.build);
  Put32(image, 0);
  for (size_t i = 0; i < spec.body_size; ++i) {
    image.push_back(static_cast<char>(i * 31 + i / 251 + size_t{spec.major} * 7 + spec.minor));
  }
  if (protected_size != 0) {
    PutLittle16(image, 0x6908);
    PutLittle16(image, static_cast<uint32_t>(protected_size));
    image += tags;
  }
  std::string others;
  PutTag(others, spec.hash, HashWith(spec.hash, image));
  if (!spec.vendor_tag.empty()) PutTag(others, boot::ImageTag::kHardwareId, spec.vendor_tag);
  // The hash is over the plain bytes.
  if (spec.flags != 0) image[boot::kImageHeaderSize] ^= 0x55;
  PutLittle16(image, 0x6907);
  PutLittle16(image, static_cast<uint32_t>(4 + others.size()));
  return image + others;
}

// ---- Boot ----

std::string FakeMcu::RunningHash() const { return HashOfImage(slots_[Active()]); }
std::string FakeMcu::RunningVersion() const { return VersionOfImage(slots_[Active()]); }
bool FakeMcu::RunningConfirmed() const { return !trial_; }

void FakeMcu::CutPower(absl::Duration now) {
  reset_at_.reset();
  Boot(now);
}

void FakeMcu::Advance(absl::Duration now) {
  if (!reset_at_.has_value() || *reset_at_ > now) return;
  const absl::Duration at = *reset_at_;
  reset_at_.reset();
  Boot(at);
}

void FakeMcu::Boot(absl::Duration now) {
  if (!options_.keeps_upload) {
    upload_sha_.clear();
    uploading_ = false;
  }
  ready_at_ = now;
  do {
    ++boots_;
    ready_at_ += options_.boot_time;
  } while (!BootOnce());
  booted_.insert(RunningHash());
}

bool FakeMcu::BootOnce() {
  const bool other_is_good = !HashOfImage(slots_[Other()]).empty();
  if (!options_.two_slots) {
    if (trial_) {
      std::swap(slots_[0], slots_[1]);
      trial_ = false;
    } else if (pending_ != Pending::kNone) {
      if (other_is_good) {
        std::swap(slots_[0], slots_[1]);
        trial_ = pending_ == Pending::kTest;
      }
      pending_ = Pending::kNone;
    }
  } else if (trial_ && attempts_left_ > 0) {
    --attempts_left_;
  } else if (trial_) {
    active_ = Other();
    trial_ = false;
  } else if (pending_ != Pending::kNone) {
    if (other_is_good) {
      active_ = Other();
      trial_ = pending_ == Pending::kTest;
      attempts_left_ = options_.attempts - 1;
    }
    pending_ = Pending::kNone;
  }
  return !crashing_.contains(RunningHash());
}

// ---- SMP ----

std::optional<std::string> FakeMcu::Handle(std::string_view bytes, absl::Duration now) {
  Advance(now);
  if (silent_ || now < ready_at_) return std::nullopt;
  const absl::StatusOr<SmpPacket> packet = DecodeSmpPacket(bytes);
  if (!packet.ok()) return std::nullopt;
  if (packet->header.op != SmpOp::kRead && packet->header.op != SmpOp::kWrite) return std::nullopt;
  if (packet->header.group == silent_group_) return std::nullopt;
  SmpHeader header = packet->header;
  header.op = header.op == SmpOp::kRead ? SmpOp::kReadAnswer : SmpOp::kWriteAnswer;
  if (options_.version1) header.version = 0;
  return EncodeSmpPacket(header, Answer(*packet, now));
}

json FakeMcu::Error(uint64_t rc, uint64_t image_rc) const {
  if (options_.version1 || image_rc == 0) return {{"rc", rc}};
  return {{"err", {{"group", kSmpImageGroup}, {"rc", image_rc}}}};
}

json FakeMcu::Answer(const SmpPacket& packet, absl::Duration now) {
  const bool read = packet.header.op == SmpOp::kRead;
  const uint8_t command = packet.header.command;
  if (packet.header.group == kSmpOsGroup) {
    if (command == 5 && !read) {
      reset_at_ = now + options_.reset_delay;
      return json::object();
    }
    if (command == 6 && read && options_.buffer_size != 0) {
      return {{"buf_size", options_.buffer_size}, {"buf_count", options_.buffer_count}};
    }
  } else if (packet.header.group == kSmpImageGroup) {
    if (command == 0) return read ? ImageState() : SetImageState(packet.body);
    if (command == 1 && !read) return Upload(packet.body, now);
    if (command == 6 && read && options_.knows_slot_info) return SlotInfo();
  } else if (packet.header.group == kSmpBootGroup && options_.knows_boot_group) {
    return BootGroup(packet);
  }
  return Error(8, 0);
}

json FakeMcu::ImageState() const {
  json images = json::array();
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    const std::string hash = HashOfImage(slots_[slot]);
    if (hash.empty()) continue;
    const bool active = slot == Active();
    const bool pending = !active && pending_ != Pending::kNone;
    json image = {{"slot", slot},
                  {"version", VersionOfImage(slots_[slot])},
                  {"hash", BytesValue(hash)},
                  {"pending", pending},
                  {"confirmed", active ? !trial_ : trial_},
                  {"active", active},
                  {"permanent", pending && pending_ == Pending::kForGood}};
    if (options_.tells_bootable) image["bootable"] = active || !damaged_;
    images.push_back(std::move(image));
  }
  return {{"images", images}, {"splitStatus", 0}};
}

json FakeMcu::SetImageState(const json& body) {
  const bool confirm = FindBool(body, "confirm").value_or(false);
  const std::string hash = FindBytes(body, "hash").value_or(RunningHash());
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    if (HashOfImage(slots_[slot]) != hash) continue;
    if (confirm) return Confirm(slot);
    if (slot == Active()) return Error(6, 33);
    if (damaged_) return Error(9, 24);
    // The running image must be confirmed first, or there would be no way back.
    if (trial_) return Error(6, 28);
    pending_ = Pending::kTest;
    return ImageState();
  }
  return Error(5, 8);
}

json FakeMcu::Confirm(size_t slot) {
  if (slot == Active()) {
    if (pending_ != Pending::kNone) return Error(6, 28);
    if (!booted_.contains(HashOfImage(slots_[slot])) && boots_ > 0)
      violations_.push_back("confirmed an unbooted image");
    trial_ = false;
    return ImageState();
  }
  if (!options_.confirms_others) return Error(6, 32);
  // The same request may come twice.
  if (!trial_ && pending_ != Pending::kForGood && !options_.two_slots) {
    violations_.push_back("confirmed an image that does not run, and no trial was to be ended");
  }
  if (options_.two_slots) {
    // The trial is over; the reset leads back.
    attempts_left_ = 0;
  } else {
    pending_ = Pending::kForGood;
    trial_ = false;
  }
  return ImageState();
}

json FakeMcu::Upload(const json& body, absl::Duration now) {
  const std::optional<uint64_t> off = FindNumber(body, "off");
  const std::optional<std::string> data = FindBytes(body, "data");
  if (!off.has_value() || !data.has_value()) return Error(3, 20);
  uploaded_ += data->size();
  std::string& slot = slots_[Other()];
  if (*off == 0) {
    const std::optional<uint64_t> size = FindNumber(body, "len");
    if (!size.has_value()) return Error(3, 21);
    if (FindNumber(body, "image").value_or(0) != 0) return Error(5, 14);
    if (*size > options_.slot_size) return Error(7, 30);
    if (trial_ || pending_ != Pending::kNone) {
      violations_.push_back("upload while an image is on trial or pending");
      return Error(6, 9);
    }
    // As mcumgr does: the header must be whole.
    if (data->size() < std::min<uint64_t>(boot::kImageHeaderSize, *size)) return Error(3, 21);
    const std::string sha = FindBytes(body, "sha").value_or("");
    if (!sha.empty() && sha == upload_sha_ && *size == upload_size_) return {{"off", slot.size()}};
    slot.clear();
    damaged_ = false;
    upload_sha_ = sha;
    upload_size_ = *size;
    uploading_ = true;
    ready_at_ = now + options_.erase_time;
  } else if (!uploading_) {
    return {{"off", 0}};
  }
  if (*off != slot.size()) return {{"off", slot.size()}};
  if (data->size() > upload_size_ - slot.size()) return Error(3, 31);
  slot += *data;
  if (slot.size() < upload_size_) return {{"off", slot.size()}};
  json answer = {{"off", slot.size()}};
  if (!upload_sha_.empty()) answer["match"] = Sha256(slot) == upload_sha_;
  upload_sha_.clear();
  uploading_ = false;
  return answer;
}

json FakeMcu::SlotInfo() const {
  json slots = json::array();
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    slots.push_back({{"slot", slot}, {"size", options_.slot_size}});
  }
  json image = {{"image", 0}, {"slots", slots}};
  return {{"images", json::array({image})}};
}

json FakeMcu::BootGroup(const SmpPacket& packet) {
  if (packet.header.command == 0 && packet.header.op == SmpOp::kRead) {
    return {{"running", Active()},
            {"confirmed", trial_ ? Other() : Active()},
            {"attempts_left", attempts_left_},
            {"security_counter", security_counter_}};
  }
  if (packet.header.command == 1 && packet.header.op == SmpOp::kWrite) {
    security_counter_ = std::max(security_counter_, FindNumber(packet.body, "security_counter").value_or(0));
    return json::object();
  }
  return Error(8, 0);
}

}  // namespace tandem::smp
