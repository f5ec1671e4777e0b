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

absl::StatusOr<UnitUpdate> Parse(const std::string& bytes, const std::string& path) {
  record::v1::UnitUpdateRecord record;
  if (!record.ParseFromString(bytes)) return absl::DataLossError(absl::StrCat(path, " does not parse"));
  return Annotate(FromRecord(record), path);
}

}  // namespace

bool HasFinished(const Step& step) {
  return std::ranges::any_of(step.actions, [](const Action& a) { return a.kind == Action::Kind::kFinished; });
}

UpdateJournal::UpdateJournal(FileSystem& fs, const std::string& state_dir, DesiredStore& desired, TrustStore& trust)
    : file_(fs, JoinPath(state_dir, "update.rec")), desired_(desired), trust_(trust) {}

absl::StatusOr<UpdateJournal::Loaded> UpdateJournal::Load() {
  Loaded loaded;
  absl::StatusOr<std::string> bytes = file_.Read();
  if (absl::IsNotFound(bytes.status())) return loaded;
  if (bytes.ok()) {
    absl::StatusOr<UnitUpdate> update = Parse(*bytes, file_.path());
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
    ASSIGN_OR_RETURN(loaded.update, Parse(*bytes, file_.path()));
  }
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
  if (const absl::Status saved = file_.Write(ToRecord(loaded.update).SerializeAsString()); !saved.ok()) {
    LogError("cannot write that the update is being recovered", {{"error", ToPersonText(saved)}});
  }
  return loaded;
}

absl::Status UpdateJournal::Save(const Step& step, const StoredDesired* documents) {
  if (HasFinished(step) && documents != nullptr) {
    // Idempotent, and before the record says that the update is over.
    if (step.update.outcome == Outcome::kApplied) {
      RETURN_IF_ERROR(desired_.SetCommitted(*documents));
      std::vector<std::string> digests;
      for (const AcceptedRelease& release : documents->accepted.releases) digests.push_back(release.digest);
      RETURN_IF_ERROR(trust_.AddCommitted(digests));
    }
    RETURN_IF_ERROR(desired_.SetDone(documents->accepted, std::string(Name(step.update.outcome)), step.update.reason));
  }
  const std::string bytes = DurableBytes(step.update);
  if (bytes == last_saved_) return absl::OkStatus();
  RETURN_IF_ERROR(file_.Write(ToRecord(step.update).SerializeAsString()));
  last_saved_ = bytes;
  return absl::OkStatus();
}

}  // namespace tandem::cm
