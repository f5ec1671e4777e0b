#include "tools/fleet-sim/world.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem::fleetsim {

World::World(WorldOptions world_options, BehaviourOptions behaviour_options, Clock& world_clock)
    : options(std::move(world_options)), behaviour(std::move(behaviour_options)), clock(world_clock) {
  digits_ = static_cast<int>(absl::StrCat(options.units == 0 ? 0 : options.units - 1).size());
}

std::string World::UnitId(uint32_t unit) const { return absl::StrFormat("%s%0*d", options.prefix, digits_, unit); }

std::optional<uint32_t> World::UnitOf(std::string_view unit_id) const {
  uint32_t unit = 0;
  const bool good = unit_id.size() == options.prefix.size() + static_cast<size_t>(digits_) &&
                    unit_id.starts_with(options.prefix) &&
                    absl::SimpleAtoi(std::string(unit_id.substr(options.prefix.size())), &unit) && unit < options.units;
  return good ? std::make_optional(unit) : std::nullopt;
}

UnitIdentity World::IdentityOf(uint32_t unit) const {
  return {.unit_id = UnitId(unit),
          .name_space = options.name_space,
          .hardware = behaviour.Choose(options.hardware, "hardware", unit)};
}

}  // namespace tandem::fleetsim
