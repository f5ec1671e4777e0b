#include "bootloader/core/mcuboot_image.h"

#include "bootloader/core/little_endian.h"

namespace tandem::boot {
namespace {

constexpr uint16_t kProtectedMagic = 0x6908;
constexpr uint16_t kOtherMagic = 0x6907;
constexpr uint32_t kTagHeaderSize = 4;
constexpr uint32_t kDependencySize = 12;
constexpr uint16_t kMinHeaderSize = kImageHeaderSize;

ImageVersion GetVersion(std::span<const uint8_t> bytes, size_t at) {
  return {bytes[at], bytes[at + 1], Get16(bytes, at + 2), Get32(bytes, at + 4)};
}

bool IsErased(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    if (byte != bytes[0]) return false;
  }
  return bytes[0] == 0x00 || bytes[0] == 0xff;
}

struct Tag {
  uint16_t type = 0;
  // Where its value is.
  uint32_t at = 0;
  uint16_t size = 0;
};

// Reads the tags of one image, area by area.
class TagReader {
 public:
  TagReader(ImageSource& source, Image& image) : source_(source), image_(image) {}

  // The area that starts at `at`; `end` is set to where it ends.
  ImageResult ReadArea(uint32_t at, bool is_protected, uint32_t& end);

 private:
  ImageResult Take(const Tag& tag, bool is_protected);
  ImageResult TakeRange(const Tag& tag, ImageRange& range);
  ImageResult TakeHash(const Tag& tag);
  ImageResult TakeDependency(const Tag& tag);
  template <size_t kSize>
  bool Read(uint32_t at, std::array<uint8_t, kSize>& into) {
    return source_.Read(at, into);
  }

  ImageSource& source_;
  Image& image_;
  bool has_counter_ = false;
};

ImageResult TagReader::ReadArea(uint32_t at, bool is_protected, uint32_t& end) {
  std::array<uint8_t, kTagHeaderSize> head{};
  if (source_.size() - at < kTagHeaderSize) return ImageResult::kBadTags;
  if (!Read(at, head)) return ImageResult::kReadFailed;
  const uint16_t total = Get16(head, 2);
  if (Get16(head, 0) != (is_protected ? kProtectedMagic : kOtherMagic) || total < kTagHeaderSize ||
      total > source_.size() - at || (is_protected && total != image_.header.protected_size)) {
    return ImageResult::kBadTags;
  }
  end = at + total;
  for (uint32_t next = at + kTagHeaderSize; next != end;) {
    if (end - next < kTagHeaderSize) return ImageResult::kBadTags;
    if (!Read(next, head)) return ImageResult::kReadFailed;
    const Tag tag = {Get16(head, 0), next + kTagHeaderSize, Get16(head, 2)};
    if (end - tag.at < tag.size) return ImageResult::kBadTags;
    if (const ImageResult taken = Take(tag, is_protected); taken != ImageResult::kOk) return taken;
    next = tag.at + tag.size;
  }
  return ImageResult::kOk;
}

ImageResult TagReader::TakeRange(const Tag& tag, ImageRange& range) {
  if (range.size != 0 || tag.size == 0) return ImageResult::kBadTags;
  range = {tag.at, tag.size};
  return ImageResult::kOk;
}

ImageResult TagReader::TakeHash(const Tag& tag) {
  const auto type = static_cast<ImageTag>(tag.type);
  const uint16_t size = type == ImageTag::kSha256 ? 32 : type == ImageTag::kSha384 ? 48 : 64;
  if (image_.hash_tag.size != 0 || tag.size != size) return ImageResult::kBadTags;
  image_.hash_type = type;
  image_.hash_tag = {tag.at, tag.size};
  if (type != ImageTag::kSha256) return ImageResult::kOk;
  return Read(tag.at, image_.hash) ? ImageResult::kOk : ImageResult::kReadFailed;
}

ImageResult TagReader::TakeDependency(const Tag& tag) {
  std::array<uint8_t, kDependencySize> bytes{};
  if (tag.size != kDependencySize || image_.dependency_count == kMaxImageDependencies) return ImageResult::kBadTags;
  if (!Read(tag.at, bytes)) return ImageResult::kReadFailed;
  image_.dependencies[image_.dependency_count++] = {bytes[0], GetVersion(bytes, 4)};
  return ImageResult::kOk;
}

// What the bootloader decides by must be covered by the hash: such a tag outside the protected area is refused.
ImageResult TagReader::Take(const Tag& tag, bool is_protected) {
  switch (static_cast<ImageTag>(tag.type)) {
    case ImageTag::kSha256:
    case ImageTag::kSha384:
    case ImageTag::kSha512:
      return is_protected ? ImageResult::kBadTags : TakeHash(tag);
    case ImageTag::kEcdsaSignature:
      return TakeRange(tag, image_.ecdsa_signature);
    case ImageTag::kKeyHash:
      return TakeRange(tag, image_.key_hash);
    case ImageTag::kDependency:
      return is_protected ? TakeDependency(tag) : ImageResult::kBadTags;
    case ImageTag::kSecurityCounter: {
      std::array<uint8_t, 4> bytes{};
      if (!is_protected || has_counter_ || tag.size != bytes.size()) return ImageResult::kBadTags;
      if (!Read(tag.at, bytes)) return ImageResult::kReadFailed;
      has_counter_ = true;
      image_.security_counter = Get32(bytes, 0);
      return ImageResult::kOk;
    }
    case ImageTag::kHardwareId:
      if (!is_protected || image_.hardware_id_size != 0 || tag.size == 0 || tag.size > kMaxHardwareIdSize) {
        image_.hardware_id_is_odd = true;
        return ImageResult::kOk;
      }
      image_.hardware_id_size = static_cast<uint8_t>(tag.size);
      return source_.Read(tag.at, std::span(image_.hardware_id).first(tag.size)) ? ImageResult::kOk
                                                                                 : ImageResult::kReadFailed;
  }
  return ImageResult::kOk;
}

ImageResult ReadHeader(ImageSource& source, ImageHeader& header) {
  std::array<uint8_t, kImageHeaderSize> bytes{};
  if (source.size() < bytes.size()) return ImageResult::kBadSizes;
  if (!source.Read(0, bytes)) return ImageResult::kReadFailed;
  if (IsErased(bytes)) return ImageResult::kBlank;
  if (Get32(bytes, 0) != kImageMagic) return ImageResult::kBadMagic;
  header = {.load_address = Get32(bytes, 4),
            .header_size = Get16(bytes, 8),
            .protected_size = Get16(bytes, 10),
            .body_size = Get32(bytes, 12),
            .flags = Get32(bytes, 16),
            .version = GetVersion(bytes, 20)};
  const uint64_t hashed = uint64_t{header.header_size} + header.body_size + header.protected_size;
  if (header.header_size < kMinHeaderSize || header.body_size == 0 || hashed > source.size()) {
    return ImageResult::kBadSizes;
  }
  return (header.flags & kImageNotBootable) != 0 ? ImageResult::kUnsupported : ImageResult::kOk;
}

}  // namespace

ImageResult ReadImage(ImageSource& source, Image& image) {
  image = Image();
  if (const ImageResult header = ReadHeader(source, image.header); header != ImageResult::kOk) return header;
  TagReader tags(source, image);
  uint32_t end = image.header.header_size + image.header.body_size;
  if (image.header.protected_size != 0) {
    const ImageResult result = tags.ReadArea(end, /*is_protected=*/true, end);
    if (result != ImageResult::kOk) return result;
  }
  image.hashed_size = end;
  const ImageResult result = tags.ReadArea(end, /*is_protected=*/false, image.total_size);
  if (result != ImageResult::kOk) return result;
  return image.hash_tag.size == 0 ? ImageResult::kNoHash : ImageResult::kOk;
}

ImageResult CheckForOurs(const Image& image) {
  if (image.header.IsEncrypted() || image.hash_type != ImageTag::kSha256) return ImageResult::kUnsupported;
  return image.hardware_id_is_odd ? ImageResult::kBadTags : ImageResult::kOk;
}

const char* ImageResultText(ImageResult result) {
  switch (result) {
    case ImageResult::kOk:
      return "ok";
    case ImageResult::kReadFailed:
      return "it cannot be read";
    case ImageResult::kBlank:
      return "it is blank";
    case ImageResult::kBadMagic:
      return "it is no MCUboot image (wrong magic)";
    case ImageResult::kBadSizes:
      return "the sizes in its header are impossible, or it is truncated";
    case ImageResult::kBadTags:
      return "its tags are malformed, or it is truncated";
    case ImageResult::kNoHash:
      return "it has no hash tag";
    case ImageResult::kUnsupported:
      break;
  }
  return "it is encrypted, has another hash than SHA-256, or is marked as not bootable";
}

}  // namespace tandem::boot
