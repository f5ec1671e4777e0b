// Verification and its guards as text for people. Pure; each ends in a newline.
#ifndef TANDEM_TOOLS_FLEETCTL_RENDER_VERIFICATION_H_
#define TANDEM_TOOLS_FLEETCTL_RENDER_VERIFICATION_H_

#include <string>

#include "tandem/fleet/v1/fleet.pb.h"
#include "tools/fleetctl/table.h"

namespace tandem::fleetctl {

// Units by diagnostics.
std::string RenderVerification(const fleet::v1::Verification& verification, const RenderOptions& options);
// One line each, with measurements.
std::string RenderRuns(const google::protobuf::RepeatedPtrField<fleet::v1::DiagnosticRun>& runs,
                       const RenderOptions& options);
std::string RenderGuards(const fleet::v1::Guards& guards, const RenderOptions& options);
// "verified on 12 units"; empty: nobody was asked.
std::string VerificationText(const fleet::v1::ReleaseVerification& verification);

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_RENDER_VERIFICATION_H_
