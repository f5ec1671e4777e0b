// SHA-256 (FIPS 180-4) through OpenSSL.
#ifndef TANDEM_COMMON_CRYPTO_SHA256_H_
#define TANDEM_COMMON_CRYPTO_SHA256_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace tandem {

inline constexpr size_t kSha256Size = 32;

// The 32 raw bytes.
std::string Sha256(std::string_view data);

// Lower-case hex of any bytes; for people and file names.
std::string HexEncode(std::string_view bytes);

// The digest of data that comes in pieces.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void Update(std::string_view data);
  // The digest of all data so far; the stream starts afresh.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_CRYPTO_SHA256_H_
