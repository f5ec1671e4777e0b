#include "fleet/controller/orders.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/dsse.h"
#include "common/crypto/signed_metadata.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

// The rollout's mirrors, or the release's own; then those of the other planes.
absl::Status AddBaseUrls(StoreTransaction& tx, const Order& order, release::v1::Assignment& assignment) {
  std::vector<std::string> urls;
  if (order.spec != nullptr) urls.assign(order.spec->base_urls().begin(), order.spec->base_urls().end());
  for (const int64_t number : order.planes) {
    if (number == 0) continue;
    // Mirrors change: not from what was opened before.
    ASSIGN_OR_RETURN(const ReleaseRow row, ReleaseTable(tx).Head(number));
    urls.insert(urls.end(), row.base_urls.begin(), row.base_urls.end());
  }
  for (const std::string& url : urls) {
    const auto& known = assignment.base_urls();
    if (std::ranges::find(known, url) == known.end()) assignment.add_base_urls(url);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Orders::Give(StoreTransaction& tx, UnitRow& unit, const Order& order, int64_t now) {
  // What was ordered by other means before this fleet knew the unit counts, too.
  unit.desired_sequence = std::max(unit.desired_sequence, unit.reported_sequence) + 1;
  unit.desired_attempt += 1;
  unit.desired = order.planes;
  AssignmentTable table(tx);
  if (std::ranges::all_of(order.planes, [](int64_t release) { return release == 0; })) {
    return table.Clear(unit.number, unit.desired_sequence);
  }
  release::v1::Assignment assignment;
  assignment.set_namespace_(documents_.name_space());
  assignment.set_unit_id(unit.unit_id);
  assignment.set_sequence(static_cast<uint64_t>(unit.desired_sequence));
  assignment.set_attempt(static_cast<uint32_t>(unit.desired_attempt));
  assignment.mutable_issued_at()->set_seconds(now);
  const int64_t expires = now + absl::ToInt64Seconds(options_.lifetime);
  assignment.mutable_expires()->set_seconds(expires);
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (order.planes[plane] == 0) continue;
    ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> release, documents_.Release(tx, order.planes[plane]));
    release::v1::PlaneRelease* added = assignment.add_planes();
    added->set_plane(static_cast<release::v1::Plane>(plane + 1));
    added->set_release_digest(release->digest);
  }
  RETURN_IF_ERROR(AddBaseUrls(tx, order, assignment));
  if (order.spec != nullptr) {
    assignment.set_commit_on(order.spec->commit_on());
    *assignment.mutable_preconditions() = order.spec->preconditions();
    *assignment.mutable_conditions() = order.spec->conditions();
    if (order.spec->has_install_window()) *assignment.mutable_window() = order.spec->install_window();
    assignment.set_needs_approval(order.spec->needs_approval_at_unit());
  }
  assignment.set_rollback_of(order.rollback_of);
  assignment.set_correlation_id(order.correlation_id);
  RETURN_IF_ERROR(CheckAssignment(assignment));
  ASSIGN_OR_RETURN(std::string envelope, SealDocument(assignment, kAssignmentType, {documents_.signer()}));
  return table.Put(
      {.unit = unit.number, .sequence = unit.desired_sequence, .expires = expires, .envelope = std::move(envelope)});
}

absl::StatusOr<int> Orders::RefreshExpiring(StoreTransaction& tx, int64_t now, int limit) {
  AssignmentTable table(tx);
  const int64_t lifetime = absl::ToInt64Seconds(options_.lifetime);
  ASSIGN_OR_RETURN(const std::vector<AssignmentRow> expiring, table.Expiring(now + lifetime / 3, limit));
  int refreshed = 0;
  for (const AssignmentRow& row : expiring) {
    ASSIGN_OR_RETURN(const UnitRow before, UnitTable(tx).Get(row.unit, /*lock=*/true));
    UnitRow unit = before;
    const DsseEnvelope envelope = ParseDsse(row.envelope).value_or(DsseEnvelope{});
    release::v1::Assignment assignment;
    if (envelope.payload.empty() || !assignment.ParseFromString(envelope.payload)) {
      // The others must not wait for it.
      LogError("the stored assignment of a unit cannot be read; order it anew", {{"unit", unit.unit_id}});
      continue;
    }
    unit.desired_sequence = std::max(unit.desired_sequence, unit.reported_sequence) + 1;
    assignment.set_sequence(static_cast<uint64_t>(unit.desired_sequence));
    assignment.mutable_issued_at()->set_seconds(now);
    assignment.mutable_expires()->set_seconds(now + lifetime);
    ASSIGN_OR_RETURN(std::string sealed, SealDocument(assignment, kAssignmentType, {documents_.signer()}));
    RETURN_IF_ERROR(table.Put({.unit = unit.number,
                               .sequence = unit.desired_sequence,
                               .expires = now + lifetime,
                               .envelope = std::move(sealed)}));
    RETURN_IF_ERROR(UnitTable(tx).Save(before, unit));
    ++refreshed;
  }
  return refreshed;
}

}  // namespace tandem::fleet
