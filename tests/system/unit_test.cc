// Updates of a whole unit, its reboots included, with the power cut wherever it hurts.
#include <cstdlib>
#include <iostream>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/system/virtual_unit.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::set<std::string> kOld = {"1.0"};
const std::set<std::string> kNew = {"2.0"};

TEST(Unit, EverythingIsUpdatedWithOneReboot) {
  VirtualUnit unit;
  unit.SwitchOn();
  unit.Assign("2.0");
  ASSERT_TRUE(unit.WaitForEnd()) << unit.Story();
  EXPECT_EQ(unit.Outcome(), "applied");
  EXPECT_EQ(unit.Versions(), kNew) << unit.Story();
  EXPECT_EQ(unit.Slot(), "B");
  EXPECT_EQ(unit.Machine().boots, 2u);
  unit.Assign("3.0");
  ASSERT_TRUE(unit.WaitForEnd()) << unit.Story();
  EXPECT_EQ(unit.Versions(), std::set<std::string>{"3.0"}) << unit.Story();
  EXPECT_EQ(unit.Slot(), "A");
}

// --- the power, cut once, in each phase ---

struct Cut {
  std::string name;
  std::function<bool(VirtualUnit&)> when;
  // The unit is on its way back then.
  bool reverts = false;
};

void PrintTo(const Cut& cut, std::ostream* out) { *out << cut.name; }

class CutTest : public testing::TestWithParam<Cut> {};

TEST_P(CutTest, TheUpdateGoesOnAsIfNothingHadHappened) {
  // Slow enough for each phase to be met.
  VirtualUnit unit(
      {.cm_extra = "health: {grace: 1s}\npreconditions:\n  - {name: ready, exec: {command: [sleep, '0.5']}}\n",
       .bytes_per_second = 400 << 10,
       .reload = absl::Milliseconds(400)});
  unit.SwitchOn();
  unit.Assign("2.0", ImageFault::kNone, [&](release::v1::Assignment&, release::v1::Release& release) {
    if (!GetParam().reverts) return;
    release::v1::Probe& probe = *release.mutable_health()->add_probes();
    probe.set_name("latency");
    probe.mutable_exec()->add_command("false");
  });
  ASSERT_TRUE(unit.WaitFor([&] { return GetParam().when(unit); })) << unit.Story();
  unit.PowerCut();
  ASSERT_TRUE(unit.WaitForEnd()) << unit.Story();
  EXPECT_EQ(unit.Outcome(), GetParam().reverts ? "reverted" : "applied") << unit.Reason() << unit.Story();
  EXPECT_EQ(unit.Versions(), GetParam().reverts ? kOld : kNew) << unit.Story();
}

std::function<bool(VirtualUnit&)> InPhase(const std::string& phase) {
  return [phase](VirtualUnit& unit) { return unit.DurablePhase() == phase; };
}

INSTANTIATE_TEST_SUITE_P(
    Each, CutTest,
    testing::Values(Cut{"Preparing", InPhase("Preparing")}, Cut{"Ready", InPhase("Ready")},
                    Cut{"StartingBeforeTheBootSwitch", InPhase("Starting")},
                    Cut{"StartingAfterTheBootSwitch",
                        [](VirtualUnit& unit) { return unit.DurablePhase() == "Starting" && unit.Slot() == "B"; }},
                    Cut{"Trial", InPhase("Trial")}, Cut{"Committing", InPhase("Committing")},
                    Cut{"Reverting", InPhase("Reverting"), /*reverts=*/true},
                    Cut{"RevertingInTheOldSlot",
                        [](VirtualUnit& unit) { return unit.DurablePhase() == "Reverting" && unit.Slot() == "A"; },
                        /*reverts=*/true}),
    [](const auto& test) { return test.param.name; });

// --- a new system that is no good ---

TEST(Unit, ASlotThatDoesNotBootBringsEverythingBack) {
  VirtualUnit unit;
  unit.SwitchOn();
  unit.Assign("2.0", ImageFault::kDoesNotBoot);
  ASSERT_TRUE(unit.WaitForEnd()) << unit.Story();
  EXPECT_EQ(unit.Outcome(), "reverted");
  EXPECT_THAT(unit.Reason(), HasSubstr("boot of slot B failed, fell back to A"));
  EXPECT_EQ(unit.Versions(), kOld) << unit.Story();
  EXPECT_EQ(unit.Slot(), "A");
}

TEST(Unit, ANewSystemWhoseCmIsDeadIsLeftByTheWatchdog) {
  VirtualUnit unit({.cm_extra = {}, .bytes_per_second = 0, .reload = {}, .watchdog = absl::Seconds(2)});
  unit.SwitchOn();
  unit.Assign("2.0", ImageFault::kCmBroken);
  ASSERT_TRUE(unit.WaitForEnd()) << unit.Story();
  EXPECT_EQ(unit.Outcome(), "reverted");
  EXPECT_EQ(unit.Versions(), kOld) << unit.Story();
  EXPECT_EQ(unit.Slot(), "A");
  EXPECT_GE(unit.Machine().watchdog_resets, 1u);
}

// --- chance ---

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Unit, HoweverOftenThePowerIsCutTheUnitEndsAsOne) {
  const uint64_t seed = FromEnvironment("TANDEM_SEED", std::random_device()());
  const uint64_t cuts = FromEnvironment("TANDEM_CUTS", 20);
  std::cout << "TANDEM_SEED=" << seed << " TANDEM_CUTS=" << cuts << std::endl;
  std::mt19937_64 random(seed);
  VirtualUnit unit(
      {.cm_extra = "health: {grace: 300ms}\n", .bytes_per_second = 600 << 10, .reload = absl::Milliseconds(100)});
  unit.SwitchOn();
  int version = 2;
  unit.Assign(absl::StrCat(version, ".0"));
  for (uint64_t cut = 0; cut < cuts; ++cut) {
    const absl::Duration runs = absl::Milliseconds(300 + random() % 2500);
    const bool ended = unit.WaitForEnd(runs);
    if (ended) {
      EXPECT_THAT(unit.Versions(), SizeIs(1)) << "TANDEM_SEED=" << seed << unit.Story();
      unit.Assign(absl::StrCat(++version, ".0"));
    }
    unit.PowerCut();
  }
  ASSERT_TRUE(unit.WaitForEnd()) << "TANDEM_SEED=" << seed << unit.Story();
  ASSERT_TRUE(unit.WaitFor([&] { return !unit.Versions().empty(); }));
  EXPECT_THAT(unit.Versions(), SizeIs(1)) << "TANDEM_SEED=" << seed << unit.Story();
  // And it is none the worse for it.
  unit.Assign("100.0");
  ASSERT_TRUE(unit.WaitForEnd()) << "TANDEM_SEED=" << seed << unit.Story();
  EXPECT_EQ(unit.Outcome(), "applied");
  EXPECT_EQ(unit.Versions(), std::set<std::string>{"100.0"});
}

}  // namespace
}  // namespace tandem
