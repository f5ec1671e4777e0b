#include "um/plugin.h"

namespace tandem::um {

absl::StatusOr<RebootCheck> Plugin::CheckAfterReboot(Operation&) { return RebootCheck::kRunning; }

absl::Status Plugin::Seal() { return absl::OkStatus(); }

absl::Status Plugin::Reboot() { return absl::UnimplementedError("this plugin has nothing to reboot"); }

}  // namespace tandem::um
