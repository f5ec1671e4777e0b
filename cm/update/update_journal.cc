#include "cm/update/update_journal.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cm/update/records/update_record.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

// Elapsed budget time is written this often; a crash forgets no more of it.
constexpr absl::Duration kElapsedStep = absl::Seconds(10);

absl::Duration Rounded(absl::Duration time) { return absl::Floor(time, kElapsedStep); }

// What must be on disk before the actions; the same bytes mean that nothing needs to be written.
std::string DurableBytes(UnitUpdate update) {
  update.phase_elapsed = Rounded(update.phase_elapsed);
  update.trial_elapsed = Rounded(update.trial_elapsed);
  for (Participant& participant : update.participants) participant.step_elapsed = Rounded(participant.step_elapsed);
  return ToRecord(update).SerializeAsString();
}

}  // namespace

bool HasFinished(const Step& step) {
  return std::ranges::any_of(step.actions, [](const Action& a) { return a.kind == Action::Kind::kFinished; });
}

UpdateJournal::UpdateJournal(FileSystem& fs, Clock& clock, const std::string& state_dir, std::string boot_id,
                             DesiredStore& desired, TrustStore& trust)
    : file_(fs, JoinPath(state_dir, "update.rec")),
      clock_(clock),
      boot_id_(std::move(boot_id)),
      desired_(desired),
      trust_(trust) {}

absl::StatusOr<UnitUpdate> UpdateJournal::Parse(const std::string& bytes) const {
  record::v1::UnitUpdateRecord record;
  if (!record.ParseFromString(bytes)) return absl::DataLossError(absl::StrCat(file_.path(), " does not parse"));
  ASSIGN_OR_RETURN(UnitUpdate update, Annotate(FromRecord(record), file_.path()));
  const absl::Duration away = clock_.Monotonic() - absl::Milliseconds(record.written_at_ms());
  if (update.trial_running && record.boot_id() == boot_id_) {
    update.trial_elapsed += std::max(away, absl::ZeroDuration());
  }
  return update;
}

absl::Status UpdateJournal::Write(const UnitUpdate& update) {
  record::v1::UnitUpdateRecord record = ToRecord(update);
  record.set_boot_id(boot_id_);
  record.set_written_at_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(clock_.Monotonic())));
  return file_.Write(record.SerializeAsString());
}

absl::StatusOr<UpdateJournal::Loaded> UpdateJournal::Load() {
  Loaded loaded;
  absl::StatusOr<std::string> bytes = file_.Read();
  if (absl::IsNotFound(bytes.status())) return loaded;
  if (bytes.ok()) {
    absl::StatusOr<UnitUpdate> update = Parse(*bytes);
    if (!absl::IsDataLoss(update.status())) {
      ASSIGN_OR_RETURN(loaded.update, std::move(update));
      return loaded;
    }
    bytes = update.status();
  }
  if (!absl::IsDataLoss(bytes.status())) return bytes.status();
  LogError("update record damaged; what the UMs report decides", {{"error", ToPersonText(bytes.status())}});
  bytes = file_.ReadPrevious();
  if (!bytes.ok() && !absl::IsNotFound(bytes.status()) && !absl::IsDataLoss(bytes.status())) return bytes.status();
  if (bytes.ok()) {
    absl::StatusOr<UnitUpdate> before = Parse(*bytes);
    if (!before.ok() && !absl::IsDataLoss(before.status())) return before.status();
    if (before.ok()) {
      loaded.update = *std::move(before);
    } else {
      bytes = before.status();
    }
  }
  if (absl::IsDataLoss(bytes.status())) {
    loaded.update.phase = Phase::kNeedsService;
    loaded.update.reason = "both copies of the update record are damaged, and nothing tells how far the update was";
    if (const absl::Status saved = Write(loaded.update); !saved.ok()) {
      LogError("cannot write that the unit needs service", {{"error", ToPersonText(saved)}});
    }
    return loaded;
  }
  // There was no update before the one whose first record is damaged: at most something was prepared.
  if (loaded.update.phase == Phase::kIdle) {
    loaded.lost = "the update record was damaged, and nothing tells what ran; see the log";
    return loaded;
  }
  loaded.update.phase = Phase::kRecovering;
  loaded.update.decision = Decision::kNone;
  for (Participant& participant : loaded.update.participants) {
    participant.prepares = std::max(participant.prepares, 1U);
  }
  // The damaged copy is aside; after another crash nothing else would tell that there is something to recover.
  if (const absl::Status saved = Write(loaded.update); !saved.ok()) {
    LogError("cannot write that the update is being recovered", {{"error", ToPersonText(saved)}});
  }
  return loaded;
}

absl::Status UpdateJournal::Save(const Step& step, const StoredDesired* documents) {
  if (HasFinished(step) && documents == nullptr && step.update.outcome == Outcome::kApplied) {
    RETURN_IF_ERROR(desired_.SetLeftovers(step.update));
  }
  if (HasFinished(step) && documents != nullptr) {
    // Idempotent, and before the record says that the update is over.
    if (step.update.outcome == Outcome::kApplied) {
      RETURN_IF_ERROR(desired_.SetCommitted(*documents, step.update));
      std::vector<std::string> digests;
      for (const AcceptedRelease& release : documents->accepted.releases) digests.push_back(release.digest);
      RETURN_IF_ERROR(trust_.AddCommitted(digests));
    }
    RETURN_IF_ERROR(desired_.SetDone(documents->accepted, std::string(Name(step.update.outcome)), step.update.reason));
  }
  const std::string bytes = DurableBytes(step.update);
  if (bytes == last_saved_) return absl::OkStatus();
  RETURN_IF_ERROR(Write(step.update));
  last_saved_ = bytes;
  return absl::OkStatus();
}

}  // namespace tandem::cm
