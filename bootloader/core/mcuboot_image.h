// The MCUboot image format: header, and tags (TLVs) after the body. Freestanding: the bootloader on the MCU and the
// Update Manager on the host read images with the same code.
//
// Little-endian (MCUboot, docs/design.md, "Image format"):
//    0 u32 magic 0x96f3b83d   4 u32 load address   8 u16 header size   10 u16 size of the protected tags
//   12 u32 body size   16 u32 flags   20 u8 major, u8 minor, u16 revision, u32 build
// At header size + body size: {u16 0x6908, u16 total} and protected tags, when there are any; then {u16 0x6907,
// u16 total} and the others. A tag is {u16 type, u16 length, value}. The image's hash, which SMP also calls `hash`, is
// over header, body and protected tags.
//
// What is read here is only the form. Nothing in an image may be believed before its signature was checked. Devices
// differ in what they take: ReadImage() reads what any MCUboot may boot, CheckForOurs() says whether our bootloader
// would.
#ifndef TANDEM_BOOTLOADER_CORE_MCUBOOT_IMAGE_H_
#define TANDEM_BOOTLOADER_CORE_MCUBOOT_IMAGE_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::boot {

inline constexpr uint32_t kImageMagic = 0x96f3b83d;
inline constexpr size_t kImageHeaderSize = 32;
inline constexpr size_t kImageHashSize = 32;

// Of ImageHeader::flags.
inline constexpr uint32_t kImageEncryptedAes128 = 0x04;
inline constexpr uint32_t kImageEncryptedAes256 = 0x08;
inline constexpr uint32_t kImageNotBootable = 0x10;
// Copied to load_address before it runs.
inline constexpr uint32_t kImageRamLoad = 0x20;
// Runs in place, and only when its slot is at load_address.
inline constexpr uint32_t kImageRomFixed = 0x100;

enum class ImageTag : uint16_t {
  kKeyHash = 0x01,
  kSha256 = 0x10,
  kSha384 = 0x11,
  kSha512 = 0x12,
  kEcdsaSignature = 0x22,
  kDependency = 0x40,
  kSecurityCounter = 0x50,
  // Of the range that MCUboot leaves to vendors (0x00a0 and up): the name of the hardware it runs on. Protected.
  kHardwareId = 0xa0,
};

struct ImageVersion {
  uint8_t major = 0;
  uint8_t minor = 0;
  uint16_t revision = 0;
  uint32_t build = 0;

  auto operator<=>(const ImageVersion&) const = default;
};

// Another image of the same device must be at least this new.
struct ImageDependency {
  uint8_t image = 0;
  ImageVersion at_least;

  bool operator==(const ImageDependency&) const = default;
};

struct ImageHeader {
  bool IsEncrypted() const { return (flags & (kImageEncryptedAes128 | kImageEncryptedAes256)) != 0; }

  uint32_t load_address = 0;
  uint16_t header_size = 0;
  uint16_t protected_size = 0;
  uint32_t body_size = 0;
  uint32_t flags = 0;
  ImageVersion version;
};

// A part of an image, by its place in it; size 0: not there.
struct ImageRange {
  uint32_t at = 0;
  uint32_t size = 0;
};

inline constexpr size_t kMaxImageDependencies = 4;
inline constexpr size_t kMaxHardwareIdSize = 32;

struct Image {
  ImageHeader header;
  // Header, body and protected tags: what the hash is over.
  uint32_t hashed_size = 0;
  // With all tags.
  uint32_t total_size = 0;
  // kSha256, kSha384 or kSha512, and its value. In an encrypted image it is over the plain bytes.
  ImageTag hash_type = ImageTag::kSha256;
  ImageRange hash_tag;
  // The value of a kSha256.
  std::array<uint8_t, kImageHashSize> hash{};
  // ASN.1 DER, over the hash.
  ImageRange ecdsa_signature;
  // SHA-256 of the public key.
  ImageRange key_hash;
  // 0 when there is none.
  uint32_t security_counter = 0;
  std::array<uint8_t, kMaxHardwareIdSize> hardware_id{};
  uint8_t hardware_id_size = 0;
  // The tag 0xa0 is another vendor's, or not to be believed: twice, of another size, or outside the protected area.
  bool hardware_id_is_odd = false;
  std::array<ImageDependency, kMaxImageDependencies> dependencies{};
  uint8_t dependency_count = 0;
};

enum class ImageResult : uint8_t {
  kOk,
  // The source failed.
  kReadFailed,
  // Only erased bytes where the header should be.
  kBlank,
  kBadMagic,
  // The header's sizes cannot be, or end after the source.
  kBadSizes,
  // The tags do not fill their areas, stand twice, have a wrong size or stand outside the protected area.
  kBadTags,
  kNoHash,
  // Not to be booted; for our bootloader also encrypted, or of another hash than SHA-256.
  kUnsupported,
};

// "ok", "it is no MCUboot image (wrong magic)", ...
const char* ImageResultText(ImageResult result);

// Where an image is read from: flash, memory, a file.
class ImageSource {
 public:
  virtual uint32_t size() const = 0;
  // False when it fails. Only called within size().
  virtual bool Read(uint32_t at, std::span<uint8_t> into) = 0;

 protected:
  ~ImageSource() = default;
};

// `image` is whole only when kOk. Tags of unknown type are skipped. Bytes after the image are allowed: a slot is
// longer.
ImageResult ReadImage(ImageSource& source, Image& image);

// kOk when `image`, as ReadImage() has read it, is one for our bootloader: not encrypted, hashed with SHA-256, and with
// at most one hardware id, under the hash.
ImageResult CheckForOurs(const Image& image);

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_CORE_MCUBOOT_IMAGE_H_
