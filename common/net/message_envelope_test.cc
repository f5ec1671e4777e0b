#include "common/net/message_envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/support/golden_text.h"

namespace tandem {
namespace {

using testing::HasSubstr;

MessageEnvelope Feedback() {
  unit::v1::Feedback feedback;
  feedback.set_update_id("7-1");
  feedback.set_sequence(7);
  feedback.set_state("refused");
  feedback.set_reason("release list: version 1 expired");
  MessageEnvelope envelope;
  envelope.msg_id = "6f1f3a5e-1f0d-4f6e-9c57-0d6f2b1c9a01";
  envelope.type = kFeedbackMessage;
  envelope.ts = absl::FromUnixMillis(1'795'255'200'123);
  envelope.boot_id = "boot-1";
  envelope.epoch = 3;
  envelope.seq = 17;
  envelope.payload = *MessageToJson(feedback);
  return envelope;
}

TEST(MessageEnvelopeTest, GoldenFeedbackIsMadeByteForByte) {
  EXPECT_EQ(*EncodeMessage(Feedback()), GoldenText("message_feedback.json"));
}

TEST(MessageEnvelopeTest, GoldenFeedbackIsRead) {
  absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(GoldenText("message_feedback.json"));
  ASSERT_TRUE(envelope.ok()) << envelope.status();
  const MessageEnvelope expected = Feedback();
  EXPECT_EQ(envelope->msg_id, expected.msg_id);
  EXPECT_EQ(envelope->type, "feedback");
  EXPECT_EQ(envelope->ts, expected.ts);
  EXPECT_EQ(envelope->boot_id, "boot-1");
  EXPECT_EQ(envelope->epoch, 3u);
  EXPECT_EQ(envelope->seq, 17u);
  unit::v1::Feedback feedback;
  ASSERT_TRUE(MessageFromJson(envelope->payload, feedback).ok());
  EXPECT_EQ(feedback.sequence(), 7u);
  EXPECT_EQ(feedback.reason(), "release list: version 1 expired");
}

TEST(MessageEnvelopeTest, RunOfADiagnosticIsKept) {
  MessageEnvelope envelope = Feedback();
  envelope.run_id = "run-1";
  envelope.triggered_by = "ota_verify";
  EXPECT_EQ(*EncodeMessage(envelope), GoldenText("message_with_run.json"));
  EXPECT_EQ(DecodeMessage(*EncodeMessage(envelope))->run_id, "run-1");
  EXPECT_EQ(DecodeMessage(*EncodeMessage(envelope))->triggered_by, "ota_verify");
}

TEST(MessageEnvelopeTest, WhatIsNoMessageIsRefusedWithAReason) {
  const std::string good = GoldenText("message_feedback.json");
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "not JSON"},
      {"[]", "no JSON object"},
      {absl::StrReplaceAll(good, {{"\"v\":2", "\"v\":3"}}), "version 3"},
      {absl::StrReplaceAll(good, {{"\"v\":2,", ""}}), "version 0"},
      {absl::StrReplaceAll(good, {{"\"msg_id\"", "\"id\""}}), "\"msg_id\" is missing"},
      {absl::StrReplaceAll(good, {{"\"type\":\"feedback\"", "\"type\":\"\""}}), "\"type\" is empty"},
      {absl::StrReplaceAll(good, {{"\"epoch\":3", "\"epoch\":-3"}}), "\"epoch\""},
      {absl::StrReplaceAll(good, {{"\"seq\":17", "\"seq\":\"17\""}}), "\"seq\""},
      {absl::StrReplaceAll(good, {{"\"ts\":\"2026", "\"ts\":\"x2026"}}), "\"ts\""},
      {absl::StrReplaceAll(good, {{"\"payload\":{", "\"payload\":[],\"p\":{"}}), "\"payload\""},
      {absl::StrReplaceAll(good, {{"boot-1", std::string(200, 'b')}}), "\"boot_id\""},
  };
  ASSERT_TRUE(DecodeMessage(good).ok());
  for (const auto& [json, text] : bad) {
    const absl::Status status = DecodeMessage(json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
}

TEST(MessageEnvelopeTest, PayloadMustBeAnObjectToBeSent) {
  MessageEnvelope envelope = Feedback();
  envelope.payload = "[]";
  EXPECT_FALSE(EncodeMessage(envelope).ok());
}

TEST(MessageEnvelopeTest, IdsAreUnique) {
  EXPECT_NE(NewMessageId(), NewMessageId());
  EXPECT_EQ(NewMessageId().size(), 36u);
}

TEST(MessageEnvelopeTest, TopicLevelsHaveNoWildcards) {
  EXPECT_TRUE(CheckTopicLevel("gw-17.a_B", "unit_id").ok());
  for (const char* bad : {"", "a/b", "+", "#", "a b"}) EXPECT_FALSE(CheckTopicLevel(bad, "unit_id").ok()) << bad;
  EXPECT_EQ(UnitTopics("acme", "gw-17").wake, "acme/gw-17/release/apply");
}

}  // namespace
}  // namespace tandem
