#include "fleet/controller/report_intake.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "fleet/controller/applied_check.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

// A unit that refused an order has not accepted its sequence either: it is not bothered more often.
constexpr int64_t kPublishAgainSeconds = 3600;
// No fleet gets there, and JSON numbers are exact to here. A unit that names a higher one could never be ordered again,
// and past the last number nothing could be signed, so that it would hold up those of its batch.
constexpr int64_t kMaxSequence = int64_t{1} << 53;

int64_t SequenceOf(const unit::v1::Reported& reported) {
  return reported.sequence() < static_cast<uint64_t>(kMaxSequence) ? static_cast<int64_t>(reported.sequence()) : 0;
}

MessageOrder OrderOf(const UnitMessage& message) {
  return {static_cast<int64_t>(message.epoch), static_cast<int64_t>(message.seq)};
}

bool WantsAck(const UnitMessage& message) {
  return message.kind != UnitMessage::Kind::kReported && message.kind != UnitMessage::Kind::kPresence;
}

// Tells news from a heartbeat. Not the boot_id's business: it is part of what is said.
int64_t HashOf(const std::string& bytes) {
  const std::string digest = Sha256(bytes);
  int64_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof(hash));
  return hash;
}

// Equal reports give equal bytes, maps too.
std::string Serialize(const unit::v1::Reported& reported) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  reported.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

std::string Shortened(const std::string& text) { return Beginning(text, kMaxReasonBytes); }

int PlaneOf(const std::string& name) {
  const std::string lower = absl::AsciiStrToLower(name);
  const auto found = std::ranges::find(kPlaneNames, lower);
  return found == kPlaneNames.end() ? -1 : static_cast<int>(found - kPlaneNames.begin());
}

// Attributes that a unit may say of itself.
UnitRegistration RegistrationOf(const std::string& unit_id, const unit::v1::Reported& reported) {
  UnitRegistration registration{.attributes = {.unit_id = unit_id, .hardware = reported.hardware()},
                                .by_operator = false};
  for (const auto& [name, value] : reported.attributes()) {
    UnitAttributes& to = registration.attributes;
    if (name == "group") {
      to.group = value;
    } else if (name == "customer") {
      to.customer = value;
    } else if (name == "region") {
      to.region = value;
    } else if (name == "site") {
      to.site = value;
    } else {
      to.tags[name] = value;
    }
  }
  return registration;
}

}  // namespace

std::optional<AttemptEvent> EventOfFeedback(const std::string& state) {
  if (state == "anomaly") return AttemptEvent::kAnomaly;
  if (state == "refused" || state == "reverted" || state == "needs_service") return AttemptEvent::kGaveUp;
  // Reports of their own, or of no update.
  if (state == "applied" || state == "provisional" || state == "um_refused") return std::nullopt;
  return AttemptEvent::kProgress;
}

absl::Status ReportIntake::Take(StoreTransaction& tx, const UnitMessage& message, int64_t now, ReportReplies& replies) {
  UnitTable units(tx);
  absl::StatusOr<UnitRow> before = units.Get(message.unit_id, /*lock=*/true);
  if (absl::IsNotFound(before.status()) && options_.open_registration && message.kind == UnitMessage::Kind::kReported) {
    const UnitRegistration registration =
        RegistrationOf(message.unit_id, std::get<unit::v1::Reported>(message.payload));
    const absl::StatusOr<bool> made = registry_.Register(tx, registration, absl::StrCat("unit:", message.unit_id), now);
    if (absl::IsInvalidArgument(made.status())) {
      LogWarning("a unit cannot be registered as it says",
                 {{"unit", message.unit_id}, {"reason", ToPersonText(made.status())}});
      ++replies.unknown;
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(made.status());
    before = units.Get(message.unit_id, /*lock=*/true);
  }
  if (absl::IsNotFound(before.status()) || (before.ok() && before->revoked)) {
    // Not acknowledged: the unit keeps it until somebody registers it.
    ++replies.unknown;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(before.status());
  UnitRow unit = *before;
  RETURN_IF_ERROR(TakeKnown(tx, message, now, unit, replies));
  RETURN_IF_ERROR(units.Save(*before, unit));
  if (WantsAck(message)) replies.acks.push_back({.unit_id = message.unit_id, .msg_id = message.msg_id});
  return absl::OkStatus();
}

absl::Status ReportIntake::TakeKnown(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit,
                                     ReportReplies& replies) {
  const bool was_away = !unit.online || unit.stale;
  switch (message.kind) {
    case UnitMessage::Kind::kPresence:
      if (OrderOf(message) <= unit.presence) return absl::OkStatus();
      // It started anew, and may not know any more what it was to run.
      if (OrderOf(message).epoch != unit.presence.epoch) {
        RETURN_IF_ERROR(DiagnosticRunTable(tx).PublishAgain(unit.number, now));
      }
      unit.presence = OrderOf(message);
      unit.online = std::get<unit::v1::Presence>(message.payload).online();
      // It said goodbye: it is not missed.
      unit.stale = unit.stale && unit.online;
      if (!unit.online) return absl::OkStatus();
      break;
    case UnitMessage::Kind::kReported:
      RETURN_IF_ERROR(TakeReported(tx, message, now, unit, replies));
      break;
    case UnitMessage::Kind::kFeedback:
      RETURN_IF_ERROR(TakeFeedback(tx, message, now, unit));
      break;
    case UnitMessage::Kind::kProvisional:
    case UnitMessage::Kind::kApplied:
      RETURN_IF_ERROR(TakeApplied(tx, message, now, unit, replies));
      break;
    case UnitMessage::Kind::kDiagnostic:
      RETURN_IF_ERROR(verification_.TakeResult(tx, message, unit, now, replies.verdicts));
      break;
  }
  unit.last_seen = now;
  unit.stale = false;
  if (was_away && unit.online && unit.attempt != 0) {
    RETURN_IF_ERROR(DiagnosticRunTable(tx).PublishAgain(unit.number, now));
    return StepAttempt(tx, unit, AttemptEvent::kOnline, std::nullopt, "", now);
  }
  return absl::OkStatus();
}

absl::Status ReportIntake::TakeReported(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit,
                                        ReportReplies& replies) {
  if (OrderOf(message) <= unit.reported) return absl::OkStatus();
  unit.reported = OrderOf(message);
  // Its presence came before anybody knew it.
  if (unit.presence == MessageOrder{}) unit.online = true;
  const auto& reported = std::get<unit::v1::Reported>(message.payload);
  RETURN_IF_ERROR(PublishAgainIfMissed(tx, SequenceOf(reported), now, unit));
  if (unit.attempt != 0 && reported.phase() == "Trial") {
    // The verdict may be what was lost.
    ASSIGN_OR_RETURN(const AttemptRow attempt, AttemptTable(tx).Get(unit.attempt, /*lock=*/false));
    if (attempt.state == AttemptState::kCleared) {
      replies.verdicts.push_back(MakeVerdict(unit, attempt, /*verified=*/true, ""));
    }
  }
  const std::string bytes = Serialize(reported);
  const int64_t hash = HashOf(bytes);
  if (hash == unit.reported_hash) return absl::OkStatus();
  unit.reported_hash = hash;
  unit.reported_sequence = SequenceOf(reported);
  RETURN_IF_ERROR(UnitTable(tx).SaveReported(unit.number, bytes));
  RETURN_IF_ERROR(SetRuns(tx, unit, reported.planes()));
  if (options_.open_registration && !reported.hardware().empty()) {
    const absl::StatusOr<bool> changed =
        registry_.Register(tx, RegistrationOf(unit.unit_id, reported), absl::StrCat("unit:", unit.unit_id), now);
    if (!changed.ok() && !absl::IsInvalidArgument(changed.status())) return changed.status();
  }
  if (unit.attempt == 0 || reported.phase() != "Idle") return absl::OkStatus();
  // At rest, having accepted what was ordered: either it runs it, whatever became of the message that says so, or not.
  ASSIGN_OR_RETURN(const AttemptRow attempt, AttemptTable(tx).Get(unit.attempt, /*lock=*/false));
  if (unit.reported_sequence < attempt.sequence) return absl::OkStatus();
  const absl::Status runs = CheckRunsDesired(tx, unit, reported.hardware(), reported.components(), reported.planes());
  if (absl::IsFailedPrecondition(runs)) {
    return StepAttempt(tx, unit, AttemptEvent::kFellBack, std::nullopt, absl::StrCat("reported: ", runs.message()),
                       now);
  }
  RETURN_IF_ERROR(runs);
  return StepAttempt(tx, unit, AttemptEvent::kApplied, std::nullopt, "", now);
}

// Whatever the broker was told, the unit does not have it: a broker that lost its store, say.
absl::Status ReportIntake::PublishAgainIfMissed(StoreTransaction& tx, int64_t sequence, int64_t now, UnitRow& unit) {
  const bool missed = unit.online && unit.desired_sequence != 0 && unit.published_sequence == unit.desired_sequence &&
                      sequence < unit.desired_sequence;
  // One that it has accepted just now, and that is not the newest, came after the newest: at once.
  const bool older_came_later = sequence > unit.reported_sequence;
  if (!missed || (!older_came_later && now - unit.published_at < kPublishAgainSeconds)) return absl::OkStatus();
  unit.published_at = now;
  return AssignmentTable(tx).Enqueue(unit.number, unit.desired_sequence);
}

absl::Status ReportIntake::TakeFeedback(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit) {
  const auto& feedback = std::get<unit::v1::Feedback>(message.payload);
  ASSIGN_OR_RETURN(const bool fresh,
                   UnitTable(tx).AddEvent(unit.number, {.order = OrderOf(message),
                                                        .at = now,
                                                        .sequence = static_cast<int64_t>(feedback.sequence()),
                                                        .attempt = feedback.attempt(),
                                                        .state = feedback.state(),
                                                        .reason = Shortened(feedback.reason())}));
  const std::optional<AttemptEvent> event = EventOfFeedback(feedback.state());
  if (!fresh || !event.has_value() || unit.attempt == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const AttemptRow attempt, AttemptTable(tx).Get(unit.attempt, /*lock=*/false));
  const auto sequence = static_cast<int64_t>(feedback.sequence());
  // Of an order before this one.
  if (sequence < attempt.sequence || feedback.attempt() != unit.desired_attempt) return absl::OkStatus();
  const std::string reason =
      feedback.reason().empty() ? feedback.state() : absl::StrCat(feedback.state(), ": ", Shortened(feedback.reason()));
  const bool had = attempt.state == AttemptState::kApplied || attempt.state == AttemptState::kPassed ||
                   attempt.state == AttemptState::kVerifying || attempt.state == AttemptState::kVerified;
  // After it had the release: it was driven back by a compensating update.
  const AttemptEvent meaning = *event == AttemptEvent::kGaveUp && had ? AttemptEvent::kFellBack : *event;
  return StepAttempt(tx, unit, meaning, OrderOf(message), reason, now);
}

absl::Status ReportIntake::TakeApplied(StoreTransaction& tx, const UnitMessage& message, int64_t now, UnitRow& unit,
                                       ReportReplies& replies) {
  const auto& applied = std::get<unit::v1::Applied>(message.payload);
  const bool provisional = message.kind == UnitMessage::Kind::kProvisional;
  ASSIGN_OR_RETURN(const bool fresh,
                   UnitTable(tx).AddEvent(unit.number, {.order = OrderOf(message),
                                                        .at = now,
                                                        .sequence = static_cast<int64_t>(applied.sequence()),
                                                        .attempt = applied.attempt(),
                                                        .state = provisional ? "provisional report" : "applied report",
                                                        .reason = ""}));
  if (unit.attempt == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const AttemptRow attempt, AttemptTable(tx).Get(unit.attempt, /*lock=*/false));
  const bool about_it =
      static_cast<int64_t>(applied.sequence()) >= attempt.sequence && applied.attempt() == unit.desired_attempt;
  if (!about_it) return absl::OkStatus();
  if (provisional) return TakeProvisional(tx, applied, OrderOf(message), fresh, now, unit, replies);
  if (!fresh) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UnitRecord record, UnitTable(tx).GetRecord(unit.number));
  absl::Status runs = CheckRunsDesired(tx, unit, record.attributes.hardware, applied.components(), applied.planes());
  if (runs.ok() && applied.boot_id().empty()) {
    runs = absl::FailedPreconditionError("it does not say which boot it runs in");
  }
  if (absl::IsFailedPrecondition(runs)) {
    return StepAttempt(tx, unit, AttemptEvent::kMismatch, OrderOf(message),
                       absl::StrCat("says applied, but ", runs.message()), now);
  }
  RETURN_IF_ERROR(runs);
  RETURN_IF_ERROR(SetRuns(tx, unit, applied.planes()));
  return StepAttempt(tx, unit, AttemptEvent::kApplied, OrderOf(message), "", now);
}

absl::Status ReportIntake::TakeProvisional(StoreTransaction& tx, const unit::v1::Applied& report, MessageOrder order,
                                           bool fresh, int64_t now, UnitRow& unit, ReportReplies& replies) {
  if (fresh) RETURN_IF_ERROR(StepAttempt(tx, unit, AttemptEvent::kProvisional, order, "", now));
  ASSIGN_OR_RETURN(const AttemptRow before, AttemptTable(tx).Get(unit.attempt, /*lock=*/true));
  AttemptRow attempt = before;
  // The unit goes by the assignment that it began with, which may be a refresh.
  attempt.sequence = std::max(attempt.sequence, static_cast<int64_t>(report.sequence()));
  RETURN_IF_ERROR(AttemptTable(tx).Save(before, attempt));
  // For each copy: the answer may be what was lost.
  switch (attempt.state) {
    case AttemptState::kVerifyingTrial:
      return absl::OkStatus();
    case AttemptState::kProvisional:
    case AttemptState::kCleared:
      replies.verdicts.push_back(MakeVerdict(unit, attempt, /*verified=*/true, ""));
      return absl::OkStatus();
    default:
      replies.verdicts.push_back(
          MakeVerdict(unit, attempt, /*verified=*/false,
                      absl::StrCat("the rollout does not wait for this update any more: ", attempt.reason)));
      return absl::OkStatus();
  }
}

absl::Status ReportIntake::StepAttempt(StoreTransaction& tx, UnitRow& unit, AttemptEvent event,
                                       std::optional<MessageOrder> order, const std::string& reason, int64_t now) {
  AttemptTable attempts(tx);
  ASSIGN_OR_RETURN(AttemptRow attempt, attempts.Get(unit.attempt, /*lock=*/true));
  if (order.has_value()) {
    if (*order <= attempt.order) return absl::OkStatus();
    const AttemptRow unordered = attempt;
    attempt.order = *order;
    RETURN_IF_ERROR(attempts.Save(unordered, attempt));
  }
  ASSIGN_OR_RETURN(const bool changed, fleet::StepAttempt(tx, attempt, event, reason, now));
  if (!changed) return absl::OkStatus();
  if (attempt.state == AttemptState::kApplied || attempt.state == AttemptState::kProvisional) {
    return verification_.Begin(tx, unit, attempt, now).status();
  }
  if (attempt.state == AttemptState::kVerified) RETURN_IF_ERROR(NoteGood(tx, attempt, unit));
  if (IsOpen(attempt.state)) return absl::OkStatus();
  return UnitTable(tx).PruneEvents(unit.number, now - absl::ToInt64Seconds(options_.keep_events));
}

absl::Status ReportIntake::CheckRunsDesired(StoreTransaction& tx, const UnitRow& unit, const std::string& hardware,
                                            const ComponentReports& components, const PlaneReports& planes) {
  std::vector<OrderedRelease> ordered;
  // Keeps them until they were looked at.
  std::vector<std::shared_ptr<const OpenedRelease>> opened;
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (unit.desired[plane] == 0) continue;
    ASSIGN_OR_RETURN(std::shared_ptr<const OpenedRelease> release, documents_.Release(tx, unit.desired[plane]));
    ordered.push_back(
        {.document = &release->document, .digest_hex = release->row.digest, .planes = PlaneSet{1} << plane});
    opened.push_back(std::move(release));
  }
  return CheckRuns(ordered, hardware, components, planes);
}

absl::Status ReportIntake::SetRuns(StoreTransaction& tx, UnitRow& unit, const PlaneReports& planes) {
  for (const unit::v1::PlaneReport& report : planes) {
    const int plane = PlaneOf(report.plane());
    if (plane < 0) continue;
    ASSIGN_OR_RETURN(const int64_t release, documents_.NumberOf(tx, report.release_digest()));
    if (release == unit.runs[plane]) continue;
    unit.previous[plane] = unit.runs[plane];
    unit.runs[plane] = release;
  }
  return absl::OkStatus();
}

}  // namespace tandem::fleet
