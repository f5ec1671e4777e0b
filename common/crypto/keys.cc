#include "common/crypto/keys.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem {
namespace {

// SubjectPublicKeyInfo of exactly these sizes is the only encoding taken; see PublicKey::FromDer().
constexpr size_t kEd25519DerSize = 44;
constexpr size_t kP256DerSize = 91;
// A key file is some hundred bytes.
constexpr uint64_t kMaxKeyFile = 64 << 10;

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, BioDeleter>;

struct MdContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using MdContextPtr = std::unique_ptr<EVP_MD_CTX, MdContextDeleter>;

std::shared_ptr<EVP_PKEY> Own(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

const unsigned char* Bytes(std::string_view view) { return reinterpret_cast<const unsigned char*>(view.data()); }

// The text of OpenSSL's newest error; the queue is emptied, so that an old error is never blamed for a new failure.
std::string OpenSslError() {
  const unsigned long code = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's type
  ERR_clear_error();
  if (code == 0) return "no reason given";
  char text[256];
  ERR_error_string_n(code, text, sizeof(text));
  return text;
}

absl::StatusOr<KeyAlgorithm> AlgorithmOf(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return KeyAlgorithm::kEd25519;
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    char group[64] = {};
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) == 1 &&
        (std::string_view(group) == "prime256v1" || std::string_view(group) == "P-256")) {
      return KeyAlgorithm::kEcdsaP256;
    }
  }
  return absl::InvalidArgumentError(
      "the key is neither Ed25519 nor ECDSA P-256; make one with `tandem-release key new`");
}

absl::StatusOr<std::string> DerOf(EVP_PKEY* key) {
  unsigned char* buffer = nullptr;
  const int size = i2d_PUBKEY(key, &buffer);
  if (size <= 0) return absl::InvalidArgumentError(absl::StrCat("encode the public key: ", OpenSslError()));
  std::string der(reinterpret_cast<char*>(buffer), static_cast<size_t>(size));
  OPENSSL_free(buffer);
  return der;
}

// Null for a key whose digest is part of the algorithm.
const EVP_MD* DigestOf(KeyAlgorithm algorithm) {
  return algorithm == KeyAlgorithm::kEcdsaP256 ? EVP_sha256() : nullptr;
}

absl::StatusOr<std::string> BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT(google-runtime-int): OpenSSL's type
  if (size <= 0) return absl::InternalError(absl::StrCat("write PEM: ", OpenSslError()));
  return std::string(data, static_cast<size_t>(size));
}

// A passphrase prompt must never block a program; the answer is always "none".
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return -1; }

}  // namespace

std::string_view KeyAlgorithmName(KeyAlgorithm algorithm) {
  return algorithm == KeyAlgorithm::kEd25519 ? "ed25519" : "ecdsa-p256";
}

absl::StatusOr<KeyAlgorithm> ParseKeyAlgorithm(std::string_view name) {
  for (KeyAlgorithm algorithm : {KeyAlgorithm::kEd25519, KeyAlgorithm::kEcdsaP256}) {
    if (name == KeyAlgorithmName(algorithm)) return algorithm;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(name), "\" is no key algorithm; choose ed25519 or ecdsa-p256"));
}

PublicKey::PublicKey(std::shared_ptr<evp_pkey_st> key, KeyAlgorithm algorithm, std::string der)
    : key_(std::move(key)), algorithm_(algorithm), der_(std::move(der)), keyid_(HexEncode(Sha256(der_))) {}

namespace {

// A unit decodes the same few keys for every document that it checks, and decoding costs as much as checking.
class KnownKeys {
 public:
  std::optional<PublicKey> Find(const std::string& der) {
    std::lock_guard lock(mutex_);
    const auto known = keys_.find(der);
    return known == keys_.end() ? std::nullopt : std::make_optional(known->second);
  }
  void Add(const PublicKey& key) {
    std::lock_guard lock(mutex_);
    if (keys_.size() >= kMost) keys_.clear();
    keys_.emplace(key.der(), key);
  }

 private:
  static constexpr size_t kMost = 64;
  std::mutex mutex_;
  // By their canonical encoding.
  std::map<std::string, PublicKey> keys_;
};

KnownKeys& Known() {
  static KnownKeys* const known = new KnownKeys;
  return *known;
}

}  // namespace

absl::StatusOr<PublicKey> PublicKey::FromDer(std::string_view der) {
  if (std::optional<PublicKey> known = Known().Find(std::string(der)); known.has_value()) return *std::move(known);
  if (der.size() != kEd25519DerSize && der.size() != kP256DerSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a public key of ", der.size(), " bytes DER is neither Ed25519 (44) nor uncompressed P-256 (91)"));
  }
  const unsigned char* at = Bytes(der);
  std::shared_ptr<EVP_PKEY> key = Own(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) return absl::InvalidArgumentError(absl::StrCat("decode the public key: ", OpenSslError()));
  ASSIGN_OR_RETURN(const KeyAlgorithm algorithm, AlgorithmOf(key.get()));
  ASSIGN_OR_RETURN(std::string canonical, DerOf(key.get()));
  if (canonical != der) return absl::InvalidArgumentError("the public key is not in its canonical DER encoding");
  PublicKey decoded(std::move(key), algorithm, std::move(canonical));
  Known().Add(decoded);
  return decoded;
}

absl::StatusOr<PublicKey> PublicKey::FromPem(std::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::shared_ptr<EVP_PKEY> key = Own(PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return absl::InvalidArgumentError(absl::StrCat("read the PEM public key: ", OpenSslError()));
  ASSIGN_OR_RETURN(std::string der, DerOf(key.get()));
  return FromDer(der);
}

namespace {

// A unit checks the same few documents again and again: with each connection, for each UM that comes, at each start.
// Only what was found good is kept. Whatever differs in the key, the signature or the message has another digest.
class GoodSignatures {
 public:
  bool Has(const std::string& digest) {
    std::lock_guard lock(mutex_);
    return digests_.contains(digest);
  }
  void Add(const std::string& digest) {
    std::lock_guard lock(mutex_);
    if (digests_.size() >= kMost) digests_.clear();
    digests_.insert(digest);
  }

 private:
  static constexpr size_t kMost = 256;
  std::mutex mutex_;
  std::set<std::string> digests_;
};

GoodSignatures& Good() {
  static GoodSignatures* const good = new GoodSignatures;
  return *good;
}

// The lengths make sure that no two of these read the same.
std::string DigestOfSigned(const std::string& keyid, std::string_view message, std::string_view signature) {
  Sha256Stream stream;
  stream.Update(absl::StrCat(keyid, " ", signature.size(), " ", message.size(), " "));
  stream.Update(signature);
  stream.Update(message);
  return stream.Finish();
}

}  // namespace

absl::Status PublicKey::Verify(std::string_view message, std::string_view signature) const {
  const std::string digest = DigestOfSigned(keyid_, message, signature);
  if (Good().Has(digest)) return absl::OkStatus();
  MdContextPtr context(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(context.get(), nullptr, DigestOf(algorithm_), nullptr, key_.get()) != 1) {
    return absl::InternalError(absl::StrCat("start verification with key ", keyid_, ": ", OpenSslError()));
  }
  const int verified =
      EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message), message.size());
  ERR_clear_error();
  if (verified == 1) {
    Good().Add(digest);
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat("the signature is not from key ", keyid_));
}

std::string PublicKey::ToPem() const {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PUBKEY(bio.get(), key_.get()) != 1) ERR_clear_error();
  return BioText(bio.get()).value_or("");
}

absl::StatusOr<PrivateKey> PrivateKey::Wrap(std::shared_ptr<evp_pkey_st> key) {
  RETURN_IF_ERROR(AlgorithmOf(key.get()).status());
  // A key file may hold a compressed point; ours is always the uncompressed one.
  if (EVP_PKEY_is_a(key.get(), "EC") == 1) {
    EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                   OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED);
  }
  ASSIGN_OR_RETURN(std::string der, DerOf(key.get()));
  ASSIGN_OR_RETURN(PublicKey public_key, PublicKey::FromDer(der));
  return PrivateKey(std::move(key), std::move(public_key));
}

absl::StatusOr<PrivateKey> PrivateKey::Generate(KeyAlgorithm algorithm) {
  EVP_PKEY* key = algorithm == KeyAlgorithm::kEd25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                                                      : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  if (key == nullptr) return absl::InternalError(absl::StrCat("generate a key: ", OpenSslError()));
  return Wrap(Own(key));
}

absl::StatusOr<PrivateKey> PrivateKey::FromPem(std::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::shared_ptr<EVP_PKEY> key = Own(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("read the PEM private key (PKCS#8 without a passphrase is needed): ", OpenSslError()));
  }
  return Wrap(std::move(key));
}

absl::StatusOr<PrivateKey> PrivateKey::FromUri(const std::string& uri) {
  const auto no_pin = [](UI*, UI_STRING*) { return 0; };
  const std::unique_ptr<UI_METHOD, decltype(&UI_destroy_method)> silent(UI_create_method("tandem"), UI_destroy_method);
  UI_method_set_reader(silent.get(), no_pin);
  const std::unique_ptr<OSSL_STORE_CTX, decltype(&OSSL_STORE_close)> store(
      OSSL_STORE_open(uri.c_str(), silent.get(), nullptr, nullptr, nullptr), OSSL_STORE_close);
  if (store == nullptr) return absl::InvalidArgumentError(absl::StrCat("open ", uri, ": ", OpenSslError()));
  std::shared_ptr<EVP_PKEY> key;
  while (OSSL_STORE_eof(store.get()) != 1) {
    const std::unique_ptr<OSSL_STORE_INFO, decltype(&OSSL_STORE_INFO_free)> info(OSSL_STORE_load(store.get()),
                                                                                 OSSL_STORE_INFO_free);
    if (info == nullptr || OSSL_STORE_INFO_get_type(info.get()) != OSSL_STORE_INFO_PKEY) continue;
    if (key != nullptr) return absl::InvalidArgumentError(absl::StrCat(uri, " names several private keys; name one"));
    key = Own(OSSL_STORE_INFO_get1_PKEY(info.get()));
  }
  if (key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(uri, " has no private key that can be used: ", OpenSslError()));
  }
  return Annotate(Wrap(std::move(key)), uri);
}

absl::StatusOr<std::string> PrivateKey::Sign(std::string_view message) const {
  MdContextPtr context(EVP_MD_CTX_new());
  size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, DigestOf(public_key_.algorithm()), nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, Bytes(message), message.size()) != 1) {
    return absl::InternalError(absl::StrCat("sign with key ", public_key_.keyid(), ": ", OpenSslError()));
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, Bytes(message),
                     message.size()) != 1) {
    return absl::InternalError(absl::StrCat("sign with key ", public_key_.keyid(), ": ", OpenSslError()));
  }
  signature.resize(size);
  return signature;
}

absl::StatusOr<std::string> PrivateKey::ToPem() const {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return absl::InternalError(absl::StrCat("write the PEM private key: ", OpenSslError()));
  }
  return BioText(bio.get());
}

absl::Status SavePrivateKey(const PrivateKey& key, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, key.ToPem());
  return SaveSecret(pem, path);
}

absl::Status SaveSecret(std::string_view text, const std::string& path) {
  // Made with its final mode: it is never readable by others, not even for an instant.
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    if (errno == EEXIST) {
      return absl::AlreadyExistsError(absl::StrCat(path, " exists; a secret is never overwritten"));
    }
    return ErrnoStatus(errno, absl::StrCat("create ", path));
  }
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) break;
    done += static_cast<size_t>(wrote);
  }
  const bool whole = done == text.size() && fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (!whole) {
    unlink(path.c_str());
    return ErrnoStatus(error, absl::StrCat("write ", path));
  }
  return FileSystem::Real().SyncFolder(ParentFolder(path));
}

absl::StatusOr<PrivateKey> LoadPrivateKey(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, FileSystem::Real().ReadFile(path, kMaxKeyFile));
  return Annotate(PrivateKey::FromPem(pem), path);
}

absl::StatusOr<PublicKey> LoadPublicKey(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, FileSystem::Real().ReadFile(path, kMaxKeyFile));
  if (pem.find("PRIVATE KEY-----") != std::string::npos) {
    ASSIGN_OR_RETURN(const PrivateKey key, Annotate(PrivateKey::FromPem(pem), path));
    return key.public_key();
  }
  return Annotate(PublicKey::FromPem(pem), path);
}

absl::StatusOr<PrivateKey> LoadSigningKey(const std::string& path_or_uri) {
  const size_t scheme = path_or_uri.find(':');
  // A path may hold a colon, but a slash before it.
  if (scheme == std::string::npos || path_or_uri.find('/') < scheme) return LoadPrivateKey(path_or_uri);
  return PrivateKey::FromUri(path_or_uri);
}

}  // namespace tandem
