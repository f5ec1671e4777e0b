// SHA-256 and the check of an ECDSA P-256 signature, by BearSSL. Freestanding, no heap; the same on MCU and host.
#ifndef TANDEM_BOOTLOADER_MCU_BOOT_CRYPTO_H_
#define TANDEM_BOOTLOADER_MCU_BOOT_CRYPTO_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bearssl_hash.h"

namespace tandem::mcu {

using Digest = std::array<uint8_t, 32>;

class Sha256Hash {
 public:
  Sha256Hash();
  void Update(std::span<const uint8_t> bytes);
  Digest Finish() const;

 private:
  br_sha256_context context_;
};

struct PublicKey {
  // 0x04, x, y.
  std::array<uint8_t, 65> point;
  // SHA-256 of the key's SubjectPublicKeyInfo: what images name it by.
  Digest hash;
};

// `signature` is ASN.1 DER over `digest`. Takes long on a small MCU: some tenths of a second.
bool VerifyP256(const PublicKey& key, const Digest& digest, std::span<const uint8_t> signature);

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_BOOT_CRYPTO_H_
