#include "fleet/controller/registry.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/rollout_table.h"

namespace tandem::fleet {
namespace {

constexpr size_t kMaxAttributeBytes = 256;
constexpr size_t kMaxTags = 32;

absl::Status CheckText(const std::string& name, const std::string& text) {
  if (text.size() > kMaxAttributeBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", text.size(), " bytes; at most ", kMaxAttributeBytes, " are taken"));
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return absl::InvalidArgumentError(absl::StrCat(name, " holds a control character"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Registry::Check(const UnitAttributes& attributes) {
  RETURN_IF_ERROR(CheckTopicLevel(attributes.unit_id, "unit_id"));
  const auto check = [&](const std::string& name, const std::string& text) {
    return Annotate(CheckText(name, text), absl::StrCat("unit ", attributes.unit_id));
  };
  RETURN_IF_ERROR(check("hardware", attributes.hardware));
  RETURN_IF_ERROR(check("group", attributes.group));
  RETURN_IF_ERROR(check("customer", attributes.customer));
  RETURN_IF_ERROR(check("region", attributes.region));
  RETURN_IF_ERROR(check("site", attributes.site));
  if (attributes.tags.size() > kMaxTags) {
    return absl::InvalidArgumentError(absl::StrCat("unit ", attributes.unit_id, " has ", attributes.tags.size(),
                                                   " tags; at most ", kMaxTags, " are taken"));
  }
  for (const auto& [name, value] : attributes.tags) {
    RETURN_IF_ERROR(CheckTopicLevel(name, absl::StrCat("unit ", attributes.unit_id, ": tag")));
    RETURN_IF_ERROR(check(absl::StrCat("tag ", name), value));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Registry::Register(StoreTransaction& tx, const UnitRegistration& registration,
                                        const std::string& actor, int64_t now) {
  RETURN_IF_ERROR(Check(registration.attributes));
  const std::string& unit_id = registration.attributes.unit_id;
  UnitTable units(tx);
  const absl::StatusOr<UnitRecord> known = units.GetRecord(unit_id);
  ASSIGN_OR_RETURN(const bool made, units.Register(registration, now));
  ASSIGN_OR_RETURN(const UnitRecord record, units.GetRecord(unit_id));
  if (!made && known.ok() && known->attributes == record.attributes &&
      known->certificate_fingerprint == record.certificate_fingerprint) {
    return false;
  }
  RETURN_IF_ERROR(Audit(tx, {.at = now,
                             .actor = actor,
                             .event = made ? "unit.registered" : "unit.changed",
                             .object = absl::StrCat("unit/", unit_id),
                             .old_value = known.ok() ? AttributesJson(known->attributes) : "",
                             .new_value = AttributesJson(record.attributes)}));
  RETURN_IF_ERROR(Join(tx, record.row, record.attributes, /*reinstated=*/false, now));
  return made;
}

absl::Status Registry::Join(StoreTransaction& tx, const UnitRow& unit, const UnitAttributes& attributes,
                            bool reinstated, int64_t now) {
  ASSIGN_OR_RETURN(const std::vector<RolloutRow> rollouts, RolloutTable(tx).Active());
  for (const RolloutRow& rollout : rollouts) {
    ASSIGN_OR_RETURN(const v1::RolloutSpec spec, ReadSpec(rollout));
    const int last = spec.rings_size() - 1;
    // Whoever fills the last ring takes this rollout's lock when it is done, and then looks for newcomers once more.
    if (rollout.state == RolloutState::kFilling && rollout.ring == last) {
      RETURN_IF_ERROR(RolloutTable(tx).Lock(rollout));
    }
    const bool past_filling =
        rollout.state == RolloutState::kComplete || (rollout.state == RolloutState::kRolling && rollout.ring == last);
    if (!past_filling || !spec.join()) continue;
    ASSIGN_OR_RETURN(const RingTarget target, RingTarget::Parse(spec, last));
    if (!target.Matches(attributes)) continue;
    AttemptTable attempts(tx);
    ASSIGN_OR_RETURN(const std::optional<AttemptRow> newest, attempts.OfUnitInRollout(unit.number, rollout.number));
    // Again, when a revocation ended what it had.
    const bool again = reinstated && newest.has_value() && newest->state == AttemptState::kSuperseded;
    if (newest.has_value() && !again) continue;
    RETURN_IF_ERROR(attempts
                        .Add({.rollout = rollout.number,
                              .ring = last,
                              .unit = unit.number,
                              .reason = again ? "the unit was reinstated" : "joined the target",
                              .tries = again ? newest->tries + 1 : 1,
                              .created_at = now,
                              .changed_at = now})
                        .status());
  }
  return absl::OkStatus();
}

absl::Status Registry::SetRevoked(StoreTransaction& tx, const std::string& unit_id, bool revoked,
                                  const std::string& reason, const std::string& actor, int64_t now) {
  UnitTable units(tx);
  ASSIGN_OR_RETURN(const UnitRow before, units.Get(unit_id, /*lock=*/true));
  if (before.revoked == revoked) return absl::OkStatus();
  UnitRow unit = before;
  unit.revoked = revoked;
  if (revoked) {
    if (unit.attempt != 0) {
      ASSIGN_OR_RETURN(AttemptRow attempt, AttemptTable(tx).Get(unit.attempt, /*lock=*/true));
      RETURN_IF_ERROR(
          StepAttempt(tx, attempt, AttemptEvent::kSupersede, absl::StrCat("the unit was revoked: ", reason), now)
              .status());
    }
    RETURN_IF_ERROR(orders_.Give(tx, unit, {}, now));
  }
  RETURN_IF_ERROR(units.Save(before, unit));
  if (!revoked) {
    ASSIGN_OR_RETURN(const UnitRecord record, units.GetRecord(unit_id));
    RETURN_IF_ERROR(Join(tx, record.row, record.attributes, /*reinstated=*/true, now));
  }
  return Audit(tx, {.at = now,
                    .actor = actor,
                    .event = revoked ? "unit.revoked" : "unit.reinstated",
                    .severity = 2,
                    .object = absl::StrCat("unit/", unit_id),
                    .new_value = AuditJson({{"reason", reason}})});
}

}  // namespace tandem::fleet
