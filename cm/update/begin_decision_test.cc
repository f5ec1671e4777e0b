#include "cm/update/begin_decision.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Plan PlanOf(const std::string& component, const std::string& from, const std::string& to) {
  Participant participant;
  participant.node_id = "um";
  participant.targets.push_back({.component_id = component, .version = to, .previous_version = from});
  return {.participants = {participant}, .missing = {}};
}

BeginFacts Ready() {
  return {.has_desired = true, .readable = {}, .release_name = "r2", .plan = PlanOf("mcu", "1", "2")};
}

TEST(DecideBegin, BeginsWhenNothingHoldsIt) { EXPECT_EQ(DecideBegin(Ready()).verdict, BeginVerdict::kBegin); }

TEST(DecideBegin, BeginsAlsoWhenEverythingRunsAlreadySoThatTheCloudIsTold) {
  BeginFacts facts = Ready();
  facts.plan = Plan();
  EXPECT_EQ(DecideBegin(facts).verdict, BeginVerdict::kBegin);
}

TEST(DecideBegin, WhatWasLeftBehindIsBroughtForwardWhenItReturns) {
  BeginFacts facts = Ready();
  facts.plan->participants[0].targets[0].component_type = "mcu-type";
  facts.tried = {.outcome = "applied", .reason = ""};
  record::v1::LeftoverComponent left;
  left.set_node_id("um");
  left.set_component_id("mcu");
  left.set_component_type("mcu-type");
  left.set_version("2");
  facts.left_behind = {left};
  EXPECT_EQ(DecideBegin(facts).verdict, BeginVerdict::kBegin);
  EXPECT_TRUE(DecideBegin(facts).completes);
  EXPECT_FALSE(DecideBegin(Ready()).completes);
  facts.left_behind[0].set_version("3");
  EXPECT_EQ(DecideBegin(facts).hold, Hold::kDrifted) << "a part that was replaced meanwhile is not";
  facts.left_behind[0].set_version("2");
  facts.left_behind[0].set_node_id("another");
  EXPECT_EQ(DecideBegin(facts).hold, Hold::kDrifted);
  facts.left_behind[0].set_node_id("um");
  facts.tried->outcome = "reverted";
  EXPECT_EQ(DecideBegin(facts).hold, Hold::kFailedHere) << "it was brought forward in vain, once";
}

struct HeldCase {
  const char* name;
  void (*change)(BeginFacts& facts);
  BeginVerdict verdict;
  Hold hold;
  const char* text;
};

const HeldCase kHeld[] = {
    {"nothing is desired", [](BeginFacts& f) { f.has_desired = false; }, BeginVerdict::kRest, Hold::kNothingDesired,
     ""},
    {"UMs may still register",
     [](BeginFacts& f) {
       f.waits_for_ums = true;
       f.unseen = {"mcu"};
     },
     BeginVerdict::kWait, Hold::kUmsRegister, "mcu"},
    {"the documents cannot be read", [](BeginFacts& f) { f.readable = absl::DataLossError("does not parse"); },
     BeginVerdict::kRest, Hold::kUnreadable, "does not parse"},
    {"the releases failed here", [](BeginFacts& f) { f.tried = {.outcome = "reverted", .reason = "too slow"}; },
     BeginVerdict::kRest, Hold::kFailedHere, "too slow"},
    {"a UM is on its way out of the last update", [](BeginFacts& f) { f.leftovers = {"mcu"}; }, BeginVerdict::kWait,
     Hold::kLeftoverUms, "mcu"},
    {"it was applied, and all of it runs",
     [](BeginFacts& f) {
       f.tried = {.outcome = "applied", .reason = ""};
       f.plan = Plan();
     },
     BeginVerdict::kRest, Hold::kApplied, ""},
    {"it was applied, and a part runs something else",
     [](BeginFacts& f) { f.tried = {.outcome = "applied", .reason = ""}; }, BeginVerdict::kRest, Hold::kDrifted,
     "mcu of um runs 1 instead of 2"},
    {"a component would go back", [](BeginFacts& f) { f.way_back = absl::PermissionDeniedError("back to 1"); },
     BeginVerdict::kRefuse, Hold::kForbidden, "back to 1"},
    {"a requirement is not met", [](BeginFacts& f) { f.requirements = absl::FailedPreconditionError("no mcu"); },
     BeginVerdict::kRefuse, Hold::kForbidden, "no mcu"},
    {"a requirement may be met by a UM that was never seen",
     [](BeginFacts& f) {
       f.requirements = absl::FailedPreconditionError("no mcu");
       f.unseen = {"mcu"};
     },
     BeginVerdict::kWait, Hold::kUnseenUms, "no mcu"},
    {"there is no plan", [](BeginFacts& f) { f.plan = absl::FailedPreconditionError("too long"); },
     BeginVerdict::kRefuse, Hold::kNoPlan, "too long"},
    {"nobody owns a component",
     [](BeginFacts& f) { f.plan = Plan{.participants = {}, .missing = {"component motor of type m"}}; },
     BeginVerdict::kWait, Hold::kNoOwner, "component motor"},
    {"a type may have components at a UM that was never seen",
     [](BeginFacts& f) {
       f.names_whole_types = true;
       f.unseen = {"door"};
     },
     BeginVerdict::kWait, Hold::kUnseenUms, "door"},
};

TEST(DecideBegin, SaysWhatHoldsIt) {
  for (const HeldCase& held : kHeld) {
    BeginFacts facts = Ready();
    held.change(facts);
    const BeginDecision decision = DecideBegin(facts);
    EXPECT_EQ(decision.verdict, held.verdict) << held.name;
    EXPECT_EQ(decision.hold, held.hold) << held.name;
    EXPECT_THAT(decision.text, HasSubstr(held.text)) << held.name;
  }
}

TEST(DecideBegin, AReleaseThatFailedIsNotHeldUpByLeftovers) {
  BeginFacts facts = Ready();
  facts.tried = {.outcome = "reverted", .reason = "too slow"};
  facts.leftovers = {"mcu"};
  EXPECT_EQ(DecideBegin(facts).hold, Hold::kFailedHere);
}

TEST(DecideBegin, NamesWhomItWaitsFor) {
  BeginFacts facts = Ready();
  facts.leftovers = {"mcu", "door"};
  EXPECT_THAT(DecideBegin(facts).who, ElementsAre("mcu", "door"));
}

}  // namespace
}  // namespace tandem::cm
