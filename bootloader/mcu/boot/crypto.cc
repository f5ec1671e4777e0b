#include "bootloader/mcu/boot/crypto.h"

#include "bearssl_ec.h"

namespace tandem::mcu {

Sha256Hash::Sha256Hash() { br_sha256_init(&context_); }

void Sha256Hash::Update(std::span<const uint8_t> bytes) { br_sha256_update(&context_, bytes.data(), bytes.size()); }

Digest Sha256Hash::Finish() const {
  Digest digest;
  br_sha256_out(&context_, digest.data());
  return digest;
}

bool VerifyP256(const PublicKey& key, const Digest& digest, std::span<const uint8_t> signature) {
  br_ec_public_key ec = {};
  ec.curve = BR_EC_secp256r1;
  // BearSSL does not write to it.
  ec.q = const_cast<unsigned char*>(key.point.data());
  ec.qlen = key.point.size();
  return br_ecdsa_i31_vrfy_asn1(&br_ec_p256_m31, digest.data(), digest.size(), &ec, signature.data(),
                                signature.size()) == 1;
}

}  // namespace tandem::mcu
