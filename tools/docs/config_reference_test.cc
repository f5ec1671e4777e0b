#include "tools/docs/config_reference.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::docs {
namespace {

using google::protobuf::FieldDescriptorProto;
using ::testing::HasSubstr;

TEST(ReadKeyComment, TakesRequiredOutOfTheMeaning) {
  const KeyText text = ReadKeyComment(" This unit's id. (required)\n");
  EXPECT_TRUE(text.required);
  EXPECT_EQ(text.meaning, "This unit's id.");
}

TEST(ReadKeyComment, TakesTheDefaultFromTheEndOfASentence) {
  KeyText text = ReadKeyComment("gRPC keepalive; default 10s.");
  EXPECT_EQ(text.default_value, "10s");
  EXPECT_EQ(text.meaning, "gRPC keepalive.");
  text = ReadKeyComment("Default: /run/tandem/cm.sock.");
  EXPECT_EQ(text.default_value, "/run/tandem/cm.sock");
  EXPECT_EQ(text.meaning, "");
  text = ReadKeyComment("argv; default 5s. The environment has TANDEM_VERSION.");
  EXPECT_EQ(text.default_value, "5s");
  EXPECT_EQ(text.meaning, "argv. The environment has TANDEM_VERSION.");
}

TEST(ReadKeyComment, LeavesOtherCommentsAlone) {
  const KeyText text = ReadKeyComment("firmware (default), model or config.");
  EXPECT_EQ(text.meaning, "firmware (default), model or config.");
  EXPECT_EQ(text.default_value, "");
  EXPECT_FALSE(text.required);
}

TEST(PrintConfigReference, GivesEachNestedMessageASection) {
  google::protobuf::FileDescriptorSet files;
  auto* file = files.add_file();
  file->set_name("seat.proto");
  file->set_syntax("proto3");
  auto* inner = file->add_message_type();
  inner->set_name("Heater");
  auto* watts = inner->add_field();
  watts->set_name("watts");
  watts->set_number(1);
  watts->set_type(FieldDescriptorProto::TYPE_UINT32);
  watts->set_label(FieldDescriptorProto::LABEL_OPTIONAL);
  auto* outer = file->add_message_type();
  outer->set_name("Seat");
  auto* heaters = outer->add_field();
  heaters->set_name("heaters");
  heaters->set_number(1);
  heaters->set_type(FieldDescriptorProto::TYPE_MESSAGE);
  heaters->set_type_name(".Heater");
  heaters->set_label(FieldDescriptorProto::LABEL_REPEATED);
  std::ostringstream out;
  ASSERT_TRUE(PrintConfigReference(files, {.message = "Seat", .title = "Seats"}, out).ok());
  EXPECT_THAT(out.str(), HasSubstr("| `heaters` | list of [Heater](#heater) |"));
  EXPECT_THAT(out.str(), HasSubstr("## Heater\n\nAt `heaters[]`."));
  EXPECT_THAT(out.str(), HasSubstr("| `watts` | whole number |"));
}

TEST(PrintConfigReference, NamesAMessageThatIsNotThere) {
  std::ostringstream out;
  EXPECT_EQ(PrintConfigReference({}, {.message = "Seat", .title = "Seats"}, out).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tandem::docs
