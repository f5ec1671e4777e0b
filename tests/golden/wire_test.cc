// The Aos wire, byte for byte: whoever renumbers a field, or changes a type, breaks peers in the field.

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem {
namespace {

namespace umv2 = updatemanager::v2;

// Tag bytes are (field << 3 | type): 0a = field 1 text or message, 10 = field 2 number, and so on.
std::string Bytes(const std::string& hex_with_spaces) {
  std::string hex;
  for (const char c : hex_with_spaces) {
    if (c != ' ' && c != '\n') hex.push_back(c);
  }
  return absl::HexStringToBytes(hex);
}

TEST(Wire, PrepareUpdate) {
  umv2::CMMessages message;
  umv2::PrepareComponentInfo& info = *message.mutable_prepare_update()->add_components();
  info.set_component_id("id");
  info.set_component_type("ty");
  info.set_version("1.0");
  info.set_annotations("{}");
  info.set_url("u");
  info.set_sha256("\x01\x02");
  info.set_size(300);
  const std::string golden = Bytes(
      "0a 1d"         // CMMessages.prepare_update = 1
      "0a 1b"         // PrepareUpdate.components = 1
      "0a 02 6964"    // component_id = 1
      "12 02 7479"    // component_type = 2
      "1a 03 312e30"  // version = 3
      "22 02 7b7d"    // annotations = 4
      "2a 01 75"      // url = 5
      "32 02 0102"    // sha256 = 6
      "38 ac02");     // size = 7
  EXPECT_EQ(absl::BytesToHexString(message.SerializeAsString()), absl::BytesToHexString(golden));
}

TEST(Wire, TheOtherCommandsAreEmptyMessagesOfTheirNumber) {
  umv2::CMMessages start, apply, revert;
  start.mutable_start_update();
  apply.mutable_apply_update();
  revert.mutable_revert_update();
  EXPECT_EQ(start.SerializeAsString(), Bytes("12 00"));
  EXPECT_EQ(apply.SerializeAsString(), Bytes("1a 00"));
  EXPECT_EQ(revert.SerializeAsString(), Bytes("22 00"));
}

TEST(Wire, UpdateStatus) {
  const std::string golden = Bytes(
      "0a 02 6e31"                    // node_id = 1
      "10 07"                         // priority = 2
      "18 03"                         // update_state = 3: FAILED
      "22 10"                         // components = 4
      "0a 01 63 12 01 74 1a 01 32"    //   component_id = 1, component_type = 2, version = 3
      "20 02"                         //   state = 4: ERROR
      "2a 03 1a 01 65"                //   error = 5 { message = 3 }
      "2a 07 08 05 10 06 1a 01 6d");  // error = 5 { aos_code = 1, exit_code = 2, message = 3 }
  umv2::UpdateStatus status;
  ASSERT_TRUE(status.ParseFromString(golden));
  EXPECT_EQ(status.node_id(), "n1");
  EXPECT_EQ(status.priority(), 7u);
  EXPECT_EQ(status.update_state(), umv2::FAILED);
  ASSERT_EQ(status.components_size(), 1);
  EXPECT_EQ(status.components(0).component_id(), "c");
  EXPECT_EQ(status.components(0).component_type(), "t");
  EXPECT_EQ(status.components(0).version(), "2");
  EXPECT_EQ(status.components(0).state(), umv2::ERROR);
  EXPECT_EQ(status.components(0).error().message(), "e");
  EXPECT_EQ(status.error().aos_code(), 5);
  EXPECT_EQ(status.error().exit_code(), 6);
  EXPECT_EQ(status.error().message(), "m");
  EXPECT_EQ(status.SerializeAsString(), golden);
}

TEST(Wire, StatesHaveTheirPublishedNumbers) {
  EXPECT_EQ(umv2::IDLE, 0);
  EXPECT_EQ(umv2::PREPARED, 1);
  EXPECT_EQ(umv2::UPDATED, 2);
  EXPECT_EQ(umv2::FAILED, 3);
  EXPECT_EQ(umv2::INSTALLED, 0);
  EXPECT_EQ(umv2::INSTALLING, 1);
  EXPECT_EQ(umv2::ERROR, 2);
}

TEST(Wire, OurFieldsStartAtAThousandSoThatPeersSkipThem) {
  umv2::UpdateStatus status;
  status.set_working(true);
  status.mutable_components()->Add()->set_bytes_done(1);
  for (const auto* type : {umv2::UpdateStatus::descriptor(), umv2::ComponentStatus::descriptor()}) {
    for (int i = 5; i < type->field_count(); ++i) EXPECT_GE(type->field(i)->number(), 1000) << type->field(i)->name();
  }
}

}  // namespace
}  // namespace tandem
