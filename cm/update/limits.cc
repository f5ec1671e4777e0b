#include "cm/update/limits.h"

#include "common/config/yaml_config.h"

namespace tandem::cm {

Limits LimitsOf(const config::v1::Budgets& budgets) {
  Limits limits;
  limits.registration = DurationOr(budgets.has_registration(), budgets.registration(), limits.registration);
  limits.prepare = DurationOr(budgets.has_prepare(), budgets.prepare(), limits.prepare);
  limits.ready = DurationOr(budgets.has_ready(), budgets.ready(), limits.ready);
  limits.start = DurationOr(budgets.has_start(), budgets.start(), limits.start);
  limits.trial_deadline = DurationOr(budgets.has_trial_deadline(), budgets.trial_deadline(), limits.trial_deadline);
  limits.apply = DurationOr(budgets.has_apply(), budgets.apply(), limits.apply);
  limits.revert = DurationOr(budgets.has_revert(), budgets.revert(), limits.revert);
  if (budgets.forward_attempts() != 0) limits.forward_attempts = budgets.forward_attempts();
  return limits;
}

}  // namespace tandem::cm
