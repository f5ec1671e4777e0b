#include "fleet/controller/diagnostic_publisher.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/crypto/signed_metadata.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

constexpr int kAtOnce = 250;
// Longer than a broker takes to answer.
constexpr int64_t kClaimSeconds = 30;

}  // namespace

absl::Status DiagnosticPublisher::NoteAnswers() {
  std::vector<std::pair<int64_t, int64_t>> published;
  {
    std::lock_guard lock(answers_->mutex);
    published.swap(answers_->published);
  }
  if (published.empty()) return absl::OkStatus();
  // What is lost here is published once more.
  return store_.Write("note published diagnostics",
                      [&](StoreTransaction& tx) { return DiagnosticRunTable(tx).Published(published); });
}

absl::StatusOr<std::vector<DiagnosticPublisher::Command>> DiagnosticPublisher::Claim(int64_t now) {
  bool any = false;
  const absl::Status looked = store_.Read("look for diagnostics to publish", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(any, DiagnosticRunTable(tx).HasToPublish(now));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(looked);
  std::vector<Command> commands;
  if (!any) return commands;
  const absl::Status claimed = store_.Write("claim diagnostics to publish", [&](StoreTransaction& tx) -> absl::Status {
    commands.clear();
    ASSIGN_OR_RETURN(std::vector<DiagnosticRunRow> runs,
                     DiagnosticRunTable(tx).Claim(now, now + kClaimSeconds, std::min(kAtOnce, link_.MaxInFlight())));
    for (DiagnosticRunRow& run : runs) {
      ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(run.unit, /*lock=*/false));
      ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> release, documents_.Release(tx, run.release));
      commands.push_back({.run = std::move(run), .unit_id = unit.unit_id, .release_digest = release->digest});
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(claimed);
  return commands;
}

absl::StatusOr<std::string> DiagnosticPublisher::Seal(const Command& command, int64_t now) const {
  release::v1::DiagnosticCommand document;
  document.set_namespace_(documents_.name_space());
  document.set_unit_id(command.unit_id);
  document.set_run_id(command.run.run_id);
  document.set_release_digest(command.release_digest);
  document.set_diagnostic(command.run.diagnostic);
  document.set_triggered_by(command.run.triggered_by);
  document.mutable_issued_at()->set_seconds(now);
  document.mutable_expires()->set_seconds(command.run.deadline);
  return SealDocument(document, kDiagnosticCommandType, {documents_.signer()});
}

absl::StatusOr<int> DiagnosticPublisher::PublishSome(int64_t now) {
  RETURN_IF_ERROR(NoteAnswers());
  ASSIGN_OR_RETURN(const std::vector<Command> commands, Claim(now));
  for (const Command& command : commands) {
    ASSIGN_OR_RETURN(const std::string envelope, Seal(command, now));
    link_.PublishDiagnostic(command.unit_id, envelope, absl::Seconds(std::max<int64_t>(command.run.deadline - now, 1)),
                            [answers = answers_, claim = std::pair(command.run.number, command.run.publish_at),
                             unit_id = command.unit_id](const absl::Status& status) {
                              if (!status.ok()) {
                                LogWarning("a diagnostic could not be published; it is tried again",
                                           {{"unit", unit_id}, {"reason", ToPersonText(status)}});
                                return;
                              }
                              std::lock_guard lock(answers->mutex);
                              answers->published.push_back(claim);
                            });
  }
  return static_cast<int>(commands.size());
}

}  // namespace tandem::fleet
