// The usual unit of these tests: a configuration, a model, and a part that boots into its new version, in start order.
#ifndef TANDEM_TESTS_INTEGRATION_THREE_UMS_H_
#define TANDEM_TESTS_INTEGRATION_THREE_UMS_H_

#include <map>
#include <string>

#include "tests/integration/unit_under_test.h"

namespace tandem {

inline const std::map<std::string, std::string> kAllNew = {{"boot", "2.0"}, {"config", "2.0"}, {"model", "2.0"}};

void AddThreeUms(UnitUnderTest& unit);

// All three are at rest, and run `version`.
void ExpectAll(UnitUnderTest& unit, const std::string& version);

}  // namespace tandem

#endif  // TANDEM_TESTS_INTEGRATION_THREE_UMS_H_
