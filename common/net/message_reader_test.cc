#include "common/net/message_reader.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/support/golden_text.h"

namespace tandem {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::HasSubstr;

constexpr size_t kLimit = 256 << 10;

unit::v1::Reported SomeReport() {
  unit::v1::Reported reported;
  reported.set_boot_id("boot-1");
  reported.set_sequence(1ULL << 60);
  reported.set_attempt(2);
  reported.set_phase("Idle");
  reported.set_reason("a \"quoted\" word,\n\tμ and \U0001F680");
  for (const char* name : {"rootfs", "models"}) {
    unit::v1::ComponentReport& component = *reported.add_components();
    component.set_node_id(name);
    component.set_version("1.4.2");
    component.set_attempts_left(3);
  }
  reported.add_planes()->set_plane("firmware");
  (*reported.mutable_attributes())["region"] = "eu";
  (*reported.mutable_attributes())["customer"] = "acme";
  return reported;
}

std::string Encoded(const char* type, const google::protobuf::Message& payload) {
  return *EncodeMessage({.msg_id = "id-1",
                         .type = type,
                         .ts = absl::FromUnixMillis(1'795'255'200'123),
                         .boot_id = "boot-1",
                         .epoch = 3,
                         .seq = 17,
                         .payload = *MessageToJson(payload)});
}

template <typename Payload>
absl::Status Read(const std::string& json, Payload& payload) {
  MessageEnvelope envelope;
  return ReadMessage(json, kLimit, envelope, payload);
}

TEST(MessageReaderTest, GivesWhatTheTwoStepsGive) {
  const std::string json = Encoded(kReportedMessage, SomeReport());
  MessageEnvelope envelope;
  unit::v1::Reported reported;
  ASSERT_TRUE(ReadMessage(json, kLimit, envelope, reported).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(reported, SomeReport())) << reported.DebugString();
  const MessageEnvelope expected = *DecodeMessage(json);
  EXPECT_EQ(envelope.msg_id, expected.msg_id);
  EXPECT_EQ(envelope.type, expected.type);
  EXPECT_EQ(envelope.ts, expected.ts);
  EXPECT_EQ(envelope.boot_id, expected.boot_id);
  EXPECT_EQ(envelope.epoch, 3u);
  EXPECT_EQ(envelope.seq, 17u);
}

TEST(MessageReaderTest, ReadsTheGoldenMessagesAndTimestamps) {
  unit::v1::Feedback feedback;
  ASSERT_TRUE(Read(GoldenText("message_feedback.json"), feedback).ok());
  EXPECT_EQ(feedback.sequence(), 7u);
  MessageEnvelope envelope;
  feedback.Clear();
  ASSERT_TRUE(ReadMessage(GoldenText("message_with_run.json"), kLimit, envelope, feedback).ok());
  EXPECT_EQ(envelope.run_id, "run-1");
  EXPECT_EQ(envelope.triggered_by, "ota_verify");
  unit::v1::Presence said;
  said.set_online(true);
  said.mutable_since()->set_seconds(1'795'255'200);
  said.mutable_since()->set_nanos(5'000'000);
  unit::v1::Presence read;
  ASSERT_TRUE(Read(Encoded(kPresenceMessage, said), read).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(said, read)) << read.DebugString();
}

TEST(MessageReaderTest, UnknownMembersOfAnyShapeAreIgnored) {
  std::string json = Encoded(kReportedMessage, SomeReport());
  const char* const unknown = R"("new":{"a":[1,{"b":null}],"c":{}},"newer":[[1],"x",{"y":1.5}],"newest":null,)";
  json = absl::StrReplaceAll(
      json, {{"{\"v\":2", absl::StrCat("{", unknown, "\"v\":2")}, {"\"phase\"", absl::StrCat(unknown, "\"phase\"")}});
  unit::v1::Reported reported;
  ASSERT_TRUE(Read(json, reported).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(reported, SomeReport()));
}

TEST(MessageReaderTest, WhatIsWrongIsRefusedWithAReason) {
  const std::string good = Encoded(kReportedMessage, SomeReport());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string bad = absl::StrReplaceAll(good, {{from, to}});
    EXPECT_NE(bad, good) << from;
    return bad;
  };
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "not JSON"},
      {"7", "no JSON object"},
      {"null", "no JSON object"},
      {"[]", "no JSON object"},
      {good + "x", "not JSON"},
      {good.substr(0, good.size() - 1), "not JSON"},
      {with("\"v\":2", "\"v\":3"), "version 3"},
      {with("\"v\":2,", ""), "version 0"},
      {with("\"v\":2", "\"v\":\"2\""), "\"v\""},
      {with("\"msg_id\"", "\"id\""), "\"msg_id\" is missing"},
      {with("\"type\":\"reported\"", "\"type\":\"\""), "\"type\" is missing or empty"},
      {with("\"msg_id\":\"id-1\"", "\"msg_id\":null"), "\"msg_id\""},
      {with("\"epoch\":3", "\"epoch\":-3"), "\"epoch\""},
      {with("\"epoch\":3", "\"epoch\":3.0"), "\"epoch\""},
      {with("\"epoch\":3", "\"epoch\":[3]"), "\"epoch\""},
      {with("\"seq\":17", "\"seq\":\"17\""), "\"seq\""},
      {with("\"seq\":17", "\"seq\":17,\"seq\":18"), "\"seq\" occurs twice"},
      {with("\"ts\":\"2026", "\"ts\":\"x2026"), "\"ts\""},
      {with("\"payload\":{", "\"payload\":[],\"p\":{"), "\"payload\""},
      {with("\"payload\":{", "\"payload\":null,\"p\":{"), "\"payload\""},
      {with("\"payload\":{", "\"p\":{"), "\"payload\" is missing"},
      {with("\"seq\":17", absl::StrCat("\"seq\":17,\"run_id\":\"", std::string(200, 'b'), "\"")), "\"run_id\""},
      {with("\"phase\":\"Idle\"", "\"phase\":\"Idle\",\"phase\":\"Idle\""), "\"phase\" occurs twice"},
      {with("\"boot_id\":\"boot-1\",\"sequence\"", "\"boot_id\":\"b\",\"bootId\":\"b\",\"sequence\""), "occurs twice"},
      {with("\"region\":\"eu\"", "\"region\":\"eu\",\"region\":\"us\""), "\"region\" occurs twice"},
      {with("\"region\":\"eu\"", "\"region\":null"), "attributes"},
      {with("\"region\":\"eu\"", "\"region\":{}"), "attributes"},
      {with("\"phase\"", "\"new\":1,\"new\":2,\"phase\""), "\"new\" occurs twice"},
      {with("\"phase\"", "\"new\":{\"a\":1,\"a\":2},\"phase\""), "\"a\" occurs twice"},
      {with("\"phase\":\"Idle\"", "\"phase\":7"), "phase"},
      {with("\"phase\":\"Idle\"", "\"\":7"), "no name"},
      {with("\"phase\":\"Idle\"", "\"phase\":[\"Idle\"]"), "phase"},
      {with("\"phase\":\"Idle\"", "\"phase\":{}"), "phase"},
      {with("\"attempt\":2", "\"attempt\":-2"), "attempt"},
      {with("\"attempt\":2", "\"attempt\":4294967296"), "attempt"},
      {with("\"attempt\":2", "\"attempt\":2.5"), "attempt"},
      {with("\"attempt\":2", "\"attempt\":\"2 \""), "attempt"},
      {with("\"attempt\":2", "\"attempt\":true"), "attempt"},
      {with("\"components\":[", "\"components\":[null,"), "components"},
      {with("\"components\":[", "\"components\":[7,"), "components"},
      {with("\"components\":[", "\"components\":[[],"), "components"},
      {with("\"components\":[", "\"components\":{},\"x\":["), "components"},
      {with("Idle",
            "Id\xff"
            "e"),
       "not JSON"},
      {with("\"phase\"", absl::StrCat("\"new\":", std::string(70, '['), std::string(70, ']'), ",\"phase\"")), "deeper"},
  };
  for (const auto& [json, text] : bad) {
    unit::v1::Reported reported;
    const absl::Status status = Read(json, reported);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text)) << json;
  }
  unit::v1::Reported reported;
  EXPECT_TRUE(Read(good, reported).ok());
  MessageEnvelope envelope;
  EXPECT_THAT(std::string(ReadMessage(good, good.size() - 1, envelope, reported).message()), HasSubstr("at most"));
}

TEST(MessageReaderTest, TheIdIsKnownWhenAnErrorComesAfterIt) {
  const std::string json =
      absl::StrReplaceAll(Encoded(kReportedMessage, SomeReport()), {{"\"attempt\":2", "\"attempt\":\"x\""}});
  MessageEnvelope envelope;
  unit::v1::Reported reported;
  ASSERT_FALSE(ReadMessage(json, kLimit, envelope, reported).ok());
  EXPECT_EQ(envelope.msg_id, "id-1");
}

// Whatever it takes, the strict two steps take as well, with the same result.
TEST(MessageReaderTest, IsNeverLessStrictThanTheTwoSteps) {
  const std::string good = Encoded(kReportedMessage, SomeReport());
  const std::vector<std::string> pieces = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           ",",
                                           ":",
                                           "\"",
                                           "null",
                                           "0",
                                           "-1",
                                           "1.5",
                                           "\"7\"",
                                           "\"a\":1",
                                           "\"phase\"",
                                           "true",
                                           "1e3",
                                           "\\u00e4",
                                           "\xff",
                                           "\\ud800",
                                           " ",
                                           "\"components\":[]",
                                           "\"attributes\":{}"};
  std::mt19937 random(20261121);
  int taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string json = good;
    for (int edit = 0; edit < 1 + round % 2; ++edit) {
      const size_t at = random() % json.size();
      const size_t length = random() % 4 == 0 ? random() % 20 : random() % 2;
      json.replace(at, length, pieces[random() % pieces.size()]);
    }
    MessageEnvelope envelope;
    unit::v1::Reported reported;
    if (!ReadMessage(json, kLimit, envelope, reported).ok()) continue;
    ++taken;
    const absl::StatusOr<MessageEnvelope> expected = DecodeMessage(json);
    ASSERT_TRUE(expected.ok()) << expected.status() << json;
    unit::v1::Reported expected_report;
    const absl::Status status = MessageFromJson(expected->payload, expected_report);
    ASSERT_TRUE(status.ok()) << status << json;
    ASSERT_TRUE(MessageDifferencer::Equals(reported, expected_report)) << json;
    ASSERT_EQ(envelope.msg_id, expected->msg_id);
    ASSERT_EQ(envelope.seq, expected->seq);
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace tandem
