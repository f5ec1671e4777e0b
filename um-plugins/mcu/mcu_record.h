// What the MCU plugin's record says, and how it changes. Pure.
#ifndef TANDEM_UM_PLUGINS_MCU_MCU_RECORD_H_
#define TANDEM_UM_PLUGINS_MCU_MCU_RECORD_H_

#include <string>

#include "tandem/record/v1/record.pb.h"

namespace tandem::plugins {

// "2.0 (0a1b2c3d)".
std::string NameOf(const record::v1::McuRecord::Image& image);

// No update is open any more.
void Close(record::v1::McuRecord& record);

// `image` is the newest of the known ones; the oldest of too many is forgotten.
void Remember(record::v1::McuRecord& record, const record::v1::McuRecord::Image& image);

// The known image of this hash; null: none.
const record::v1::McuRecord::Image* Find(const record::v1::McuRecord& record, const std::string& hash);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_MCU_MCU_RECORD_H_
