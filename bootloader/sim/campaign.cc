#include "bootloader/sim/campaign.h"

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::boot::sim {
namespace {

using Stage = CampaignState::Stage;

constexpr uint8_t kAttempts = 3;
// Far more than any campaign needs; more is an endless loop.
constexpr uint32_t kMaxBoots = 100;

uint32_t VersionBit(uint32_t version) { return 1U << version; }

class Runner {
 public:
  Runner(const Campaign& campaign, Broken broken, SimUnit& unit, Power& power, CampaignState& state)
      : campaign_(campaign), broken_(broken), unit_(unit), power_(power), state_(state) {}

  Outcome Run();

 private:
  // What a running system ends with.
  enum class Next : uint8_t { kGoOn, kReset, kEnd };

  bool Over() const { return state_.update == campaign_.updates.size(); }
  uint32_t NewVersion() const { return 2U + state_.update; }
  Behaviour BehaviourOf(uint32_t version) const {
    return version < 2 ? Behaviour::kGood : campaign_.updates[version - 2];
  }

  absl::StatusOr<Decision> Boot();
  absl::StatusOr<Decision> DecideAndSave();
  // As a bootloader does that checks what it boots.
  absl::Status LeaveDecayed(Slot slot);
  absl::Status JudgeBoot(const Decision& decision);
  absl::Status JudgeRecord(const BootRecord& record);
  absl::Status JudgeEnd();
  // One step of the Update Manager in the system that runs.
  absl::StatusOr<Next> Step(Slot running);
  absl::StatusOr<Next> BeginUpdate(Slot running);
  absl::StatusOr<Next> PrepareUpdate();
  absl::StatusOr<Next> StartUpdate(Slot running);
  absl::StatusOr<Next> CheckUpdate(Slot running);
  absl::StatusOr<Next> ApplyUpdate(Slot running);
  absl::StatusOr<Next> SealUpdate();
  absl::StatusOr<Next> RevertUpdate();
  absl::StatusOr<Next> EndUpdate();
  // The Update Manager's record becomes `next`, as a whole.
  absl::Status Note(const CampaignState& next);
  absl::Status Note(Stage stage);

  const Campaign& campaign_;
  const Broken broken_;
  SimUnit& unit_;
  Power& power_;
  CampaignState& state_;
  Slot running_ = Slot::kNone;
};

absl::StatusOr<Decision> Runner::DecideAndSave() {
  const LoadedRecord loaded = unit_.LoadRecord();
  Decision decision = Decide(loaded);
  if (decision.write) {
    BootRecord record = decision.record;
    if (broken_ == Broken::kDoesNotCount) record.attempts_left = loaded.record.attempts_left;
    RETURN_IF_ERROR(unit_.SaveRecord(loaded, record));
  }
  return decision;
}

absl::Status Runner::LeaveDecayed(Slot slot) {
  if (broken_ == Broken::kBootsDecayed) return absl::OkStatus();
  const LoadedRecord loaded = unit_.LoadRecord();
  BootRecord record = loaded.record;
  if (MarkUnbootable(record, slot) != ChangeResult::kDone)
    return absl::InternalError("no other slot is known to be good");
  ++record.sequence;
  return unit_.SaveRecord(loaded, record);
}

absl::StatusOr<Decision> Runner::Boot() {
  unit_.Reset();
  ASSIGN_OR_RETURN(Decision decision, DecideAndSave());
  if (decision.slot != Slot::kNone && (state_.decayed & VersionBit(unit_.ReadImage(decision.slot))) != 0) {
    RETURN_IF_ERROR(LeaveDecayed(decision.slot));
    ASSIGN_OR_RETURN(decision, DecideAndSave());
  }
  RETURN_IF_ERROR(JudgeBoot(decision));
  return decision;
}

absl::Status Runner::JudgeBoot(const Decision& decision) {
  if (decision.slot == Slot::kNone) return absl::FailedPreconditionError(ReasonText(decision.reason));
  const std::string what = absl::StrCat("slot ", SlotName(decision.slot), " (", ReasonText(decision.reason), ")");
  const uint32_t version = unit_.ReadImage(decision.slot);
  if (version == 0) return absl::FailedPreconditionError(absl::StrCat(what, " is booted, and its image is not whole"));
  if ((state_.checked & VersionBit(version)) == 0) {
    return absl::FailedPreconditionError(absl::StrCat(what, " is booted, and version ", version, " was never checked"));
  }
  if ((state_.decayed & VersionBit(version)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(what, " is booted, and version ", version, " has decayed"));
  }
  if (decision.reason == BootReason::kTrial) {
    if (state_.cancelled) return absl::FailedPreconditionError(absl::StrCat(what, " is booted, and was cancelled"));
  } else if (version != state_.committed && !(state_.stage == Stage::kCommitted && version == NewVersion())) {
    return absl::FailedPreconditionError(absl::StrCat(what, " is booted for good with version ", version,
                                                      ", and version ", state_.committed, " was committed last"));
  }
  return JudgeRecord(decision.record);
}

absl::Status Runner::JudgeRecord(const BootRecord& record) {
  if (record.security_counter < state_.sealed) {
    return absl::FailedPreconditionError(
        absl::StrCat("the security counter was ", state_.sealed, ", and is ", record.security_counter));
  }
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    if (!record.IsConfirmed(slot)) continue;
    const uint32_t version = unit_.ReadImage(slot);
    if ((state_.proven & VersionBit(version)) == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "slot ", SlotName(slot), " is confirmed, and holds ",
          version == 0 ? "no whole image" : absl::StrCat("version ", version, ", which was never found good")));
    }
    if (slot == record.active && record.security_counter > version && (state_.decayed == 0)) {
      return absl::FailedPreconditionError(
          absl::StrCat("version ", version, " is confirmed, and the counter is at ", record.security_counter));
    }
  }
  return absl::OkStatus();
}

absl::Status Runner::JudgeEnd() {
  ASSIGN_OR_RETURN(const BootState end, unit_.control().Read());
  if (end.trial.has_value()) return absl::FailedPreconditionError("all is over, and a slot is on trial");
  if (end.confirmed != running_) return absl::FailedPreconditionError("all is over, and what runs is not confirmed");
  // Whoever cuts the power often enough can use up the boots of a good image.
  for (uint32_t update = 0; update < campaign_.updates.size(); ++update) {
    const bool committed = (state_.ever_committed & VersionBit(2 + update)) != 0;
    const Behaviour behaviour = campaign_.updates[update];
    const bool good = behaviour == Behaviour::kGood || behaviour == Behaviour::kDecays;
    if (committed && !good) return absl::FailedPreconditionError("all is over, and a bad update was committed");
    if (!committed && good && state_.cuts < kAttempts) {
      return absl::FailedPreconditionError(absl::StrCat("all is over, and good update ", update, " was not committed"));
    }
  }
  return JudgeRecord(unit_.LoadRecord().record);
}

absl::Status Runner::Note(const CampaignState& next) {
  const std::optional<uint32_t> tear = power_.Change(2);
  if (!tear.has_value() || *tear == 1) state_ = next;
  return tear.has_value() ? absl::InternalError("the power is off") : absl::OkStatus();
}

absl::Status Runner::Note(Stage stage) {
  CampaignState next = state_;
  next.stage = stage;
  return Note(next);
}

absl::StatusOr<Runner::Next> Runner::BeginUpdate(Slot running) {
  CampaignState next = state_;
  next.stage = Stage::kPreparing;
  next.target = Other(running);
  next.rearmed = false;
  RETURN_IF_ERROR(Note(next));
  return Next::kGoOn;
}

absl::StatusOr<Runner::Next> Runner::PrepareUpdate() {
  BootControl& control = unit_.control();
  if (broken_ != Broken::kKeepsOldConfirmed) RETURN_IF_ERROR(control.MarkUnbootable(state_.target));
  if (broken_ == Broken::kArmsBeforeImage) RETURN_IF_ERROR(control.SetTrial(state_.target, kAttempts));
  RETURN_IF_ERROR(unit_.WriteImage(state_.target, NewVersion(), broken_ != Broken::kDoesNotSyncImage));
  state_.checked |= VersionBit(NewVersion());
  RETURN_IF_ERROR(Note(Stage::kPrepared));
  return Next::kGoOn;
}

absl::StatusOr<Runner::Next> Runner::StartUpdate(Slot running) {
  if (running != state_.target) {
    state_.crashes = 0;
    state_.cancelled = false;
    RETURN_IF_ERROR(unit_.control().SetTrial(state_.target, kAttempts));
  }
  RETURN_IF_ERROR(Note(Stage::kStarted));
  return running == state_.target ? Next::kGoOn : Next::kReset;
}

absl::StatusOr<Runner::Next> Runner::CheckUpdate(Slot running) {
  if (running != state_.target) {
    RETURN_IF_ERROR(Note(Stage::kReverting));
    return Next::kGoOn;
  }
  if (broken_ == Broken::kConfirmsUnchecked) RETURN_IF_ERROR(unit_.control().Confirm(running));
  if (!state_.rearmed && broken_ != Broken::kConfirmsUnchecked) {
    CampaignState next = state_;
    next.rearmed = true;
    RETURN_IF_ERROR(Note(next));
    RETURN_IF_ERROR(unit_.control().RearmAttempts(running, kAttempts));
  }
  if (const Behaviour behaviour = BehaviourOf(NewVersion());
      behaviour == Behaviour::kGood || behaviour == Behaviour::kDecays) {
    CampaignState next = state_;
    next.stage = Stage::kCommitted;
    next.proven |= VersionBit(NewVersion());
    RETURN_IF_ERROR(Note(next));
  } else {
    RETURN_IF_ERROR(Note(Stage::kReverting));
  }
  return Next::kGoOn;
}

// Only forward: a trial that ran out of boots in between is armed again.
absl::StatusOr<Runner::Next> Runner::ApplyUpdate(Slot running) {
  BootControl& control = unit_.control();
  if (running != state_.target) {
    RETURN_IF_ERROR(control.SetTrial(state_.target, kAttempts));
    return Next::kReset;
  }
  if (broken_ != Broken::kForgetsConfirm) RETURN_IF_ERROR(control.Confirm(running));
  CampaignState next = state_;
  next.stage = Stage::kSealing;
  next.committed = static_cast<uint8_t>(NewVersion());
  next.ever_committed |= VersionBit(NewVersion());
  RETURN_IF_ERROR(Note(next));
  return Next::kGoOn;
}

// The rollback window ends; whatever decays does so later.
absl::StatusOr<Runner::Next> Runner::SealUpdate() {
  const bool decays = BehaviourOf(NewVersion()) == Behaviour::kDecays;
  if (!decays) {
    RETURN_IF_ERROR(unit_.control().RaiseSecurityCounter(NewVersion()));
    state_.sealed = NewVersion();
    return EndUpdate();
  }
  CampaignState next = state_;
  next.decayed |= VersionBit(NewVersion());
  next.committed = static_cast<uint8_t>(unit_.ReadImage(Other(running_)));
  next.stage = Stage::kIdle;
  ++next.update;
  RETURN_IF_ERROR(Note(next));
  return Next::kReset;
}

absl::StatusOr<Runner::Next> Runner::RevertUpdate() {
  BootControl& control = unit_.control();
  if (broken_ != Broken::kForgetsCancel) RETURN_IF_ERROR(control.CancelTrial());
  state_.cancelled = true;
  ASSIGN_OR_RETURN(const BootState boot, control.Read());
  if (boot.confirmed != running_) return Next::kReset;
  RETURN_IF_ERROR(control.MarkUnbootable(state_.target));
  return EndUpdate();
}

absl::StatusOr<Runner::Next> Runner::EndUpdate() {
  CampaignState next = state_;
  next.stage = Stage::kIdle;
  next.target = Slot::kNone;
  ++next.update;
  RETURN_IF_ERROR(Note(next));
  return Over() ? Next::kEnd : Next::kGoOn;
}

absl::StatusOr<Runner::Next> Runner::Step(Slot running) {
  switch (state_.stage) {
    case Stage::kIdle:
      return BeginUpdate(running);
    case Stage::kPreparing:
      return PrepareUpdate();
    case Stage::kPrepared:
      return StartUpdate(running);
    case Stage::kStarted:
      return CheckUpdate(running);
    case Stage::kCommitted:
      return ApplyUpdate(running);
    case Stage::kSealing:
      return SealUpdate();
    case Stage::kReverting:
      break;
  }
  return RevertUpdate();
}

Outcome Runner::Run() {
  Outcome outcome;
  const auto end = [&](const absl::Status& status) {
    outcome.kind = power_.on() ? Outcome::Kind::kViolation : Outcome::Kind::kPowerCut;
    if (!power_.on()) ++state_.cuts;
    if (power_.on()) outcome.violation = std::string(status.message());
    return outcome;
  };
  while (true) {
    if (++outcome.boots > kMaxBoots) return end(absl::InternalError("it resets for ever"));
    const absl::StatusOr<Decision> boot = Boot();
    if (!boot.ok()) return end(boot.status());
    running_ = boot->slot;
    if (BehaviourOf(unit_.ReadImage(running_)) == Behaviour::kCrashes) {
      if (++state_.crashes > kAttempts) return end(absl::InternalError("a crashing image is booted too often"));
      continue;
    }
    if (Over()) {
      const absl::Status good = JudgeEnd();
      return good.ok() ? outcome : end(good);
    }
    Next next = Next::kGoOn;
    while (next == Next::kGoOn) {
      if (const absl::Status good = JudgeRecord(unit_.LoadRecord().record); !good.ok()) return end(good);
      const absl::StatusOr<Next> step = Step(running_);
      if (!step.ok()) return end(step.status());
      next = *step;
    }
    // The end is judged after one more boot: what is there must boot.
  }
}

}  // namespace

const std::vector<Campaign>& Campaigns() {
  static const auto* const campaigns = new std::vector<Campaign>{
      {"two-good", {Behaviour::kGood, Behaviour::kGood}},
      {"crash-then-good", {Behaviour::kCrashes, Behaviour::kGood}},
      {"reverted-then-good", {Behaviour::kFailsCheck, Behaviour::kGood}},
      {"decayed-then-good", {Behaviour::kDecays, Behaviour::kGood}},
      {"good-then-crash-then-good", {Behaviour::kGood, Behaviour::kCrashes, Behaviour::kGood}},
  };
  return *campaigns;
}

Outcome RunCampaign(const Campaign& campaign, Broken broken, SimUnit& unit, Power& power, CampaignState& state) {
  return Runner(campaign, broken, unit, power, state).Run();
}

}  // namespace tandem::boot::sim
