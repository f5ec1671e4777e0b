#include "bootloader/mcu/smp/cbor.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "bootloader/mcu/smp/request.h"

namespace tandem::mcu {
namespace {

using nlohmann::json;

TEST(Cbor, WhatIsWrittenIsWhatAnotherLibraryReads) {
  std::vector<uint8_t> buffer(512);
  CborWriter out(buffer);
  out.BeginMap();
  for (const uint64_t number :
       {0ULL, 23ULL, 24ULL, 255ULL, 256ULL, 65535ULL, 65536ULL, 0xffffffffULL, 1ULL << 32, ~0ULL}) {
    out.Key(std::to_string(number)).Unsigned(number);
  }
  out.Key("list").BeginArray().Bool(true).Bool(false).Text(std::string(100, 't')).BeginMap().End().End();
  out.End();
  ASSERT_TRUE(out.ok());
  const json read = json::from_cbor(out.bytes().begin(), out.bytes().end());
  EXPECT_EQ(read["18446744073709551615"], ~0ULL);
  EXPECT_EQ(read["65536"], 65536);
  EXPECT_EQ(read["list"], (json{true, false, std::string(100, 't'), json::object()}));
}

TEST(Cbor, WhatDoesNotFitIsSaid) {
  for (size_t size = 0; size < 10; ++size) {
    std::vector<uint8_t> buffer(size);
    CborWriter out(buffer);
    out.BeginMap().Key("abcdef").Unsigned(1000).End();
    EXPECT_FALSE(out.ok()) << size;
  }
}

SmpFields Fields(const std::vector<uint8_t>& bytes, bool& good) {
  SmpFields fields;
  good = ReadFields(bytes, fields);
  return fields;
}

TEST(SmpFields, UnknownFieldsOfAnyKindAreSkipped) {
  const json map = {{"off", 70000}, {"zz", {{"deep", {1, -2, 2.5, nullptr, {{"x", "y"}}}}}}, {"confirm", true}};
  bool good = false;
  const SmpFields fields = Fields(json::to_cbor(map), good);
  EXPECT_TRUE(good);
  EXPECT_EQ(fields.offset, 70000U);
  EXPECT_EQ(fields.confirm, true);
  EXPECT_FALSE(fields.length.has_value());
}

TEST(SmpFields, AnIndefiniteMapIsRead) {
  bool good = false;
  EXPECT_EQ(Fields({0xbf, 0x63, 'o', 'f', 'f', 0x05, 0xff}, good).offset, 5U);
  EXPECT_TRUE(good);
}

TEST(SmpFields, WrongTypesTwiceTheSameAndTooLargeAreRefused) {
  bool good = true;
  for (const json& map : {json{{"off", "1"}}, json{{"off", -1}}, json{{"off", 1ULL << 32}}, json{{"data", "text"}},
                          json{{"confirm", 1}}, json::array({1}), json(5)}) {
    Fields(json::to_cbor(map), good);
    EXPECT_FALSE(good) << map;
  }
  Fields({0xa2, 0x63, 'o', 'f', 'f', 0x05, 0x63, 'o', 'f', 'f', 0x05}, good);
  EXPECT_FALSE(good);
}

TEST(SmpFields, EveryTruncationIsRefused) {
  const json map = {{"off", 70000}, {"q", {1, {2, 3}}}, {"hash", json::binary({1, 2, 3})}};
  const std::vector<uint8_t> whole = json::to_cbor(map);
  bool good = true;
  for (size_t size = 1; size < whole.size(); ++size) {
    Fields({whole.begin(), whole.begin() + static_cast<long>(size)}, good);
    EXPECT_FALSE(good) << size;
  }
}

TEST(SmpFields, NestingWithoutEndIsRefused) {
  std::vector<uint8_t> bytes = {0xa1, 0x61, 'q'};
  bytes.insert(bytes.end(), 1000, 0x81);
  bool good = true;
  Fields(bytes, good);
  EXPECT_FALSE(good);
}

}  // namespace
}  // namespace tandem::mcu
