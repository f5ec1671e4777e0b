// The CBOR (RFC 8949) that SMP needs: reading one map of simple values, writing maps and lists. Freestanding, no heap;
// nothing that is read can make it run on or read outside its bytes.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_CBOR_H_
#define TANDEM_BOOTLOADER_MCU_SMP_CBOR_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tandem::mcu {

enum class CborKind : uint8_t { kUnsigned, kNegative, kBytes, kText, kArray, kMap, kTag, kBool, kOther, kBreak };

struct CborItem {
  CborKind kind = CborKind::kOther;
  // The number; -1 - number for kNegative; the count of a list or map; 1 for true.
  uint64_t number = 0;
  // A list or map that ends with a break instead of having a count.
  bool indefinite = false;
  // Of kBytes and kText.
  std::span<const uint8_t> bytes;

  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

class CborReader {
 public:
  explicit CborReader(std::span<const uint8_t> bytes) : left_(bytes) {}

  // The next item: of a list or map only its head. False at the end, or when the bytes are not CBOR, or for a text or
  // byte string in parts.
  bool Next(CborItem& item);
  // Steps over what `head` began. False when that is cut short or nested deeper than 8.
  bool SkipRest(const CborItem& head);
  bool AtEnd() const { return left_.empty(); }

 private:
  bool Take(size_t size, std::span<const uint8_t>& into);

  std::span<const uint8_t> left_;
};

// Writes into a fixed buffer; once something does not fit, ok() is false for good.
//
//   CborWriter out(buffer);
//   out.BeginMap();
//   out.Key("off").Unsigned(120);
//   out.End();
//   if (out.ok()) Send(out.bytes());
class CborWriter {
 public:
  explicit CborWriter(std::span<uint8_t> buffer) : buffer_(buffer) {}

  // At most 8 open at once; each of at most 23 entries.
  CborWriter& BeginMap();
  CborWriter& BeginArray();
  CborWriter& End();
  CborWriter& Key(std::string_view name);
  CborWriter& Unsigned(uint64_t value);
  CborWriter& Bool(bool value);
  CborWriter& Text(std::string_view text);
  CborWriter& Bytes(std::span<const uint8_t> bytes);

  // Everything fitted and nothing is open.
  bool ok() const { return ok_ && depth_ == 0; }
  std::span<const uint8_t> bytes() const { return buffer_.first(size_); }

 private:
  static constexpr size_t kMaxDepth = 8;

  void Begin(uint8_t head);
  void Count();
  void Head(uint8_t major, uint64_t value);
  void Put(uint8_t byte);
  void PutAll(std::span<const uint8_t> bytes);

  const std::span<uint8_t> buffer_;
  size_t size_ = 0;
  bool ok_ = true;
  // For each open list or map: where its head is, and how many entries it has.
  size_t heads_[kMaxDepth] = {};
  uint8_t counts_[kMaxDepth] = {};
  size_t depth_ = 0;
  bool after_key_ = false;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_CBOR_H_
