// Order of version texts, for minimum versions and for telling an update from a way back.
//
// Like semantic versions, but for any number of parts: a leading "v" and what follows "+" do not count; "1.2" is
// "1.2.0"; parts are compared as numbers when both are, else as text; "2.0.0-rc.1" is before "2.0.0".
#ifndef TANDEM_COMMON_VERSION_VERSION_H_
#define TANDEM_COMMON_VERSION_VERSION_H_

#include <string_view>

namespace tandem {

// Below 0: `a` is older; 0: as old; above 0: newer.
int CompareVersions(std::string_view a, std::string_view b);

}  // namespace tandem

#endif  // TANDEM_COMMON_VERSION_VERSION_H_
