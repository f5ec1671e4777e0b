#include "fleet/controller/publisher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {

absl::StatusOr<std::vector<Publisher::Published>> Publisher::Claim(int64_t now) {
  // Mostly there is nothing, and looking must not take the writer from those who store what units say, nor wake who
  // waits for a write.
  bool any = false;
  const absl::Status looked = store_.Read("look for orders to publish", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(any, AssignmentTable(tx).HasUnclaimed(now));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(looked);
  std::vector<Published> orders;
  if (!any) return orders;
  const int limit = std::min(options_.batch, link_.MaxInFlight());
  const absl::Status claimed = store_.Write("claim orders to publish", [&](StoreTransaction& tx) -> absl::Status {
    orders.clear();
    AssignmentTable table(tx);
    ASSIGN_OR_RETURN(const std::vector<PublishClaim> claims,
                     table.Claim(options_.controller_id, now, now + absl::ToInt64Seconds(options_.claim), limit));
    for (const PublishClaim& claim : claims) {
      ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(claim.unit, /*lock=*/false));
      ASSIGN_OR_RETURN(const std::optional<AssignmentRow> assignment, table.Get(claim.unit));
      Published order{.claim = claim, .unit_id = unit.unit_id};
      if (assignment.has_value()) {
        ASSIGN_OR_RETURN(order.documents, documents_.DesiredJson(tx, assignment->envelope, unit.desired));
      }
      orders.push_back(std::move(order));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(claimed);
  return orders;
}

absl::Status Publisher::Note(const std::vector<Published>& orders, int64_t now) {
  return store_.Write("note published orders", [&](StoreTransaction& tx) -> absl::Status {
    AssignmentTable table(tx);
    UnitTable units(tx);
    for (const Published& order : orders) {
      if (!order.status.ok()) {
        RETURN_IF_ERROR(
            table.Unclaim(order.claim.unit, options_.controller_id, now + absl::ToInt64Seconds(options_.retry)));
        continue;
      }
      ASSIGN_OR_RETURN(const UnitRow before, units.Get(order.claim.unit, /*lock=*/true));
      UnitRow unit = before;
      unit.published_sequence = std::max(unit.published_sequence, order.claim.sequence);
      unit.published_at = now;
      RETURN_IF_ERROR(units.Save(before, unit));
      RETURN_IF_ERROR(table.Published(order.claim, options_.controller_id).status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<int> Publisher::PublishSome(int64_t now) {
  ASSIGN_OR_RETURN(std::vector<Published> claimed, Claim(now));
  if (claimed.empty()) return 0;
  const absl::Duration begin = clock_.Monotonic();
  auto answers = std::make_shared<Answers>();
  answers->missing = claimed.size();
  answers->orders = std::move(claimed);
  for (size_t i = 0; i < answers->orders.size(); ++i) {
    const auto done = [answers, i](const absl::Status& status) {
      std::lock_guard lock(answers->mutex);
      answers->orders[i].status = status;
      if (--answers->missing == 0) answers->wake.notify_all();
    };
    const Published& order = answers->orders[i];
    // A machine that stood still: the claim may be another's by now, and what is newer published already.
    if (clock_.Monotonic() - begin > options_.claim / 2) {
      done(absl::DeadlineExceededError("this controller stood still; somebody else publishes it"));
    } else if (order.documents.empty()) {
      link_.ClearDesired(order.unit_id, done);
    } else {
      link_.PublishDesired(order.unit_id, order.documents, done);
    }
  }
  std::vector<Published> orders;
  {
    // Half of the claim: what has no answer by then is let go while it is still ours.
    std::unique_lock lock(answers->mutex);
    answers->wake.wait_for(lock, absl::ToChronoMilliseconds(options_.claim / 2), [&] { return answers->missing == 0; });
    orders = answers->orders;
  }
  const auto failed = std::ranges::find_if(orders, [](const Published& order) { return !order.status.ok(); });
  if (failed != orders.end()) {
    LogWarning("orders could not be published; they are tried again",
               {{"unit", failed->unit_id}, {"reason", ToPersonText(failed->status)}});
  }
  RETURN_IF_ERROR(Note(orders, now));
  return static_cast<int>(std::ranges::count_if(orders, [](const Published& order) { return order.status.ok(); }));
}

}  // namespace tandem::fleet
