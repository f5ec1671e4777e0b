#include "fleet/messaging/unit_message_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/net/message_envelope.h"

namespace tandem::fleet {
namespace {

using testing::HasSubstr;
using Kind = UnitMessage::Kind;

std::string Encoded(const char* type, const google::protobuf::Message& payload) {
  return *EncodeMessage({.msg_id = "id-1",
                         .type = type,
                         .ts = absl::FromUnixSeconds(1'795'255'200),
                         .boot_id = "boot-1",
                         .epoch = 3,
                         .seq = 17,
                         .payload = *MessageToJson(payload)});
}

TEST(UnitTopicTest, EachTopicHasItsKind) {
  const std::pair<const char*, Kind> expected[] = {{"acme/gw-17/reported", Kind::kReported},
                                                   {"acme/gw-17/presence", Kind::kPresence},
                                                   {"acme/gw-17/release/feedback", Kind::kFeedback},
                                                   {"acme/gw-17/release/provisional", Kind::kProvisional},
                                                   {"acme/gw-17/release/applied", Kind::kApplied}};
  for (const auto& [topic, kind] : expected) {
    const absl::StatusOr<UnitTopic> parsed = ParseUnitTopic("acme", topic);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->kind, kind) << topic;
    EXPECT_EQ(parsed->unit_id, "gw-17");
  }
}

TEST(UnitTopicTest, OtherTopicsAndUnitIdsThatAreNoneAreRefused) {
  const std::string bad[] = {"",
                             "acme",
                             "acme/",
                             "acme/gw",
                             "acme//reported",
                             "acmes/gw/reported",
                             "other/gw/reported",
                             "acme/gw/desired",
                             "acme/gw/reported/x",
                             "acme/a b/reported",
                             "acme/a\nb/reported",
                             "acme/\xff\xfe/reported",
                             "acme/'; DROP TABLE unit; --/reported",
                             "acme/" + std::string(65, 'a') + "/reported"};
  for (const std::string& topic : bad) {
    const absl::Status status = ParseUnitTopic("acme", topic).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << topic;
    // Nothing raw reaches a log.
    EXPECT_EQ(std::string(status.message()).find('\n'), std::string::npos) << topic;
  }
}

TEST(UnitMessageReaderTest, AReportHasEverything) {
  unit::v1::Reported reported;
  reported.set_phase("Idle");
  UnitMessage message;
  ASSERT_TRUE(ReadUnitMessage({Kind::kReported, "gw"}, Encoded(kReportedMessage, reported), 1 << 20, message).ok());
  EXPECT_EQ(message.unit_id, "gw");
  EXPECT_EQ(message.msg_id, "id-1");
  EXPECT_EQ(message.boot_id, "boot-1");
  EXPECT_EQ(message.epoch, 3u);
  EXPECT_EQ(message.seq, 17u);
  EXPECT_EQ(message.sent_at, absl::FromUnixSeconds(1'795'255'200));
  EXPECT_EQ(std::get<unit::v1::Reported>(message.payload).phase(), "Idle");
}

TEST(UnitMessageReaderTest, ATypeThatDoesNotFitItsTopicIsRefusedWithItsId) {
  UnitMessage message;
  const absl::Status status =
      ReadUnitMessage({Kind::kApplied, "gw"}, Encoded(kProvisionalMessage, unit::v1::Applied()), 1 << 20, message);
  EXPECT_THAT(std::string(status.message()), HasSubstr("type \"provisional\" where \"applied\" belongs"));
  EXPECT_EQ(message.msg_id, "id-1");
  EXPECT_FALSE(ReadUnitMessage({Kind::kApplied, "gw"}, "{}", 1 << 20, message).ok());
  EXPECT_FALSE(
      ReadUnitMessage({Kind::kApplied, "gw"}, Encoded(kAppliedMessage, unit::v1::Applied()), 20, message).ok());
}

}  // namespace
}  // namespace tandem::fleet
