#include "common/crypto/dsse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_replace.h"
#include "tests/support/golden_text.h"
#include "tests/support/test_documents.h"

namespace tandem {
namespace {

using testing::HasSubstr;

constexpr char kType[] = "http://example.com/HelloWorld";

TEST(DsseTest, PaeIsThePublishedOne) {
  EXPECT_EQ(DssePae(kType, "hello world"), "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  EXPECT_EQ(DssePae("", ""), "DSSEv1 0  0 ");
}

TEST(DsseTest, GoldenEd25519EnvelopeIsMadeByteForByte) {
  const PrivateKey key = *LoadPrivateKey(GoldenPath("dsse_ed25519_test_key.pem"));
  DsseEnvelope envelope{.payload_type = kType, .payload = "hello world", .signatures = {}};
  ASSERT_TRUE(SignDsse(envelope, key).ok());
  EXPECT_EQ(SerializeDsse(envelope), GoldenText("dsse_ed25519.json"));
}

TEST(DsseTest, GoldenEnvelopesVerify) {
  const PublicKey ed25519 = *LoadPublicKey(GoldenPath("dsse_ed25519_test_key.pem"));
  const PublicKey p256 = *LoadPublicKey(GoldenPath("dsse_p256_test_key.pem"));
  EXPECT_EQ(*OpenDsse(GoldenText("dsse_ed25519.json"), kType, {ed25519}, 1), "hello world");
  EXPECT_EQ(*OpenDsse(GoldenText("dsse_p256.json"), kType, {p256}, 1), "hello world");
  EXPECT_EQ(OpenDsse(GoldenText("dsse_p256.json"), kType, {ed25519}, 1).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST(DsseTest, ChangedPayloadOrTypeDoesNotVerify) {
  const PublicKey key = *LoadPublicKey(GoldenPath("dsse_ed25519_test_key.pem"));
  const std::string golden = GoldenText("dsse_ed25519.json");
  const std::string payload = absl::StrReplaceAll(golden, {{"aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGU="}});
  EXPECT_EQ(OpenDsse(payload, kType, {key}, 1).status().code(), absl::StatusCode::kPermissionDenied);
  const std::string type = absl::StrReplaceAll(golden, {{"HelloWorld", "HelloWorle"}});
  EXPECT_EQ(OpenDsse(type, "http://example.com/HelloWorle", {key}, 1).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(OpenDsse(golden, "another type", {key}, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(DsseTest, ThresholdCountsDifferentKeysNotSignatures) {
  const PrivateKey a = GenerateOrDie();
  const PrivateKey b = GenerateOrDie(KeyAlgorithm::kEcdsaP256);
  const std::vector<PublicKey> keys = {a.public_key(), b.public_key(), a.public_key()};
  DsseEnvelope envelope{.payload_type = kType, .payload = "p", .signatures = {}};
  ASSERT_TRUE(SignDsse(envelope, a).ok());
  // The same signature again under other names.
  DsseSignature again = envelope.signatures.front();
  again.keyid = b.public_key().keyid();
  envelope.signatures.push_back(again);
  again.keyid = "";
  envelope.signatures.push_back(again);
  const absl::Status one = VerifyDsse(envelope, kType, keys, 2);
  EXPECT_EQ(one.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(one.message()), HasSubstr("signed by 1"));

  ASSERT_TRUE(SignDsse(envelope, b).ok());
  EXPECT_TRUE(VerifyDsse(envelope, kType, keys, 2).ok());
  EXPECT_FALSE(VerifyDsse(envelope, kType, keys, 3).ok());
}

TEST(DsseTest, TwoP256SignaturesOfOneKeyCountOnce) {
  const PrivateKey key = GenerateOrDie(KeyAlgorithm::kEcdsaP256);
  DsseEnvelope envelope{.payload_type = kType, .payload = "p", .signatures = {}};
  ASSERT_TRUE(SignDsse(envelope, key).ok());
  envelope.signatures.push_back({"other", *key.Sign(DssePae(kType, "p"))});
  ASSERT_NE(envelope.signatures[0].signature, envelope.signatures[1].signature);
  EXPECT_FALSE(VerifyDsse(envelope, kType, {key.public_key()}, 2).ok());
}

TEST(DsseTest, KeyidDecidesNothing) {
  const PrivateKey key = GenerateOrDie();
  DsseEnvelope envelope{.payload_type = kType, .payload = "p", .signatures = {}};
  ASSERT_TRUE(SignDsse(envelope, key).ok());
  envelope.signatures[0].keyid = "nonsense";
  EXPECT_TRUE(VerifyDsse(envelope, kType, {key.public_key()}, 1).ok());
}

TEST(DsseTest, ThresholdOfZeroLetsNothingPass) {
  DsseEnvelope envelope{.payload_type = kType, .payload = "p", .signatures = {}};
  EXPECT_EQ(VerifyDsse(envelope, kType, {}, 0).code(), absl::StatusCode::kPermissionDenied);
}

TEST(DsseTest, SigningAgainReplacesTheOldSignature) {
  const PrivateKey key = GenerateOrDie(KeyAlgorithm::kEcdsaP256);
  DsseEnvelope envelope{.payload_type = kType, .payload = "p", .signatures = {}};
  ASSERT_TRUE(SignDsse(envelope, key).ok());
  ASSERT_TRUE(SignDsse(envelope, key).ok());
  EXPECT_EQ(envelope.signatures.size(), 1u);
}

TEST(DsseTest, Base64IsStrict) {
  EXPECT_EQ(*DecodeBase64Strict("aGVsbG8="), "hello");
  EXPECT_EQ(*DecodeBase64Strict(""), "");
  EXPECT_EQ(*DecodeBase64Strict("+/+/"), "\xfb\xff\xbf");
  for (const char* bad :
       {"aGVsbG8", "aGVsbG8=\n", " aGVsbG8=", "aGVs bG8=", "-_-_", "aGVsbG9=", "a", "====", "aGVsbG8.="}) {
    EXPECT_FALSE(DecodeBase64Strict(bad).ok()) << bad;
  }
}

TEST(DsseTest, WhatIsNoEnvelopeIsRefusedWithAReason) {
  const std::string golden = GoldenText("dsse_ed25519.json");
  ASSERT_TRUE(ParseDsse(golden).ok());
  for (const std::string& bad : std::vector<std::string>{
           "", "garbage", "[]", "{}", "null", "\"text\"", golden.substr(0, golden.size() - 1), golden + "x",
           absl::StrReplaceAll(golden, {{"\"payload\"", "\"payloat\""}}),
           absl::StrReplaceAll(golden, {{"\"signatures\":[", "\"signatures\":[7,"}}),
           absl::StrReplaceAll(golden, {{"aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGQ"}}),
           absl::StrReplaceAll(golden, {{"\"sig\":\"", "\"sig\":\"*"}}),
           absl::StrReplaceAll(golden, {{"{\"payloadType\"", "{\"payload\":\"eA==\",\"payloadType\""}}),
           std::string(100'000, '['), std::string("{\"payloadType\":\"\xff\"}")}) {
    const absl::Status status = ParseDsse(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.substr(0, 200);
    EXPECT_FALSE(status.message().empty());
  }
}

TEST(DsseTest, SizeAndNumberOfSignaturesAreLimitedBeforeTheyCost) {
  EXPECT_THAT(std::string(ParseDsse(std::string(kMaxEnvelopeBytes + 1, ' ')).status().message()), HasSubstr("at most"));
  DsseEnvelope envelope{.payload_type = kType, .payload = "p", .signatures = {}};
  envelope.signatures.resize(kMaxEnvelopeSignatures + 1, {"k", "s"});
  EXPECT_THAT(std::string(ParseDsse(SerializeDsse(envelope)).status().message()), HasSubstr("33 signatures"));
}

}  // namespace
}  // namespace tandem
