#include "bootloader/mcu/smp/cbor.h"

namespace tandem::mcu {
namespace {

constexpr uint8_t kMajorShift = 5;
constexpr uint8_t kLowBits = 0x1f;
constexpr uint8_t kIndefinite = 31;
constexpr uint8_t kFalse = 20;
constexpr uint8_t kTrue = 21;
constexpr uint8_t kMapHead = 0xa0;
constexpr uint8_t kArrayHead = 0x80;
constexpr uint8_t kMaxShortCount = 23;
constexpr size_t kMaxSkipDepth = 8;

}  // namespace

bool CborReader::Take(size_t size, std::span<const uint8_t>& into) {
  if (size > left_.size()) return false;
  into = left_.first(size);
  left_ = left_.subspan(size);
  return true;
}

bool CborReader::Next(CborItem& item) {
  item = {};
  std::span<const uint8_t> bytes;
  if (!Take(1, bytes)) return false;
  const auto major = static_cast<uint8_t>(bytes[0] >> kMajorShift);
  const auto low = static_cast<uint8_t>(bytes[0] & kLowBits);
  if (low <= kMaxShortCount) {
    item.number = low;
  } else if (low <= 27) {
    if (!Take(size_t{1} << (low - 24), bytes)) return false;
    for (const uint8_t byte : bytes) item.number = (item.number << 8) | byte;
  } else if (low == kIndefinite && (major == 4 || major == 5 || major == 7)) {
    item.indefinite = major != 7;
  } else {
    return false;
  }
  switch (major) {
    case 0:
      item.kind = CborKind::kUnsigned;
      return true;
    case 1:
      item.kind = CborKind::kNegative;
      return true;
    case 2:
    case 3:
      item.kind = major == 2 ? CborKind::kBytes : CborKind::kText;
      return item.number <= left_.size() && Take(static_cast<size_t>(item.number), item.bytes);
    case 4:
      item.kind = CborKind::kArray;
      return true;
    case 5:
      item.kind = CborKind::kMap;
      return true;
    case 6:
      item.kind = CborKind::kTag;
      return true;
    default:
      break;
  }
  if (low == kIndefinite) {
    item.kind = CborKind::kBreak;
  } else if (low == kFalse || low == kTrue) {
    item.kind = CborKind::kBool;
    item.number = low == kTrue ? 1 : 0;
  }
  return true;
}

bool CborReader::SkipRest(const CborItem& head) {
  // Of each open list or map, how many items are to come; kOpen until a break.
  constexpr uint64_t kOpen = UINT64_MAX;
  uint64_t to_come[kMaxSkipDepth] = {};
  size_t depth = 0;
  const auto open = [&](const CborItem& item) {
    uint64_t count = 0;
    if (item.kind == CborKind::kTag) {
      count = 1;
    } else if (item.kind == CborKind::kArray) {
      count = item.indefinite ? kOpen : item.number;
    } else if (item.kind == CborKind::kMap) {
      // More pairs than bytes cannot be.
      if (!item.indefinite && item.number > left_.size()) return false;
      count = item.indefinite ? kOpen : item.number * 2;
    }
    if (count == 0) return true;
    if (depth == kMaxSkipDepth) return false;
    to_come[depth++] = count;
    return true;
  };
  if (head.kind == CborKind::kBreak || !open(head)) return false;
  while (depth > 0) {
    CborItem item;
    if (!Next(item)) return false;
    if (item.kind == CborKind::kBreak) {
      if (to_come[depth - 1] != kOpen) return false;
      --depth;
    } else {
      if (to_come[depth - 1] != kOpen) --to_come[depth - 1];
      if (!open(item)) return false;
    }
    while (depth > 0 && to_come[depth - 1] == 0) --depth;
  }
  return true;
}

void CborWriter::Put(uint8_t byte) {
  if (size_ == buffer_.size()) ok_ = false;
  if (ok_) buffer_[size_++] = byte;
}

void CborWriter::PutAll(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) Put(byte);
}

void CborWriter::Head(uint8_t major, uint64_t value) {
  const auto top = static_cast<uint8_t>(major << kMajorShift);
  if (value <= kMaxShortCount) return Put(static_cast<uint8_t>(top | value));
  uint8_t width = 0;
  while (width < 3 && (value >> (8U << width)) != 0) ++width;
  Put(static_cast<uint8_t>(top | (24 + width)));
  for (int shift = (8 << width) - 8; shift >= 0; shift -= 8) Put(static_cast<uint8_t>(value >> shift));
}

// Called for each item: in a map only keys count, as their values come with them.
void CborWriter::Count() {
  if (depth_ == 0) return;
  if (after_key_) {
    after_key_ = false;
  } else if (++counts_[depth_ - 1] > kMaxShortCount) {
    ok_ = false;
  }
}

void CborWriter::Begin(uint8_t head) {
  Count();
  if (depth_ == kMaxDepth) {
    ok_ = false;
    return;
  }
  heads_[depth_] = size_;
  counts_[depth_] = 0;
  ++depth_;
  Put(head);
}

CborWriter& CborWriter::BeginMap() {
  Begin(kMapHead);
  return *this;
}

CborWriter& CborWriter::BeginArray() {
  Begin(kArrayHead);
  return *this;
}

CborWriter& CborWriter::End() {
  if (depth_ == 0) {
    ok_ = false;
    return *this;
  }
  --depth_;
  if (ok_) buffer_[heads_[depth_]] |= counts_[depth_];
  return *this;
}

CborWriter& CborWriter::Key(std::string_view name) {
  Text(name);
  after_key_ = true;
  return *this;
}

CborWriter& CborWriter::Unsigned(uint64_t value) {
  Count();
  Head(0, value);
  return *this;
}

CborWriter& CborWriter::Bool(bool value) {
  Count();
  Put(static_cast<uint8_t>(0xe0 | (value ? kTrue : kFalse)));
  return *this;
}

CborWriter& CborWriter::Text(std::string_view text) {
  Count();
  Head(3, text.size());
  PutAll({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return *this;
}

CborWriter& CborWriter::Bytes(std::span<const uint8_t> bytes) {
  Count();
  Head(2, bytes.size());
  PutAll(bytes);
  return *this;
}

}  // namespace tandem::mcu
