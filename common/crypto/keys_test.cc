#include "common/crypto/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"
#include "common/crypto/sha256.h"
#include "common/storage/file_system.h"
#include "tests/support/golden_text.h"

namespace tandem {
namespace {

class KeysTest : public testing::TestWithParam<KeyAlgorithm> {
 protected:
  std::string TempPath(const std::string& name) {
    std::string folder = testing::TempDir() + "keys_test_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder + "/" + name;
  }
};

TEST_P(KeysTest, SignatureVerifiesOnlyOverTheSameMessageByTheSameKey) {
  const PrivateKey key = *PrivateKey::Generate(GetParam());
  const PrivateKey other = *PrivateKey::Generate(GetParam());
  const std::string signature = *key.Sign("message");
  EXPECT_TRUE(key.public_key().Verify("message", signature).ok());
  EXPECT_TRUE(key.public_key().Verify("message", signature).ok());
  EXPECT_EQ(key.public_key().Verify("messagf", signature).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(other.public_key().Verify("message", signature).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(key.public_key().Verify("message", "").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(key.public_key().Verify("message", signature.substr(1)).code(), absl::StatusCode::kPermissionDenied);
}

TEST_P(KeysTest, PemAndDerRoundTripKeepTheKeyid) {
  const PrivateKey key = *PrivateKey::Generate(GetParam());
  const PrivateKey again = *PrivateKey::FromPem(*key.ToPem());
  EXPECT_EQ(again.public_key(), key.public_key());
  EXPECT_EQ(PublicKey::FromPem(key.public_key().ToPem())->keyid(), key.public_key().keyid());
  EXPECT_EQ(PublicKey::FromDer(key.public_key().der())->keyid(), HexEncode(Sha256(key.public_key().der())));
  EXPECT_TRUE(key.public_key().Verify("m", *again.Sign("m")).ok());
}

TEST_P(KeysTest, KeyFileIsOnlyForItsOwnerAndIsNeverOverwritten) {
  const std::string path = TempPath("key.pem");
  const PrivateKey key = *PrivateKey::Generate(GetParam());
  ASSERT_TRUE(SavePrivateKey(key, path).ok());
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(SavePrivateKey(*PrivateKey::Generate(GetParam()), path).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(LoadPrivateKey(path)->public_key(), key.public_key());
  EXPECT_EQ(*LoadPublicKey(path), key.public_key());
}

INSTANTIATE_TEST_SUITE_P(Algorithms, KeysTest, testing::Values(KeyAlgorithm::kEd25519, KeyAlgorithm::kEcdsaP256));

TEST(KeysGoldenTest, KnownKeysHaveTheirKnownIds) {
  EXPECT_EQ(LoadPublicKey(GoldenPath("dsse_ed25519_test_key.pem"))->keyid(),
            "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9");
  EXPECT_EQ(LoadPublicKey(GoldenPath("dsse_p256_test_key.pem"))->keyid(),
            "d189d62bd420abe2596da9952bb16484ac451476e4f18f8e0d668599df684452");
}

TEST(KeysGoldenTest, OtherEncodingsOfAKeyAreRefused) {
  const PublicKey key = *LoadPublicKey(GoldenPath("dsse_p256_test_key.pem"));
  // The same point, compressed.
  std::string compressed = absl::HexStringToBytes("3039301306072a8648ce3d020106082a8648ce3d030107032200");
  compressed += key.der().back() & 1 ? '\x03' : '\x02';
  compressed += key.der().substr(27, 32);
  EXPECT_EQ(PublicKey::FromDer(compressed).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(PublicKey::FromDer(key.der() + '\0').ok());
  EXPECT_FALSE(PublicKey::FromDer("").ok());
  EXPECT_FALSE(PublicKey::FromDer(std::string(91, 'x')).ok());
}

TEST(KeysGoldenTest, OtherKindsOfKeysAreRefusedByName) {
  // X25519 has 44 bytes, too, but cannot sign.
  const std::string x25519 = absl::HexStringToBytes(
      "302a300506032b656e0321008520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(PublicKey::FromDer(x25519).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(ParseKeyAlgorithm("rsa").ok());
  EXPECT_FALSE(PrivateKey::FromPem("no key").ok());
}

TEST(SigningKeyTest, AUriIsAskedOfOpenSslsStores) {
  const std::string path = testing::TempDir() + "/signing_key.pem";
  unlink(path.c_str());
  const absl::StatusOr<PrivateKey> key = PrivateKey::Generate(KeyAlgorithm::kEcdsaP256);
  ASSERT_TRUE(key.ok());
  ASSERT_TRUE(SavePrivateKey(*key, path).ok());
  for (const std::string& name : {path, "file:" + path}) {
    const absl::StatusOr<PrivateKey> loaded = LoadSigningKey(name);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const absl::StatusOr<std::string> signature = loaded->Sign("hello");
    ASSERT_TRUE(signature.ok()) << signature.status();
    EXPECT_TRUE(key->public_key().Verify("hello", *signature).ok());
  }
  for (const char* name : {"pkcs11:token=none;object=none", "nonsense:x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(LoadSigningKey(name).status())) << name;
  }
  EXPECT_TRUE(absl::IsNotFound(LoadSigningKey("/nowhere/key.pem").status()));
}

}  // namespace
}  // namespace tandem
