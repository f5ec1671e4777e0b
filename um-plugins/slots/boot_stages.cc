#include "um-plugins/slots/boot_stages.h"

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::plugins {

absl::Status BootStages::MayArm(const std::string& name) {
  std::lock_guard lock(mutex_);
  for (const auto& [other, is_unproven] : stages_) {
    if (other == name) continue;
    ASSIGN_OR_RETURN(const bool unproven, Annotate(is_unproven(), absl::StrCat("look at ", other)));
    if (unproven) {
      return absl::FailedPreconditionError(absl::StrCat(
          other, " is on trial and has not been booted yet; two unproven boot stages must not meet in one boot"));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::plugins
