// tandem-mcu-image: MCUboot images for microcontrollers, from the command line.
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bootloader/mcu/port/mps2_an385_layout.h"
#include "common/crypto/keys.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tools/mcu-image/image_builder.h"

namespace tandem::mcu_image {
namespace {

constexpr char kExamples[] = R"(
Examples:
  tandem-mcu-image create --in app.bin --out app.img --version 1.2.0 --load-address 0x20000000 --ram-load \
      --hardware-id mps2-an385 --security-counter 3 --key signing.pem
  tandem-mcu-image show app.img
  tandem-mcu-image verify app.img --key signing-public.pem
  tandem-mcu-image flash --slot-a app.img --out flash.bin
A key is made by: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signing.pem
Exit codes: 0 done, 1 failed, 2 usage.)";

struct CreateOptions {
  std::string in;
  std::string out;
  std::string version;
  std::string key;
  std::vector<std::string> dependencies;
  bool ram_load = false;
  bool rom_fixed = false;
  ImageSpec spec;
};

absl::StatusOr<std::string> Read(const std::string& path) { return FileSystem::Real().ReadFile(path); }
absl::Status Write(const std::string& path, std::string_view bytes) {
  return FileSystem::Real().WriteFileAtomically(path, bytes);
}

// "IMAGE:VERSION".
absl::StatusOr<boot::ImageDependency> ParseDependency(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon != 1 || text[0] < '0' || text[0] > '9') {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no dependency such as 1:2.0.0"));
  }
  ASSIGN_OR_RETURN(const boot::ImageVersion version, ParseImageVersion(text.substr(2)));
  return boot::ImageDependency{static_cast<uint8_t>(text[0] - '0'), version};
}

// What the command line got wrong, which no other try helps: exit code 2.
constexpr char kUsage[] = "tandem.dev/usage";
absl::Status Usage(absl::Status status) {
  if (!status.ok()) status.SetPayload(kUsage, absl::Cord());
  return status;
}

// A key file that is there and is not the right kind is a usage error, and the fix is OpenSSL's.
template <typename Key>
absl::StatusOr<Key> RightKey(absl::StatusOr<Key> key, const std::string& path) {
  const auto public_key = [](const auto& any) -> const PublicKey& {
    if constexpr (std::is_same_v<Key, PrivateKey>)
      return any.public_key();
    else
      return any;
  };
  if (absl::IsNotFound(key.status())) return Usage(key.status());
  if (key.ok() && public_key(*key).algorithm() == KeyAlgorithm::kEcdsaP256) return key;
  return Usage(absl::InvalidArgumentError(
      absl::StrCat(path,
                   " is no ECDSA P-256 key; make one with: openssl genpkey -algorithm EC -pkeyopt "
                   "ec_paramgen_curve:P-256 -out signing.pem")));
}

absl::Status ReadSpec(CreateOptions& options) {
  ASSIGN_OR_RETURN(options.spec.version, ParseImageVersion(options.version));
  for (const std::string& text : options.dependencies) {
    ASSIGN_OR_RETURN(const boot::ImageDependency dependency, ParseDependency(text));
    options.spec.dependencies.push_back(dependency);
  }
  if (options.ram_load) options.spec.flags |= boot::kImageRamLoad;
  if (options.rom_fixed) options.spec.flags |= boot::kImageRomFixed;
  return CheckBootable(options.spec);
}

absl::Status Create(CreateOptions& options) {
  RETURN_IF_ERROR(Usage(ReadSpec(options)));
  ASSIGN_OR_RETURN(const std::string body, Read(options.in));
  if (options.key.empty()) {
    ASSIGN_OR_RETURN(const std::string image, BuildImage(options.spec, body, nullptr));
    return Write(options.out, image);
  }
  ASSIGN_OR_RETURN(const PrivateKey key, RightKey(LoadPrivateKey(options.key), options.key));
  ASSIGN_OR_RETURN(const std::string image, BuildImage(options.spec, body, &key));
  return Write(options.out, image);
}

absl::Status Show(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, Read(path));
  ASSIGN_OR_RETURN(const boot::Image image, Annotate(ParseImage(bytes), path));
  const std::string_view all = bytes;
  const auto hex = [](const auto& range) { return HexEncode(std::string(range.begin(), range.end())); };
  const boot::ImageHeader& header = image.header;
  std::cout << "version           " << ImageVersionText(header.version) << "\n"
            << "hash              " << hex(image.hash) << "\n"
            << absl::StreamFormat("load address      0x%08x%s%s\n", header.load_address,
                                  (header.flags & boot::kImageRamLoad) != 0 ? ", copied to RAM" : "",
                                  (header.flags & boot::kImageRomFixed) != 0 ? ", runs in place" : "")
            << "size              " << image.total_size << " (header " << header.header_size << ", body "
            << header.body_size << ")\n"
            << "security counter  " << image.security_counter << "\n"
            << "hardware id       "
            << std::string(image.hardware_id.begin(), image.hardware_id.begin() + image.hardware_id_size) << "\n"
            << "signature         " << (image.ecdsa_signature.size != 0 ? "ECDSA P-256" : "none") << "\n"
            << "key               " << HexEncode(all.substr(image.key_hash.at, image.key_hash.size)) << "\n";
  for (int i = 0; i < image.dependency_count; ++i) {
    std::cout << "needs             image " << int{image.dependencies[i].image} << " from "
              << ImageVersionText(image.dependencies[i].at_least) << " on\n";
  }
  return absl::OkStatus();
}

absl::Status Verify(const std::string& path, const std::string& key_path) {
  ASSIGN_OR_RETURN(const std::string bytes, Read(path));
  ASSIGN_OR_RETURN(const PublicKey key, RightKey(LoadPublicKey(key_path), key_path));
  RETURN_IF_ERROR(Annotate(VerifyImage(bytes, key), path));
  std::cout << "good\n";
  return absl::OkStatus();
}

absl::Status PlaceImage(const std::string& path, uint32_t at, std::string& flash) {
  if (path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string image, Read(path));
  if (image.size() > mcu::mps2_an385::kLayout.slot_size) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is larger than a slot"));
  }
  RETURN_IF_ERROR(Annotate(ParseImage(image).status(), path));
  flash.replace(at, image.size(), image);
  return absl::OkStatus();
}

absl::Status MakeFlash(const std::string& slot_a, const std::string& slot_b, const std::string& out) {
  namespace board = mcu::mps2_an385;
  std::string flash(board::kFlash.size, static_cast<char>(board::kFlash.erased));
  RETURN_IF_ERROR(PlaceImage(slot_a, board::kLayout.slot_a, flash));
  RETURN_IF_ERROR(PlaceImage(slot_b, board::kLayout.slot_b, flash));
  return Write(out, flash);
}

absl::Status WriteKeySource(const std::string& key_path, const std::string& out) {
  ASSIGN_OR_RETURN(const PublicKey key, RightKey(LoadPublicKey(key_path), key_path));
  ASSIGN_OR_RETURN(const std::string source, KeySource(key));
  return Write(out, source);
}

void AddCreate(CLI::App& app, CreateOptions& options, absl::Status& result) {
  CLI::App* create = app.add_subcommand("create", "Makes an image of a linked binary and signs it.");
  create->add_option("--in", options.in, "The binary, from its vector table on (objcopy -O binary)")->required();
  create->add_option("--out", options.out, "The image")->required();
  create->add_option("--version", options.version, "Such as 1.2.3 or 1.2.3+4")->required();
  create->add_option("--load-address", options.spec.load_address, "Where the header goes: RAM, or the slot's address")
      ->required();
  create->add_flag("--ram-load", options.ram_load, "The bootloader copies it to its load address: runs from any slot");
  create->add_flag("--rom-fixed", options.rom_fixed, "Runs in place, from the slot at its load address only");
  create->add_option("--header-size", options.spec.header_size, "Bytes before the vector table")->capture_default_str();
  create->add_option("--security-counter", options.spec.security_counter, "Devices with a higher one refuse it");
  create->add_option("--hardware-id", options.spec.hardware_id, "The hardware it runs on; at most 32 characters");
  create->add_option("--needs", options.dependencies, "IMAGE:VERSION of another image of the device; repeatable");
  create->add_option("--key", options.key, "ECDSA P-256 private key (PEM); without it the image is not signed");
  create->callback([&] { result = Create(options); });
}

int Main(int argc, char** argv) {
  CLI::App app("Makes, shows and checks MCUboot images.", "tandem-mcu-image");
  app.footer(kExamples);
  app.set_version_flag("--version", absl::StrCat("tandem-mcu-image ", TANDEM_VERSION));
  app.require_subcommand(1);
  absl::Status result;
  CreateOptions create;
  AddCreate(app, create, result);

  std::string image;
  std::string key;
  std::string out;
  CLI::App* show = app.add_subcommand("show", "Prints what an image says of itself; checks nothing but its form.");
  show->add_option("IMAGE", image)->required();
  show->callback([&] { result = Show(image); });

  CLI::App* verify = app.add_subcommand("verify", "Checks hash and signature.");
  verify->add_option("IMAGE", image)->required();
  verify->add_option("--key", key, "PEM, public or private")->required();
  verify->callback([&] { result = Verify(image, key); });

  std::string slot_a;
  std::string slot_b;
  CLI::App* flash = app.add_subcommand("flash", "Makes the flash of a new mps2-an385, as a file for QEMU.");
  flash->add_option("--slot-a", slot_a, "Image that the device leaves its factory with");
  flash->add_option("--slot-b", slot_b, "Image in the other slot");
  flash->add_option("--out", out)->required();
  flash->callback([&] { result = MakeFlash(slot_a, slot_b, out); });

  CLI::App* source = app.add_subcommand("key-source", "C++ source of the public key, for the bootloader's build.");
  source->add_option("--key", key, "PEM, public or private")->required();
  source->add_option("--out", out)->required();
  source->callback([&] { result = WriteKeySource(key, out); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (result.ok()) return 0;
  std::cerr << "tandem-mcu-image: " << ToPersonText(result) << "\n";
  return result.GetPayload(kUsage).has_value() ? 2 : 1;
}

}  // namespace
}  // namespace tandem::mcu_image

int main(int argc, char** argv) { return tandem::mcu_image::Main(argc, argv); }
