#include "tests/model/um_node.h"

#include "absl/strings/str_cat.h"
#include "bootloader/core/slot_policy.h"
#include "tests/model/aos_steps.h"

namespace tandem::model {

using um::UmInput;
using um::UmJob;
using um::UmStep;

namespace {

constexpr uint8_t kAttempts = 1;

cm::UmState Wire(UmStep step) {
  switch (um::WireStateOf(step)) {
    case um::WireState::kIdle:
      return cm::UmState::kIdle;
    case um::WireState::kPrepared:
      return cm::UmState::kPrepared;
    case um::WireState::kUpdated:
      return cm::UmState::kUpdated;
    case um::WireState::kFailed:
      return cm::UmState::kFailed;
  }
  return cm::UmState::kFailed;
}

unsigned Pack(const UmMessage& m) {
  return static_cast<unsigned>(m.state) | unsigned{m.working} << 2 | unsigned{m.registers} << 3 | m.version << 4 |
         m.installs << 6 | unsigned{m.error} << 8;
}

UmMessage Unpack(unsigned bits) {
  return {.state = static_cast<cm::UmState>(bits & 3),
          .working = (bits & 4) != 0,
          .registers = (bits & 8) != 0,
          .version = (bits >> 4) & 3,
          .installs = (bits >> 6) & 3,
          .error = (bits & 256) != 0};
}

boot::BootRecord RecordOf(const UmNode& node) {
  boot::BootRecord record;
  record.active = static_cast<boot::Slot>(node.active);
  record.trial = node.trial == 2 ? boot::Slot::kNone : static_cast<boot::Slot>(node.trial);
  record.attempts_left = node.attempts;
  record.confirmed = node.confirmed;
  record.unbootable = node.unbootable;
  return record;
}

void Keep(const boot::BootRecord& record, UmNode& node) {
  node.active = static_cast<unsigned>(record.active);
  node.trial = record.trial == boot::Slot::kNone ? 2 : static_cast<unsigned>(record.trial);
  node.attempts = record.attempts_left;
  node.confirmed = record.confirmed;
  node.unbootable = record.unbootable;
}

boot::Slot OtherSlot(const UmNode& node) { return boot::Other(static_cast<boot::Slot>(node.running)); }

void Write(UmNode& node, unsigned slot, unsigned version) {
  if (slot == 0) {
    node.slot_a = version;
  } else {
    node.slot_b = version;
  }
}

}  // namespace

// --- what the plugin does ---

UmInput UmBehaviour::Perform(UmNode& node, const char** broken) const {
  const unsigned other = 1 - node.running;
  const auto is_target = [&](unsigned version) { return version == node.target; };
  switch (node.Job()) {
    case UmJob::kPrepare: {
      node.wrote = 0;
      // No UM of Aos goes back to a lower version.
      if (options_.aos && node.target <= node.Runs()) return UmInput::kJobFailed;
      if (is_target(node.Runs()) || is_target(node.SlotVersion(other))) return UmInput::kJobDone;
      if (node.target == 0) return UmInput::kJobFailed;
      if (options_.switches_boot) {
        boot::BootRecord record = RecordOf(node);
        if (boot::MarkUnbootable(record, OtherSlot(node)) != boot::ChangeResult::kDone) return UmInput::kJobFailed;
        if (static_cast<unsigned>(record.active) != node.running) *broken = "a write to the slot that runs";
        Keep(record, node);
      }
      Write(node, other, node.target);
      node.wrote = 1;
      return UmInput::kJobDone;
    }
    case UmJob::kStart:
      if (is_target(node.Runs())) return UmInput::kJobDone;
      if (!is_target(node.SlotVersion(other))) return UmInput::kJobFailed;
      if (options_.switches_boot) {
        boot::BootRecord record = RecordOf(node);
        if (boot::SetTrial(record, OtherSlot(node), kAttempts) != boot::ChangeResult::kDone) return UmInput::kJobFailed;
        Keep(record, node);
        return UmInput::kJobNeedsReboot;
      }
      node.running = other;
      return UmInput::kJobDone;
    case UmJob::kCheck:
      if (is_target(node.Runs())) {
        if (options_.switches_boot && node.trial == node.running) {
          boot::BootRecord record = RecordOf(node);
          boot::RearmAttempts(record, record.trial, kAttempts);
          Keep(record, node);
        }
        return UmInput::kJobDone;
      }
      return options_.switches_boot && node.trial == other && node.attempts > 0 ? UmInput::kJobNeedsReboot
                                                                                : UmInput::kJobFailed;
    case UmJob::kApply:
      if (!is_target(node.Runs())) return UmInput::kJobFailed;
      if (options_.switches_boot) {
        boot::BootRecord record = RecordOf(node);
        boot::Confirm(record, static_cast<boot::Slot>(node.running));
        Keep(record, node);
      } else {
        node.active = node.running;
      }
      return UmInput::kJobDone;
    case UmJob::kRevert:
      if (options_.switches_boot) {
        boot::BootRecord record = RecordOf(node);
        boot::CancelTrial(record);
        Keep(record, node);
        if (node.running != node.active) return UmInput::kJobNeedsReboot;
      } else {
        node.running = node.active;
      }
      if (node.wrote != 0) Write(node, 1 - node.running, kNoVersion);
      node.wrote = 0;
      return UmInput::kJobDone;
    default:
      return UmInput::kJobDone;
  }
}

const char* UmBehaviour::Boot(UmNode& node, bool boot_fails) const {
  if (!options_.switches_boot) return nullptr;
  // Every boot that fails is followed by another reset.
  for (;;) {
    const boot::Decision decision =
        boot::Decide({.state = boot::RecordState::kValid, .record = RecordOf(node), .copy = 0});
    if (decision.slot == boot::Slot::kNone) return "a unit that does not boot";
    Keep(decision.record, node);
    if (boot_fails && decision.reason == boot::BootReason::kTrial) continue;
    node.running = static_cast<unsigned>(decision.slot);
    if (node.Runs() == kNoVersion) return "a boot of a slot that holds nothing whole";
    return nullptr;
  }
}

// --- steps ---

void UmBehaviour::Take(UmNode& node, UmInput input, bool error) const {
  const std::optional<um::UmTransition> row =
      options_.aos ? FindAosTransition(node.Step(), input) : um::FindUmTransition(node.Step(), input);
  if (!row.has_value()) {
    if (!options_.aos) SendStatus(node, false);
    return;
  }
  node.step = static_cast<unsigned>(row->to);
  node.job = static_cast<unsigned>(row->job);
  node.error = error ? 1 : 0;
  if (row->to == UmStep::kIdle) node.target = kNoVersion;
  const bool tells = !options_.aos || (row->to != UmStep::kPreparing && row->to != UmStep::kStarting &&
                                       row->to != UmStep::kApplying && row->to != UmStep::kReverting);
  if (tells) SendStatus(node, false);
}

void UmBehaviour::Receive(UmNode& node, CmMessage message) const {
  switch (message.command) {
    case cm::UmCommand::kNone:
      return;
    case cm::UmCommand::kPrepare: {
      const bool same = node.target == message.version;
      const bool fits = options_.aos ? FindAosTransition(node.Step(), UmInput::kPrepareCommand).has_value()
                                     : um::FindUmTransition(node.Step(), UmInput::kPrepareCommand).has_value();
      // A UM that prepares takes nothing but other sources, and one that is PREPARED has what it is asked for again.
      const bool keeps = node.Step() == UmStep::kPreparing || (node.Step() == UmStep::kPrepared && same);
      if (fits && !keeps) node.target = message.version;
      if (fits && !keeps) return Take(node, UmInput::kPrepareCommand, false);
      if (!options_.aos) SendStatus(node, false);
      return;
    }
    case cm::UmCommand::kStart:
      return Take(node, UmInput::kStartCommand, false);
    case cm::UmCommand::kApply:
      return Take(node, UmInput::kApplyCommand, false);
    case cm::UmCommand::kRevert:
      return Take(node, UmInput::kRevertCommand, false);
  }
}

void UmBehaviour::ReceiveOnFullDisk(UmNode& node) const {
  node.error = 1;
  SendStatus(node, false);
}

void UmBehaviour::SendStatus(UmNode& node, bool registers) const {
  if (node.Link() != LinkState::kUp) return;
  const UmStep step = node.Step();
  UmMessage message{.state = Wire(step),
                    .working = !options_.aos && um::IsWorking(step),
                    .registers = registers,
                    .version = node.Runs(),
                    .installs = static_cast<unsigned>(node.target),
                    .error = node.error != 0};
  if (options_.aos) {
    // While it is not IDLE it lists what ran before as installed, and while IDLE nothing as coming.
    if (step != UmStep::kIdle) message.version = node.SlotVersion(node.active);
    if (message.state == cm::UmState::kIdle) message.installs = kNoVersion;
    if (step == UmStep::kStarting) message.state = cm::UmState::kPrepared;
    if (step == UmStep::kApplying) message.state = cm::UmState::kUpdated;
  }
  // What was not read yet is outdated.
  if (node.up_count == 2) {
    message.registers = message.registers || Unpack(node.up_second).registers;
    node.up_second = Pack(message);
  } else if (node.up_count == 1) {
    node.up_second = Pack(message);
    node.up_count = 2;
  } else {
    node.up_first = Pack(message);
    node.up_count = 1;
  }
}

void UmBehaviour::Connect(UmNode& node) const {
  ClearStream(node);
  node.link = static_cast<unsigned>(LinkState::kUp);
  SendStatus(node, true);
}

JobEnd UmBehaviour::FinishJob(UmNode& node, bool fails, bool boot_fails) const {
  JobEnd end;
  if (node.Job() == UmJob::kReboot) {
    end.rebooted = true;
    Crash(node);
    end.broken = Boot(node, boot_fails);
    return end;
  }
  const UmInput input = fails ? UmInput::kJobFailed : Perform(node, &end.broken);
  node.job = 0;
  Take(node, input, input == UmInput::kJobFailed);
  return end;
}

JobEnd UmBehaviour::FinishJobUnheard(UmNode& node) const {
  JobEnd end;
  Perform(node, &end.broken);
  Crash(node);
  return end;
}

void UmBehaviour::Crash(UmNode& node) const {
  node.up = 0;
  node.job = 0;
  ClearStream(node);
  if (node.Link() == LinkState::kUp) node.link = static_cast<unsigned>(LinkState::kBroken);
}

const char* UmBehaviour::PowerCut(UmNode& node) const {
  Crash(node);
  return Boot(node, /*boot_fails=*/false);
}

void UmBehaviour::Restart(UmNode& node) const {
  node.up = 1;
  Take(node, UmInput::kRestarted, node.error != 0);
}

bool UmBehaviour::CanBootFail(const UmNode& node) const { return node.Job() == UmJob::kReboot && node.trial != 2; }

bool UmBehaviour::MustFail(const UmNode& node) const {
  switch (node.TheHabit()) {
    case Habit::kStartFails:
      return node.Job() == UmJob::kStart;
    case Habit::kApplyFails:
      return node.Job() == UmJob::kApply;
    case Habit::kRevertFails:
      return node.Job() == UmJob::kRevert;
    default:
      return false;
  }
}

// --- the stream ---

UmMessage FirstStatus(const UmNode& node) { return Unpack(node.up_first); }

void DropFirstStatus(UmNode& node) {
  node.up_first = node.up_second;
  node.up_second = 0;
  --node.up_count;
  if (node.up_count == 0) node.up_first = 0;
}

CmMessage FirstCommand(const UmNode& node) {
  return {.command = static_cast<cm::UmCommand>(node.down_first & 7),
          .version = static_cast<unsigned>(node.down_first >> 3)};
}

void DropFirstCommand(UmNode& node) {
  node.down_first = node.down_second;
  node.down_second = 0;
}

bool PushCommand(UmNode& node, CmMessage message) {
  const unsigned bits = static_cast<unsigned>(message.command) | message.version << 3;
  if (node.down_first == 0) {
    node.down_first = bits;
  } else if (node.down_second == 0) {
    node.down_second = bits;
  } else {
    return false;
  }
  return true;
}

void ClearStream(UmNode& node) {
  node.up_count = 0;
  node.up_first = node.up_second = 0;
  node.down_first = node.down_second = 0;
}

bool IsIdle(const UmNode& node) { return node.Step() == UmStep::kIdle; }

std::string Describe(const UmNode& node) {
  std::string text = absl::StrCat(std::string(um::Name(node.Step())), " on ", node.Runs());
  if (node.target != kNoVersion) absl::StrAppend(&text, " for ", static_cast<unsigned>(node.target));
  if (node.up == 0) absl::StrAppend(&text, ", down");
  if (node.Link() != LinkState::kUp) absl::StrAppend(&text, ", no stream");
  return text;
}

}  // namespace tandem::model
