// Which UM owns which component: (component_id, component_type) has one owner in a unit. Pure.
//
// A UM owns what it lists as INSTALLED, unless its entry in `nodes` lists components and not this one, or another
// entry does. What several claim all the same is disputed, and nobody's: it is not planned for, counts as installed
// nowhere, and is shown with all who claim it. A UM claims what it last listed, connected or not.
#ifndef TANDEM_CM_UPDATE_OWNERSHIP_H_
#define TANDEM_CM_UPDATE_OWNERSHIP_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cm/trust/verifier.h"
#include "cm/um_registry/um_registry.h"

namespace tandem::cm {

class Ownership {
 public:
  explicit Ownership(const std::map<std::string, UmInfo>& ums);

  // What runs at the UM and is its own.
  std::vector<InstalledVersion> Of(const std::string& node_id) const;
  // What it claims and does not own, with why: "left and right both claim it; …".
  std::vector<std::pair<InstalledVersion, std::string>> DisputedBy(const std::string& node_id) const;
  // Why what it claims is not its own; empty when it is, or when it claims no such thing.
  std::string WhyNot(const std::string& node_id, const std::string& component_id,
                     const std::string& component_type) const;

 private:
  struct Claim {
    InstalledVersion installed;
    // Empty: it owns it.
    std::string why_not;
  };

  std::map<std::string, std::vector<Claim>> claims_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_OWNERSHIP_H_
