// The devices and files that only one thing may use: what two UMs of a unit both write, both lose.
#ifndef TANDEM_UM_PLUGINS_EXCLUSIVE_PLACES_H_
#define TANDEM_UM_PLUGINS_EXCLUSIVE_PLACES_H_

#include "absl/status/status.h"
#include "tandem/config/v1/um.pb.h"

namespace tandem::plugins {

// INVALID_ARGUMENT names both when a slot, a copy, a record, a line or a payload folder is used twice, by one UM or by
// two. Links and ".." are followed as far as they exist.
absl::Status CheckExclusivePlaces(const config::v1::UmProcessConfig& config);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_EXCLUSIVE_PLACES_H_
