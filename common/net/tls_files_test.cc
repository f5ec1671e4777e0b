#include "common/net/tls_files.h"

#include <filesystem>
#include <fstream>

#include "common/storage/file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/certificates.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class TlsFilesTest : public testing::Test {
 protected:
  TlsFilesTest() : first_(*certificates_.Client("first")), second_(*certificates_.Client("second")) {
    Put(certificates_.ca(), "ca");
    Use(first_);
    tls_.set_ca(folder_ + "ca");
    tls_.set_certificate(folder_ + "certificate");
    tls_.set_key(folder_ + "key");
  }
  ~TlsFilesTest() override { std::filesystem::remove_all(folder_); }

  void Put(const std::string& from, const std::string& name) {
    std::filesystem::copy_file(from, folder_ + name, std::filesystem::copy_options::overwrite_existing);
  }
  void Use(const CertificateFiles& files) {
    Put(files.certificate, "certificate");
    Put(files.key, "key");
  }
  void Write(const std::string& name, const std::string& text) { std::ofstream(folder_ + name) << text; }
  static std::string Read(const std::string& path) { return FileSystem::Real().ReadFile(path).value_or("unreadable"); }
  std::string OpenError() { return std::string(TlsFiles::Open(tls_).status().message()); }

  static std::string MakeFolder() {
    std::string folder = (std::filesystem::temp_directory_path() / "tls_files_XXXXXX").string();
    return std::string(mkdtemp(folder.data())) + "/";
  }

  const std::string folder_ = MakeFolder();
  const TestCertificates certificates_ = *TestCertificates::Make();
  const CertificateFiles first_;
  const CertificateFiles second_;
  config::v1::Tls tls_;
};

TEST_F(TlsFilesTest, SaysWhichFileCannotBeUsedAndWhy) {
  EXPECT_TRUE(TlsFiles::Open(tls_).ok());
  Write("certificate", "");
  EXPECT_THAT(OpenError(), HasSubstr("tls.certificate: " + folder_ + "certificate holds no certificate (PEM)"));
  Put(second_.certificate, "certificate");
  EXPECT_THAT(OpenError(), HasSubstr(folder_ + "key is not the key of the certificate in " + folder_ + "certificate"));
  Write("key", "-----BEGIN PRIVATE KEY-----\nMIG");
  EXPECT_THAT(OpenError(), HasSubstr("tls.key: " + folder_ + "key holds no private key (PEM)"));
  Write("ca", "none");
  EXPECT_THAT(OpenError(), HasSubstr("tls.ca: " + folder_ + "ca holds no certificate (PEM)"));
  std::filesystem::remove(folder_ + "ca");
  EXPECT_THAT(OpenError(), HasSubstr("tls.ca: "));
  tls_.clear_key();
  Put(certificates_.ca(), "ca");
  EXPECT_THAT(OpenError(), HasSubstr("tls.key is missing; add a PEM file"));
}

TEST_F(TlsFilesTest, AnOptionalCaMayBeMissing) {
  tls_.clear_ca();
  EXPECT_THAT(OpenError(), HasSubstr("tls.ca is missing"));
  const auto files = TlsFiles::Open(tls_, TlsFiles::Ca::kOptional);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ((*files)->ca_path(), "");
  EXPECT_EQ(Read((*files)->key_path()), Read(first_.key));
}

TEST_F(TlsFilesTest, KeepsTheLastGoodSetUntilTheNextIsWhole) {
  const auto files = *TlsFiles::Open(tls_);
  EXPECT_EQ(Read(files->certificate_path()), Read(first_.certificate));
  EXPECT_EQ(Read(files->ca_path()), Read(certificates_.ca()));
  // Replaced in place, one file after the other.
  Write("certificate", "");
  EXPECT_FALSE(files->Reload().ok());
  EXPECT_FALSE(files->Reload().ok()) << "and still";
  EXPECT_EQ(Read(files->certificate_path()), Read(first_.certificate));
  Put(second_.certificate, "certificate");
  EXPECT_THAT(files->Reload().message(), HasSubstr("is not the key of"));
  EXPECT_EQ(Read(files->certificate_path()), Read(first_.certificate));
  EXPECT_EQ(Read(files->key_path()), Read(first_.key));
  const std::string path = files->key_path();
  Put(second_.key, "key");
  EXPECT_TRUE(files->Reload().ok());
  EXPECT_EQ(Read(files->certificate_path()), Read(second_.certificate));
  EXPECT_EQ(Read(files->key_path()), Read(second_.key));
  EXPECT_EQ(files->key_path(), path);
}

}  // namespace
}  // namespace tandem
