// The boot record as variables of a U-Boot environment.
//
// BOOT_ORDER, BOOT_A_LEFT and BOOT_B_LEFT have RAUC's names and meaning, so that U-Boot's own `rauc` boot method and
// other tools read them; the others are Tandem's:
//
//   BOOT_ORDER        "A B": the slot on trial first, then the active one; without a trial the active one is first
//   BOOT_A_LEFT       boots left, 0 to 9: 0 is unbootable, unless the slot is on trial and has used all its boots
//   BOOT_B_LEFT
//   tandem_trial      the slot on trial, "A" or "B"; empty or missing: none
//   tandem_confirmed  the slots whose bytes have proven themselves, "A B"; missing: the active one
//   tandem_security   the security counter, decimal; missing: 0
//   tandem_state      1: these variables are the unit's, not those that U-Boot was built with
//
// Only a trial boot is counted. With RAUC's own script every boot is, so that a good slot can run out.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_VARIABLES_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_VARIABLES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "bootloader/core/boot_record.h"

namespace tandem::boot {

using Variables = std::map<std::string, std::string, std::less<>>;

// Of the record's fields, sequence, last_chosen and reserved stay at their defaults. Variables that are missing are the
// factory's. DATA_LOSS names the variable that cannot be understood, and how to mend it.
absl::StatusOr<BootRecord> RecordFromVariables(const Variables& variables);

// All that are listed above; RecordFromVariables() of them gives the same record.
Variables VariablesFromRecord(const BootRecord& record);

// One copy of a redundant environment, for whoever provisions a unit: u32 LE CRC-32 of the data, u8 `flags`, data
// "name=value\0 ... \0", zeros up to `size` bytes, which must be enough (U-Boot, include/env_internal.h).
std::string EncodeEnvironment(const Variables& variables, uint8_t flags, size_t size);

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_VARIABLES_H_
