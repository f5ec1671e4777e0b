#include "bootloader/boot_control/uboot_variables.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"

namespace tandem::boot {
namespace {

constexpr char kOrder[] = "BOOT_ORDER";
constexpr char kTrial[] = "tandem_trial";
constexpr char kConfirmed[] = "tandem_confirmed";
constexpr char kSecurity[] = "tandem_security";
// Of a slot that is not on trial and may be booted.
constexpr uint8_t kDefaultLeft = 3;

std::string LeftName(Slot slot) { return absl::StrCat("BOOT_", SlotName(slot), "_LEFT"); }

absl::Status Broken(const std::string& name, const std::string& value, const std::string& must,
                    const std::string& example) {
  return absl::DataLossError(absl::StrCat("the U-Boot variable ", name, " is \"", value, "\", and must be ", must,
                                          "; mend it with fw_setenv ", name, " ", example));
}

// To U-Boot an empty variable is a missing one.
std::string Get(const Variables& variables, const std::string& name, const std::string& fallback) {
  const auto found = variables.find(name);
  return found == variables.end() || found->second.empty() ? fallback : found->second;
}

// "A", "A B"; each slot at most once.
absl::StatusOr<std::vector<Slot>> ParseSlots(const std::string& name, const std::string& text) {
  std::vector<Slot> slots;
  for (const auto word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const Slot slot = word == "A" ? Slot::kA : word == "B" ? Slot::kB : Slot::kNone;
    if (slot == Slot::kNone || (!slots.empty() && slots[0] == slot) || slots.size() == 2) {
      return Broken(name, text, "a list of the slots A and B", "'A B'");
    }
    slots.push_back(slot);
  }
  return slots;
}

// U-Boot reads such a number as hexadecimal, others read it as decimal: one digit is the same in both.
absl::StatusOr<uint8_t> ParseLeft(const std::string& name, const std::string& text) {
  if (text.size() != 1 || text[0] < '0' || text[0] > '9') return Broken(name, text, "0 to 9", "3");
  return static_cast<uint8_t>(text[0] - '0');
}

absl::StatusOr<Slot> ParseTrial(const std::string& text) {
  if (text.empty()) return Slot::kNone;
  if (text == "A") return Slot::kA;
  if (text == "B") return Slot::kB;
  return Broken(kTrial, text, "A, B or empty", "''");
}

}  // namespace

absl::StatusOr<BootRecord> RecordFromVariables(const Variables& variables) {
  BootRecord record;
  const std::string order_text = Get(variables, kOrder, "A B");
  ASSIGN_OR_RETURN(const std::vector<Slot> order, ParseSlots(kOrder, order_text));
  if (order.empty()) return Broken(kOrder, order_text, "a list of the slots A and B", "'A B'");
  ASSIGN_OR_RETURN(record.trial, ParseTrial(Get(variables, kTrial, "")));
  record.active = record.trial == Slot::kNone ? order[0] : Other(record.trial);
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    const std::string name = LeftName(slot);
    ASSIGN_OR_RETURN(uint8_t left, ParseLeft(name, Get(variables, name, absl::StrCat(kDefaultLeft))));
    if (slot == record.trial) {
      record.attempts_left = left;
      continue;
    }
    // RAUC takes a slot out of the order when it is bad.
    const bool in_order = order[0] == slot || order.back() == slot;
    if (left == 0 || !in_order) record.unbootable |= Bit(slot);
  }
  const std::string confirmed_text = Get(variables, kConfirmed, SlotName(record.active));
  ASSIGN_OR_RETURN(const std::vector<Slot> confirmed, ParseSlots(kConfirmed, confirmed_text));
  // What is active was confirmed before it became that.
  record.confirmed = Bit(record.active);
  for (const Slot slot : confirmed) record.confirmed |= Bit(slot);
  const std::string security = Get(variables, kSecurity, "0");
  if (!absl::SimpleAtoi(security, &record.security_counter)) {
    return Broken(kSecurity, security, "a number below 4294967296", "0");
  }
  return record;
}

Variables VariablesFromRecord(const BootRecord& record) {
  const Slot first = record.trial == Slot::kNone ? record.active : record.trial;
  Variables variables = {{kOrder, absl::StrCat(SlotName(first), " ", SlotName(Other(first)))},
                         {kTrial, record.trial == Slot::kNone ? "" : SlotName(record.trial)},
                         {kSecurity, absl::StrCat(record.security_counter)},
                         {"tandem_state", "1"}};
  std::string confirmed;
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    const uint8_t left = !record.IsBootable(slot) ? 0 : slot == record.trial ? record.attempts_left : kDefaultLeft;
    variables[LeftName(slot)] = absl::StrCat(left);
    if (record.IsConfirmed(slot)) absl::StrAppend(&confirmed, confirmed.empty() ? "" : " ", SlotName(slot));
  }
  variables[kConfirmed] = confirmed;
  return variables;
}

std::string EncodeEnvironment(const Variables& variables, uint8_t flags, size_t size) {
  constexpr size_t kHeader = 5;
  std::string data;
  for (const auto& [name, value] : variables) {
    data += name;
    data += '=';
    data += value;
    data += '\0';
  }
  data.resize(size - kHeader, '\0');
  const uint32_t crc = Crc32({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
  std::string copy;
  for (int i = 0; i < 4; ++i) copy.push_back(static_cast<char>(crc >> (8 * i)));
  copy.push_back(static_cast<char>(flags));
  return copy + data;
}

}  // namespace tandem::boot
