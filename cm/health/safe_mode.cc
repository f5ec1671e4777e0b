#include "cm/health/safe_mode.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {
namespace {

constexpr uint32_t kDefaultStarts = 5;
constexpr uint32_t kNever = 0xffffffff;

// Of the update's record: CM's owner of it has not read it yet.
bool SwitchesBoots(FileSystem& fs, const std::string& state_dir) {
  const absl::StatusOr<std::string> bytes = DurableRecord(fs, JoinPath(state_dir, "update.rec")).Peek();
  record::v1::UnitUpdateRecord update;
  if (!bytes.ok() || !update.ParseFromString(*bytes)) return false;
  return update.phase() == "Starting" || update.phase() == "Trial" || update.phase() == "Reverting";
}

}  // namespace

StartsState AfterStart(const StartsRules& rules, StartsState state, const std::string& boot_id, bool asked) {
  // CM itself was restarted.
  if (state.open && state.boot_id == boot_id) return state;
  if (state.open && !asked && state.failed < kNever) ++state.failed;
  state.open = true;
  state.boot_id = boot_id;
  if (state.safe_mode || rules.failed_starts == kNever || state.failed < rules.failed_starts) return state;
  state.safe_mode = true;
  state.reason = absl::StrCat(state.failed, " starts in a row did not last");
  return state;
}

StartsState AfterLasting(StartsState state) {
  state.open = false;
  state.failed = 0;
  return state;
}

StartsState AfterOrderlyEnd(StartsState state) {
  state.open = false;
  return state;
}

StartsState AfterLeaving(StartsState state) {
  state.safe_mode = false;
  state.reason.clear();
  state.failed = 0;
  return state;
}

SafeMode::SafeMode(FileSystem& fs, const config::v1::CmConfig& config, const std::string& boot_id)
    : fs_(fs),
      rules_({.failed_starts =
                  config.safe_mode().failed_starts() == 0 ? kDefaultStarts : config.safe_mode().failed_starts()}),
      lasting_(DurationOr(config.safe_mode().has_lasting(), config.safe_mode().lasting(), absl::Minutes(5))),
      flag_file_(config.safe_mode().flag_file()),
      file_(fs, JoinPath(config.state_dir(), "starts.rec")) {
  record::v1::StartsRecord record;
  const absl::StatusOr<std::string> bytes = file_.ReadOrRestorePrevious();
  if (bytes.ok() && record.ParseFromString(*bytes)) {
    state_ = {.failed = record.failed(),
              .open = record.open(),
              .boot_id = record.boot_id(),
              .safe_mode = record.safe_mode(),
              .reason = record.reason()};
  } else if (!absl::IsNotFound(bytes.status())) {
    LogWarning("the count of starts is lost; it begins anew", {{"file", file_.path()}});
  }
  on_trial_ = SwitchesBoots(fs, config.state_dir());
  const bool was = state_.safe_mode;
  Change(AfterStart(rules_, state_, boot_id, on_trial_));
  is_new_ = !was && state_.safe_mode;
  SetFlag();
}

void SafeMode::Lasted() { Change(AfterLasting(state_)); }
void SafeMode::EndedInOrder() { Change(AfterOrderlyEnd(state_)); }

bool SafeMode::Leave() {
  if (!state_.safe_mode) return false;
  Change(AfterLeaving(state_));
  SetFlag();
  return true;
}

void SafeMode::SetTrial(bool on_trial) {
  if (std::exchange(on_trial_, on_trial) != on_trial) SetFlag();
}

void SafeMode::Change(const StartsState& next) {
  if (next == state_) return;
  state_ = next;
  record::v1::StartsRecord record;
  record.set_failed(state_.failed);
  record.set_open(state_.open);
  record.set_boot_id(state_.boot_id);
  record.set_safe_mode(state_.safe_mode);
  record.set_reason(state_.reason);
  if (const absl::Status saved = file_.Write(record.SerializeAsString()); !saved.ok()) {
    LogError("cannot write down that the unit has started", {{"error", ToPersonText(saved)}});
  }
}

void SafeMode::SetFlag() {
  if (flag_file_.empty()) return;
  absl::Status status;
  if (state_.safe_mode && !on_trial_) {
    status = fs_.MakeSharedFolders(ParentFolder(flag_file_));
    if (status.ok()) status = fs_.WriteFileAtomically(flag_file_, absl::StrCat(state_.reason, "\n"));
    if (status.ok()) status = fs_.ShareWithAll(flag_file_);
  } else if (fs_.Exists(flag_file_)) {
    status = fs_.Remove(flag_file_);
  }
  if (!status.ok()) LogError("cannot set the safe mode's flag", {{"error", ToPersonText(status)}});
}

}  // namespace tandem::cm
