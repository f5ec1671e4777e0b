#include "fleet/api/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"

namespace tandem::fleet {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

// With a NUL inside, "admin\0.attacker" would be read as two names by different readers.
void AddName(const ASN1_STRING* text, std::vector<std::string>& names) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, text);
  if (size < 0) return;
  std::string name(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  if (!name.empty() && name.find('\0') == std::string::npos) names.push_back(std::move(name));
}

std::vector<std::string> CommonNames(const X509* certificate) {
  std::vector<std::string> names;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  for (int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); at >= 0;
       at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) {
    AddName(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), names);
  }
  return names;
}

}  // namespace

absl::StatusOr<std::string> FingerprintOfUnit(std::string_view pem, std::string_view unit_id) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                      BIO_free);
  const Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
  const Certificate second(certificate == nullptr ? nullptr : PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr),
                           X509_free);
  ERR_clear_error();
  const std::string of = absl::StrCat("certificate of unit ", std::string(unit_id));
  if (certificate == nullptr) return absl::InvalidArgumentError(absl::StrCat(of, " is no PEM certificate"));
  if (second != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(of, " is more than one; give the unit's own, without its CA"));
  }
  const std::vector<std::string> names = CommonNames(certificate.get());
  if (names.size() != 1 || names[0] != unit_id) {
    return absl::InvalidArgumentError(
        absl::StrCat(of, " has the common name \"", names.empty() ? "" : names[0], "\"; it must be the unit's id"));
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  if (size < 0) return absl::InvalidArgumentError(absl::StrCat(of, " cannot be encoded"));
  const std::string digest = Sha256(std::string_view(reinterpret_cast<char*>(der), static_cast<size_t>(size)));
  OPENSSL_free(der);
  return HexEncode(digest);
}

std::vector<std::string> CertificateNames(const x509_st* certificate) {
  std::vector<std::string> names = CommonNames(certificate);
  auto* alternative =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(alternative); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternative, i);
    if (name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL) AddName(name->d.ia5, names);
  }
  GENERAL_NAMES_free(alternative);
  return names;
}

}  // namespace tandem::fleet
