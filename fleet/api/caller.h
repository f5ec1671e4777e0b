// Who asks, once it was proved.
#ifndef TANDEM_FLEET_API_CALLER_H_
#define TANDEM_FLEET_API_CALLER_H_

#include <string>

#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {

struct Caller {
  // As the audit log has it: "token:alice", "certificate:ci", "local".
  std::string actor;
  v1::Role role = v1::ROLE_UNSPECIFIED;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_CALLER_H_
