// What a device's refusal means, for people and for code.
#ifndef TANDEM_UM_PLUGINS_MCU_SMP_ERRORS_H_
#define TANDEM_UM_PLUGINS_MCU_SMP_ERRORS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace tandem::smp {

// OK when `body`, an answer, has neither `rc` nor `err` (version 2: {group, rc}), or they are 0. Otherwise
// "the device refused {what}: image group, an image is pending already (rc 28)", and what the device says of its own
// (`rsn`); UNIMPLEMENTED when it does not know
// the command, UNAVAILABLE when it is busy or out of buffers and may be asked again, NOT_FOUND, FAILED_PRECONDITION,
// RESOURCE_EXHAUSTED, INVALID_ARGUMENT, DATA_LOSS, INTERNAL by their meaning.
absl::Status AnswerStatus(const nlohmann::json& body, const std::string& what);

// The device speaks only version 1 of the protocol.
bool WantsVersion1(const nlohmann::json& body);

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_SMP_ERRORS_H_
