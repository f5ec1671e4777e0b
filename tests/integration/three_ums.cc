#include "tests/integration/three_ums.h"

#include "gtest/gtest.h"

namespace tandem {

void AddThreeUms(UnitUnderTest& unit) {
  unit.AddUm({.node_id = "config", .priority = 10, .behaviour = {}});
  unit.AddUm({.node_id = "model", .priority = 20, .behaviour = {}});
  unit.AddUm({.node_id = "boot", .priority = 30, .switches_boot = true, .behaviour = {"start: {reboot: true}"}});
}

void ExpectAll(UnitUnderTest& unit, const std::string& version) {
  for (const char* node : {"config", "model", "boot"}) {
    EXPECT_TRUE(unit.WaitFor([&] { return unit.UmState(node) == "IDLE"; })) << node << unit.Story();
    EXPECT_EQ(unit.Version(node), version) << node << unit.Story();
  }
}

}  // namespace tandem
