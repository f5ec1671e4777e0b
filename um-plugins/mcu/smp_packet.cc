#include "um-plugins/mcu/smp_packet.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "um-plugins/mcu/big_endian.h"

namespace tandem::smp {
namespace {

using nlohmann::json;

// The library's reader calls itself for each level: depth is checked before it builds anything.
class DepthCheck : public nlohmann::json_sax<json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(string_t&) override { return true; }
  bool start_object(size_t) override { return ++depth_ <= kMaxSmpDepth; }
  bool start_array(size_t) override { return ++depth_ <= kMaxSmpDepth; }
  bool end_object() override { return --depth_ >= 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  int depth_ = 0;
};

const json* Find(const json& body, const char* key) {
  if (!body.is_object()) return nullptr;
  const auto found = body.find(key);
  return found == body.end() ? nullptr : &*found;
}

}  // namespace

std::string EncodeSmpPacket(const SmpHeader& header, const json& body) {
  std::string out;
  out.push_back(static_cast<char>((header.version & 3) << 3 | static_cast<uint8_t>(header.op)));
  out.push_back(0);
  Put16(out, 0);
  Put16(out, header.group);
  out.push_back(static_cast<char>(header.sequence));
  out.push_back(static_cast<char>(header.command));
  json::to_cbor(body, out);
  const auto length = static_cast<uint16_t>(out.size() - kSmpHeaderSize);
  out[2] = static_cast<char>(length >> 8);
  out[3] = static_cast<char>(length & 0xff);
  return out;
}

absl::StatusOr<SmpPacket> DecodeSmpPacket(std::string_view bytes) {
  if (bytes.size() < kSmpHeaderSize) return absl::InvalidArgumentError("SMP packet is shorter than its header");
  const uint16_t length = Get16(bytes, 2);
  if (bytes.size() - kSmpHeaderSize != length) {
    return absl::InvalidArgumentError(absl::StrCat("SMP packet has a body of ", bytes.size() - kSmpHeaderSize,
                                                   " bytes, and its header says ", length));
  }
  const auto first = static_cast<uint8_t>(bytes[0]);
  if ((first & 7) > static_cast<uint8_t>(SmpOp::kWriteAnswer)) {
    return absl::InvalidArgumentError("SMP packet has an unknown operation");
  }
  SmpPacket packet{.header = {.op = static_cast<SmpOp>(first & 7),
                              .version = static_cast<uint8_t>(first >> 3 & 3),
                              .group = Get16(bytes, 4),
                              .sequence = static_cast<uint8_t>(bytes[6]),
                              .command = static_cast<uint8_t>(bytes[7])},
                   .body = json::object()};
  bytes.remove_prefix(kSmpHeaderSize);
  // Some devices leave the empty map away.
  if (bytes.empty()) return packet;
  DepthCheck check;
  if (!json::sax_parse(bytes.begin(), bytes.end(), &check, json::input_format_t::cbor)) {
    return absl::InvalidArgumentError("SMP packet's body is not CBOR, or nests too deep");
  }
  packet.body = json::from_cbor(bytes.begin(), bytes.end(), /*strict=*/true, /*allow_exceptions=*/false);
  if (!packet.body.is_object()) return absl::InvalidArgumentError("SMP packet's body is not a CBOR map");
  return packet;
}

std::optional<uint64_t> FindNumber(const json& body, const char* key) {
  const json* const value = Find(body, key);
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  if (!value->is_number_unsigned() && value->get<int64_t>() < 0) return std::nullopt;
  return value->get<uint64_t>();
}

std::optional<bool> FindBool(const json& body, const char* key) {
  const json* const value = Find(body, key);
  if (value == nullptr || !value->is_boolean()) return std::nullopt;
  return value->get<bool>();
}

std::optional<std::string> FindText(const json& body, const char* key) {
  const json* const value = Find(body, key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

std::optional<std::string> FindBytes(const json& body, const char* key) {
  const json* const value = Find(body, key);
  if (value == nullptr || !value->is_binary()) return std::nullopt;
  const json::binary_t& bytes = value->get_binary();
  return std::string(bytes.begin(), bytes.end());
}

json BytesValue(std::string_view bytes) { return json::binary(std::vector<uint8_t>(bytes.begin(), bytes.end())); }

}  // namespace tandem::smp
