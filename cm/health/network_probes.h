// Probes over the network, through libcurl. Made by MakeProbe().
#ifndef TANDEM_CM_HEALTH_NETWORK_PROBES_H_
#define TANDEM_CM_HEALTH_NETWORK_PROBES_H_

#include <memory>

#include "cm/health/probe.h"

namespace tandem::cm {

std::unique_ptr<Probe> MakeHttpProbe(const release::v1::HttpProbe& config);
std::unique_ptr<Probe> MakeTcpProbe(const release::v1::TcpProbe& config);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_NETWORK_PROBES_H_
