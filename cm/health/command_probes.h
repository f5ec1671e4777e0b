// Probes that run a program: any command, the replay of a sample, the state of a service. Made by MakeProbe().
#ifndef TANDEM_CM_HEALTH_COMMAND_PROBES_H_
#define TANDEM_CM_HEALTH_COMMAND_PROBES_H_

#include <memory>
#include <string>

#include "cm/health/probe.h"

namespace tandem::cm {

std::unique_ptr<Probe> MakeExecProbe(const release::v1::ExecProbe& config, ProbeCommandRunner run);
std::unique_ptr<Probe> MakeReplayProbe(const release::v1::ReplayProbe& config, ProbeCommandRunner run, Clock& clock);
std::unique_ptr<Probe> MakeServiceProbe(const release::v1::ServiceProbe& config, std::string systemctl);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_COMMAND_PROBES_H_
