#include "bootloader/mcu/smp/request.h"

#include "bootloader/mcu/smp/cbor.h"

namespace tandem::mcu {
namespace {

bool Take(const CborItem& item, std::optional<uint32_t>& field) {
  if (field.has_value() || item.kind != CborKind::kUnsigned || item.number > UINT32_MAX) return false;
  field = static_cast<uint32_t>(item.number);
  return true;
}

bool Take(const CborItem& item, std::optional<bool>& field) {
  if (field.has_value() || item.kind != CborKind::kBool) return false;
  field = item.number != 0;
  return true;
}

bool Take(const CborItem& item, std::optional<std::span<const uint8_t>>& field) {
  if (field.has_value() || item.kind != CborKind::kBytes) return false;
  field = item.bytes;
  return true;
}

bool Take(const CborItem& item, std::optional<std::string_view>& field) {
  if (field.has_value() || item.kind != CborKind::kText) return false;
  field = item.text();
  return true;
}

bool TakeField(std::string_view name, const CborItem& item, CborReader& reader, SmpFields& fields) {
  if (name == "image") return Take(item, fields.image);
  if (name == "len") return Take(item, fields.length);
  if (name == "off") return Take(item, fields.offset);
  if (name == "slot") return Take(item, fields.slot);
  if (name == "boot_mode") return Take(item, fields.boot_mode);
  if (name == "security_counter") return Take(item, fields.security_counter);
  if (name == "confirm") return Take(item, fields.confirm);
  if (name == "upgrade") return Take(item, fields.upgrade);
  if (name == "data") return Take(item, fields.data);
  if (name == "sha") return Take(item, fields.sha);
  if (name == "hash") return Take(item, fields.hash);
  if (name == "d") return Take(item, fields.echo);
  return reader.SkipRest(item);
}

}  // namespace

bool ReadHeader(std::span<const uint8_t> packet, SmpHeader& header) {
  if (packet.size() < kSmpHeaderSize) return false;
  header.version = (packet[0] >> 3) & 3;
  header.op = static_cast<SmpOp>(packet[0] & 7);
  header.length = static_cast<uint16_t>((packet[2] << 8) | packet[3]);
  header.group = static_cast<uint16_t>((packet[4] << 8) | packet[5]);
  header.sequence = packet[6];
  header.command = packet[7];
  return (header.op == SmpOp::kRead || header.op == SmpOp::kWrite) && packet.size() == kSmpHeaderSize + header.length;
}

void WriteHeader(const SmpHeader& header, std::span<uint8_t> into) {
  into[0] = static_cast<uint8_t>((header.version << 3) | static_cast<uint8_t>(header.op));
  into[1] = 0;
  into[2] = static_cast<uint8_t>(header.length >> 8);
  into[3] = static_cast<uint8_t>(header.length);
  into[4] = static_cast<uint8_t>(header.group >> 8);
  into[5] = static_cast<uint8_t>(header.group);
  into[6] = header.sequence;
  into[7] = header.command;
}

bool ReadFields(std::span<const uint8_t> payload, SmpFields& fields) {
  if (payload.empty()) return true;
  CborReader reader(payload);
  CborItem map;
  if (!reader.Next(map) || map.kind != CborKind::kMap) return false;
  for (uint64_t i = 0; map.indefinite || i < map.number; ++i) {
    CborItem key;
    if (!reader.Next(key)) return false;
    if (key.kind == CborKind::kBreak) return map.indefinite && reader.AtEnd();
    CborItem value;
    if (key.kind != CborKind::kText || !reader.Next(value)) return false;
    if (!TakeField(key.text(), value, reader, fields)) return false;
  }
  return reader.AtEnd();
}

}  // namespace tandem::mcu
