#include "common/crypto/key_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/crypto/signed_metadata.h"
#include "tests/support/test_documents.h"

namespace tandem {
namespace {

using release::v1::KeySet;
using testing::HasSubstr;

class KeySetTest : public testing::Test {
 protected:
  // The next version with another first root key.
  KeySet Second() {
    KeySet key_set = maker_.FirstKeySet();
    key_set.set_version(2);
    *key_set.mutable_root() = MakeRole({new_root_, maker_.root[1]}, 2);
    return key_set;
  }
  std::vector<PrivateKey> AllRoots() { return {maker_.root[0], maker_.root[1], new_root_}; }
  std::string SealSet(const KeySet& key_set, const std::vector<PrivateKey>& keys) {
    return SealOrDie(key_set, kKeySetType, keys);
  }

  TestMaker maker_{"acme"};
  PrivateKey new_root_ = GenerateOrDie(KeyAlgorithm::kEcdsaP256);
  TrustedKeys first_ = *TrustedKeys::FromFirst(maker_.KeySetEnvelope(), "acme");
};

TEST_F(KeySetTest, FirstKeySetSignsItself) {
  EXPECT_EQ(first_.version(), 1u);
  EXPECT_EQ(first_.role(KeyRole::kRelease).threshold, 2u);
  const absl::Status status = TrustedKeys::FromFirst(SealSet(maker_.FirstKeySet(), {maker_.root[0]}), "acme").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("its own root keys"));
}

TEST_F(KeySetTest, NamespaceOfTheFirstKeySetMustMatch) {
  EXPECT_EQ(TrustedKeys::FromFirst(maker_.KeySetEnvelope(), "other").status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(KeySetTest, StepNeedsTheOldAndTheNewThreshold) {
  EXPECT_EQ(first_.Next(SealSet(Second(), AllRoots()))->version(), 2u);
  const absl::Status without_old = first_.Next(SealSet(Second(), {maker_.root[1], new_root_})).status();
  EXPECT_EQ(without_old.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(without_old.message()), HasSubstr("in force"));
  const absl::Status without_new = first_.Next(SealSet(Second(), maker_.root)).status();
  EXPECT_EQ(without_new.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(without_new.message()), HasSubstr("its own root keys"));
}

TEST_F(KeySetTest, StepMustBeTheNextVersionInTheSameNamespace) {
  KeySet skipped = Second();
  skipped.set_version(3);
  EXPECT_EQ(first_.Next(SealSet(skipped, AllRoots())).status().code(), absl::StatusCode::kFailedPrecondition);
  KeySet other = Second();
  other.set_namespace_("other");
  EXPECT_EQ(first_.Next(SealSet(other, AllRoots())).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(KeySetTest, WalkTakesEveryStepAndSkipsWhatItHas) {
  const std::string second = SealSet(Second(), AllRoots());
  KeySet document = Second();
  document.set_version(3);
  *document.mutable_root() = MakeRole({new_root_}, 1);
  const std::string third = SealSet(document, {new_root_, maker_.root[1]});
  const std::vector<std::string> chain = {maker_.KeySetEnvelope(), second, third};

  absl::StatusOr<KeySetWalk> walk = WalkKeySets(first_, chain, maker_.now);
  ASSERT_TRUE(walk.ok()) << walk.status();
  EXPECT_EQ(walk->keys.version(), 3u);
  EXPECT_EQ(walk->taken, (std::vector<std::string>{second, third}));
  // Again, and with an older list: nothing to take.
  EXPECT_TRUE(WalkKeySets(walk->keys, chain, maker_.now)->taken.empty());
  EXPECT_TRUE(WalkKeySets(walk->keys, {maker_.KeySetEnvelope(), second}, maker_.now)->taken.empty());
  // Without a step, and with a list that begins after what the unit has.
  EXPECT_FALSE(WalkKeySets(first_, {third}, maker_.now).ok());
  EXPECT_EQ(WalkKeySets(first_, {second, third}, maker_.now)->keys.version(), 3u);
  // From a record.
  EXPECT_EQ(LoadKeySetChain(chain, "acme")->version(), 3u);
  EXPECT_FALSE(LoadKeySetChain({maker_.KeySetEnvelope(), third}, "acme").ok());
}

TEST_F(KeySetTest, OnlyTheNewestStepMustBeUnexpired) {
  KeySet expired = Second();
  SetTimestamp(expired.mutable_expires(), maker_.now - absl::Hours(1));
  const std::string second = SealSet(expired, AllRoots());
  EXPECT_EQ(WalkKeySets(first_, {second}, maker_.now).status().code(), absl::StatusCode::kFailedPrecondition);
  KeySet third = Second();
  third.set_version(3);
  EXPECT_TRUE(WalkKeySets(first_, {second, SealSet(third, {maker_.root[1], new_root_})}, maker_.now).ok());
  // What was accepted stays.
  EXPECT_TRUE(LoadKeySetChain({maker_.KeySetEnvelope(), second}, "acme").ok());
}

TEST_F(KeySetTest, RolesMustBePossible) {
  KeySet high = maker_.FirstKeySet();
  high.mutable_assignment()->set_threshold(2);
  KeySet zero = maker_.FirstKeySet();
  zero.mutable_release()->set_threshold(0);
  KeySet twice = maker_.FirstKeySet();
  *twice.mutable_release() = MakeRole({maker_.release[0], maker_.release[0]}, 2);
  KeySet none = maker_.FirstKeySet();
  none.clear_assignment();
  for (const KeySet& bad : {high, zero, twice, none}) {
    EXPECT_EQ(TrustedKeys::FromFirst(SealSet(bad, maker_.root), "acme").status().code(),
              absl::StatusCode::kInvalidArgument)
        << bad.ShortDebugString();
  }
}

}  // namespace
}  // namespace tandem
