// Envelopes from anywhere: never accepted without signatures, and read the same when they are written again.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/crypto/dsse.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<tandem::PublicKey>* const keys =
      new std::vector<tandem::PublicKey>{tandem::PrivateKey::Generate(tandem::KeyAlgorithm::kEd25519)->public_key(),
                                         tandem::PrivateKey::Generate(tandem::KeyAlgorithm::kEcdsaP256)->public_key()};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<tandem::DsseEnvelope> envelope = tandem::ParseDsse(text);
  for (const uint32_t threshold : {0u, 1u, 2u}) {
    FUZZ_CHECK(!tandem::OpenDsse(text, envelope.ok() ? envelope->payload_type : "type", *keys, threshold).ok());
  }
  if (!envelope.ok()) return 0;
  const absl::StatusOr<tandem::DsseEnvelope> again = tandem::ParseDsse(tandem::SerializeDsse(*envelope));
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->payload == envelope->payload && again->payload_type == envelope->payload_type);
  FUZZ_CHECK(again->signatures.size() == envelope->signatures.size());
  return 0;
}
