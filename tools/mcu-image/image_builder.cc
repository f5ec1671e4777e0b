#include "tools/mcu-image/image_builder.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <span>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"

namespace tandem::mcu_image {
namespace {

constexpr uint16_t kProtectedMagic = 0x6908;
constexpr uint16_t kOtherMagic = 0x6907;
// Of a DER-encoded P-256 key: its end is the uncompressed point.
constexpr size_t kPointSize = 65;

void Put(std::string& bytes, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
}

void PutVersion(std::string& bytes, const boot::ImageVersion& version) {
  Put(bytes, version.major, 1);
  Put(bytes, version.minor, 1);
  Put(bytes, version.revision, 2);
  Put(bytes, version.build, 4);
}

void PutTag(std::string& tags, boot::ImageTag type, std::string_view value) {
  Put(tags, static_cast<uint16_t>(type), 2);
  Put(tags, value.size(), 2);
  tags.append(value);
}

std::string Area(uint16_t magic, const std::string& tags) {
  std::string area;
  Put(area, magic, 2);
  Put(area, tags.size() + 4, 2);
  return area + tags;
}

std::string ProtectedTags(const ImageSpec& spec) {
  std::string tags;
  if (spec.security_counter != 0) {
    std::string value;
    Put(value, spec.security_counter, 4);
    PutTag(tags, boot::ImageTag::kSecurityCounter, value);
  }
  for (const boot::ImageDependency& dependency : spec.dependencies) {
    std::string value;
    Put(value, dependency.image, 4);
    PutVersion(value, dependency.at_least);
    PutTag(tags, boot::ImageTag::kDependency, value);
  }
  if (!spec.hardware_id.empty()) PutTag(tags, boot::ImageTag::kHardwareId, spec.hardware_id);
  return tags.empty() ? "" : Area(kProtectedMagic, tags);
}

std::string Header(const ImageSpec& spec, size_t body_size, size_t protected_size) {
  std::string header;
  Put(header, boot::kImageMagic, 4);
  Put(header, spec.load_address, 4);
  Put(header, spec.header_size, 2);
  Put(header, protected_size, 2);
  Put(header, body_size, 4);
  Put(header, spec.flags, 4);
  PutVersion(header, spec.version);
  header.resize(spec.header_size, '\0');
  return header;
}

absl::Status CheckSpec(const ImageSpec& spec, std::string_view body) {
  if (spec.header_size < boot::kImageHeaderSize)
    return absl::InvalidArgumentError("the header needs 32 bytes; take --header-size 512");
  if (body.empty()) return absl::InvalidArgumentError("the body is empty");
  if (body.size() > std::numeric_limits<uint32_t>::max() / 2)
    return absl::InvalidArgumentError("the body is too large");
  if (spec.hardware_id.size() > boot::kMaxHardwareIdSize) {
    return absl::InvalidArgumentError(absl::StrCat("the hardware id is longer than ", boot::kMaxHardwareIdSize));
  }
  if (spec.dependencies.size() > boot::kMaxImageDependencies) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", boot::kMaxImageDependencies, " dependencies"));
  }
  return absl::OkStatus();
}

absl::Status CheckKey(const PublicKey& key) {
  if (key.algorithm() == KeyAlgorithm::kEcdsaP256) return absl::OkStatus();
  return absl::InvalidArgumentError("images are signed with ECDSA P-256; this key is another one");
}

class TextSource final : public boot::ImageSource {
 public:
  explicit TextSource(std::string_view bytes) : bytes_(bytes) {}
  uint32_t size() const override { return static_cast<uint32_t>(bytes_.size()); }
  bool Read(uint32_t at, std::span<uint8_t> into) override {
    std::copy_n(bytes_.begin() + at, into.size(), into.begin());
    return true;
  }

 private:
  std::string_view bytes_;
};

std::string_view Part(std::string_view bytes, const boot::ImageRange& range) {
  return bytes.substr(range.at, range.size);
}

// A decimal number at the start of `rest`, that fits its type.
template <typename T>
bool TakeNumber(std::string_view& rest, T& number) {
  const std::from_chars_result read = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (read.ec != std::errc()) return false;
  rest.remove_prefix(read.ptr - rest.data());
  return true;
}

bool TakeChar(std::string_view& rest, char wanted) {
  if (rest.empty() || rest[0] != wanted) return false;
  rest.remove_prefix(1);
  return true;
}

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) absl::StrAppendFormat(&text, "0x%02x, ", static_cast<uint8_t>(byte));
  return text;
}

}  // namespace

absl::Status CheckBootable(const ImageSpec& spec) {
  // Of a Cortex-M's vector table.
  constexpr uint32_t kAlignment = 256;
  const uint32_t where = spec.flags & (boot::kImageRamLoad | boot::kImageRomFixed);
  if (where == 0) {
    return absl::InvalidArgumentError("say where it runs: --ram-load (copied to RAM) or --rom-fixed (in its slot)");
  }
  if (where == (boot::kImageRamLoad | boot::kImageRomFixed)) {
    return absl::InvalidArgumentError("it cannot be both: leave out --ram-load or --rom-fixed");
  }
  RETURN_IF_ERROR(CheckSpec(spec, "body"));
  const uint32_t vectors = spec.load_address + spec.header_size;
  if (vectors % kAlignment == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "load address + header size is 0x%08x, where no vector table can be: make it a multiple of %u, such "
      "as with load address 0x%08x",
      vectors, kAlignment, spec.load_address - vectors % kAlignment));
}

absl::StatusOr<std::string> BuildImage(const ImageSpec& spec, std::string_view body, const PrivateKey* key) {
  RETURN_IF_ERROR(CheckSpec(spec, body));
  const std::string protected_tags = ProtectedTags(spec);
  std::string image = Header(spec, body.size(), protected_tags.size());
  image.append(body).append(protected_tags);
  std::string tags;
  PutTag(tags, boot::ImageTag::kSha256, Sha256(image));
  if (key != nullptr) {
    RETURN_IF_ERROR(CheckKey(key->public_key()));
    PutTag(tags, boot::ImageTag::kKeyHash, Sha256(key->public_key().der()));
    ASSIGN_OR_RETURN(const std::string signature, key->Sign(image));
    PutTag(tags, boot::ImageTag::kEcdsaSignature, signature);
  }
  return image + Area(kOtherMagic, tags);
}

absl::StatusOr<boot::Image> ParseImage(std::string_view bytes) {
  TextSource source(bytes);
  boot::Image image;
  boot::ImageResult result = ReadImage(source, image);
  if (result == boot::ImageResult::kOk) result = CheckForOurs(image);
  if (result == boot::ImageResult::kOk) return image;
  return absl::InvalidArgumentError(ImageResultText(result));
}

absl::Status VerifyImage(std::string_view bytes, const PublicKey& key) {
  RETURN_IF_ERROR(CheckKey(key));
  ASSIGN_OR_RETURN(const boot::Image image, ParseImage(bytes));
  const std::string_view signed_bytes = bytes.substr(0, image.hashed_size);
  if (Sha256(signed_bytes) != std::string(image.hash.begin(), image.hash.end())) {
    return absl::PermissionDeniedError("its bytes do not match its hash");
  }
  if (image.ecdsa_signature.size == 0) return absl::PermissionDeniedError("it is not signed");
  if (Part(bytes, image.key_hash) != Sha256(key.der())) {
    return absl::PermissionDeniedError("it is signed with another key");
  }
  return key.Verify(signed_bytes, Part(bytes, image.ecdsa_signature));
}

absl::StatusOr<boot::ImageVersion> ParseImageVersion(std::string_view text) {
  boot::ImageVersion version;
  std::string_view rest = text;
  const bool good = TakeNumber(rest, version.major) && TakeChar(rest, '.') && TakeNumber(rest, version.minor) &&
                    TakeChar(rest, '.') && TakeNumber(rest, version.revision) &&
                    (rest.empty() || (TakeChar(rest, '+') && TakeNumber(rest, version.build))) && rest.empty();
  if (good) return version;
  return absl::InvalidArgumentError(absl::StrCat("\"", std::string(text), "\" is no version such as 1.2.3 or 1.2.3+4"));
}

std::string ImageVersionText(const boot::ImageVersion& version) {
  const std::string text = absl::StrCat(version.major, ".", version.minor, ".", version.revision);
  return version.build == 0 ? text : absl::StrCat(text, "+", version.build);
}

absl::StatusOr<std::string> KeySource(const PublicKey& key) {
  RETURN_IF_ERROR(CheckKey(key));
  const std::string_view der = key.der();
  return absl::StrCat("// Made by tandem-mcu-image key-source.\n#include \"bootloader/mcu/public_key.h\"\n\n",
                      "namespace tandem::mcu {\n\nconstinit const PublicKey kImageKey = {\n    {",
                      Hex(der.substr(der.size() - kPointSize)), "},\n    {", Hex(Sha256(der)),
                      "}};\n\n}  // namespace tandem::mcu\n");
}

}  // namespace tandem::mcu_image
