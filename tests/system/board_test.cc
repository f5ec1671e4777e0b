// Updates of a whole unit whose three components really boot: the root file system by U-Boot, U-Boot by a ROM, and the
// firmware of a microcontroller.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/system/board_parts.h"
#include "tests/system/virtual_unit.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A unit that is slow enough for each phase to be met.
class BoardUnit {
 public:
  explicit BoardUnit(BoardOptions options = {}, std::string cm_extra = {})
      : board_(std::make_shared<BoardParts>(std::move(options))),
        unit_({.cm_extra = std::move(cm_extra),
               .start_budget = absl::Seconds(90),
               .trial_deadline = absl::Seconds(180),
               .parts = board_}) {
    unit_.SwitchOn();
  }

  BoardParts& board() { return *board_; }
  VirtualUnit& unit() { return unit_; }
  std::string Story() const { return absl::StrCat(unit_.Reason(), unit_.Story(), board_->Consoles()); }

  // The newest update has ended as `outcome`, all components are `version`, and the cloud was told so once.
  void ExpectEnd(const std::string& outcome, const std::string& version) {
    ASSERT_TRUE(unit_.WaitForEnd(absl::Seconds(120))) << Story();
    EXPECT_EQ(unit_.Outcome(), outcome) << Story();
    EXPECT_TRUE(unit_.WaitFor([&] { return unit_.Versions() == std::set<std::string>{version}; }, absl::Seconds(20)))
        << "versions are " << testing::PrintToString(unit_.Versions()) << Story();
    EXPECT_EQ(board_->WhatIsWrong(version), "") << Story();
    EXPECT_TRUE(unit_.WaitFor([&] { return !unit_.EndReports().empty(); }, absl::Seconds(20))) << Story();
    EXPECT_THAT(unit_.EndReports(), ElementsAre(outcome)) << Story();
  }

 private:
  std::shared_ptr<BoardParts> board_;
  mutable VirtualUnit unit_;
};

TEST(Board, AllThreeAreUpdatedTogether) {
  BoardUnit unit;
  unit.unit().Assign("2.0");
  unit.ExpectEnd("applied", "2.0");
  EXPECT_EQ(unit.unit().Machine().boots, 3u) << "never two unproven boot stages in one boot";
  unit.unit().Assign("3.0");
  unit.ExpectEnd("applied", "3.0");
}

}  // namespace
}  // namespace tandem
