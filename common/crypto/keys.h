// Signing keys: Ed25519 and ECDSA P-256 through OpenSSL's EVP.
//
//   ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(KeyAlgorithm::kEd25519));
//   RETURN_IF_ERROR(SavePrivateKey(key, "release-1.pem"));
//   ASSIGN_OR_RETURN(std::string signature, key.Sign(message));
//   RETURN_IF_ERROR(key.public_key().Verify(message, signature));
#ifndef TANDEM_COMMON_CRYPTO_KEYS_H_
#define TANDEM_COMMON_CRYPTO_KEYS_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// OpenSSL's key, so that its headers stay out of ours.
struct evp_pkey_st;

namespace tandem {

enum class KeyAlgorithm { kEd25519, kEcdsaP256 };

// "ed25519" or "ecdsa-p256", as the command line takes them.
std::string_view KeyAlgorithmName(KeyAlgorithm algorithm);
// INVALID_ARGUMENT for another name.
absl::StatusOr<KeyAlgorithm> ParseKeyAlgorithm(std::string_view name);

// An immutable value; copies are cheap. Thread-safe.
class PublicKey {
 public:
  // SubjectPublicKeyInfo. Only the canonical encoding (44 bytes for Ed25519, 91 for an uncompressed P-256 point) is
  // taken, so that one key has one keyid and cannot count twice. INVALID_ARGUMENT otherwise.
  static absl::StatusOr<PublicKey> FromDer(std::string_view der);
  static absl::StatusOr<PublicKey> FromPem(std::string_view pem);

  // PERMISSION_DENIED when `signature` is not this key's over `message`. Ed25519: 64 raw bytes; P-256: ASN.1 DER over
  // SHA-256.
  absl::Status Verify(std::string_view message, std::string_view signature) const;

  KeyAlgorithm algorithm() const { return algorithm_; }
  const std::string& der() const { return der_; }
  // Lower-case hex of the SHA-256 of der().
  const std::string& keyid() const { return keyid_; }
  std::string ToPem() const;

  friend bool operator==(const PublicKey& a, const PublicKey& b) { return a.der_ == b.der_; }

 private:
  friend class PrivateKey;
  PublicKey(std::shared_ptr<evp_pkey_st> key, KeyAlgorithm algorithm, std::string der);

  std::shared_ptr<evp_pkey_st> key_;
  KeyAlgorithm algorithm_;
  std::string der_;
  std::string keyid_;
};

// An immutable value; copies share the key. Thread-safe.
class PrivateKey {
 public:
  static absl::StatusOr<PrivateKey> Generate(KeyAlgorithm algorithm);
  // PKCS#8 without a passphrase. INVALID_ARGUMENT for anything else.
  static absl::StatusOr<PrivateKey> FromPem(std::string_view pem);

  // See LoadSigningKey().
  static absl::StatusOr<PrivateKey> FromUri(const std::string& uri);

  absl::StatusOr<std::string> Sign(std::string_view message) const;
  const PublicKey& public_key() const { return public_key_; }
  absl::StatusOr<std::string> ToPem() const;

 private:
  PrivateKey(std::shared_ptr<evp_pkey_st> key, PublicKey public_key)
      : key_(std::move(key)), public_key_(std::move(public_key)) {}
  static absl::StatusOr<PrivateKey> Wrap(std::shared_ptr<evp_pkey_st> key);

  std::shared_ptr<evp_pkey_st> key_;
  PublicKey public_key_;
};

// Writes a new file of mode 0600, synced. ALREADY_EXISTS rather than overwrite a key.
absl::Status SavePrivateKey(const PrivateKey& key, const std::string& path);
// The same for any secret text.
absl::Status SaveSecret(std::string_view text, const std::string& path);
absl::StatusOr<PrivateKey> LoadPrivateKey(const std::string& path);
// A path, or the URI of a key that stays where it is, as OpenSSL's OSSL_STORE takes it:
// "pkcs11:token=fleet;object=online" with a PKCS#11 provider in openssl.cnf, or "file:/…". INVALID_ARGUMENT: nothing
// there, several keys, or no key that signs with Ed25519 or ECDSA P-256.
absl::StatusOr<PrivateKey> LoadSigningKey(const std::string& path_or_uri);
// A PEM file with a public key, or with a private key whose public half is taken.
absl::StatusOr<PublicKey> LoadPublicKey(const std::string& path);

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_KEYS_H_
