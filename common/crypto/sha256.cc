#include "common/crypto/sha256.h"

#include <openssl/evp.h>

#include <utility>

#include "absl/strings/escaping.h"

namespace tandem {

namespace {

// OpenSSL looks an algorithm up anew for each digest unless it is fetched once, which costs more than a small digest.
const EVP_MD* Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}

}  // namespace

struct Sha256Stream::Context {
  Context() : evp(EVP_MD_CTX_new()) { EVP_DigestInit_ex(evp, Algorithm(), nullptr); }
  ~Context() { EVP_MD_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  EVP_MD_CTX* evp;
};

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::Update(std::string_view data) { EVP_DigestUpdate(context_->evp, data.data(), data.size()); }

std::string Sha256Stream::Finish() {
  std::string digest(kSha256Size, '\0');
  EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  EVP_DigestInit_ex(context_->evp, Algorithm(), nullptr);
  return digest;
}

std::string Sha256(std::string_view data) {
  std::string digest(kSha256Size, '\0');
  EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, Algorithm(), nullptr);
  return digest;
}

std::string HexEncode(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

}  // namespace tandem
