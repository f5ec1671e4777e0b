// Probes of this computer: files, disk, memory, temperature, devices, versions, watchdog. Commands are in
// command_probes.h. Made by MakeProbe().
#ifndef TANDEM_CM_HEALTH_LOCAL_PROBES_H_
#define TANDEM_CM_HEALTH_LOCAL_PROBES_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cm/health/probe.h"

namespace tandem::cm {

std::unique_ptr<Probe> MakeWatchdogProbe(std::function<absl::Status()> watchdog);
std::unique_ptr<Probe> MakeFileAgeProbe(const release::v1::FileAgeProbe& config, Clock& clock);
std::unique_ptr<Probe> MakeFreeDiskProbe(const release::v1::FreeDiskProbe& config);
std::unique_ptr<Probe> MakeMemoryProbe(const release::v1::MemoryProbe& config, std::string meminfo_file);
std::unique_ptr<Probe> MakeDeviceProbe(const release::v1::DeviceProbe& config);
std::unique_ptr<Probe> MakeTemperatureProbe(const release::v1::TemperatureProbe& config);
std::unique_ptr<Probe> MakeVersionProbe(const release::v1::VersionProbe& config,
                                        std::function<std::vector<ProbeComponent>()> components);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_LOCAL_PROBES_H_
