// Signed releases and assignments of simulated units. Signing costs more than a whole campaign, so each document is
// signed once and kept.
#ifndef TANDEM_TESTS_SIM_DOCUMENTS_H_
#define TANDEM_TESTS_SIM_DOCUMENTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/test_documents.h"

namespace tandem::sim {

inline constexpr char kUnitId[] = "unit-1";
inline constexpr char kNameSpace[] = "acme";
inline constexpr char kUnitHardware[] = "rev-b";
inline constexpr char kBaseUrl[] = "http://mirror";

struct SimRelease {
  // Of every component that it names.
  std::string version = "2.0.0";
  std::vector<std::string> components;
  // Its signed probe always fails.
  bool bad_health = false;
  // Images that switch a boot do not come up.
  bool bad_boot = false;
  // Components of this type must be there.
  std::string requires_type = {};
  // Components are for this hardware; empty: for all.
  std::string hardware = kUnitHardware;

  std::string Name() const;
};

struct SimAssignment {
  uint64_t sequence = 1;
  uint32_t attempt = 1;
  SimRelease release;
  bool needs_approval = false;
  bool verified = false;

  std::string Name() const;
};

// What a component's artifact of a version holds.
std::string ImageOf(const std::string& component, const std::string& version, bool boots);
// Empty when `bytes` are no whole image of the component.
std::string VersionOfImage(const std::string& bytes, const std::string& component);
bool ImageBoots(const std::string& bytes);

std::string PathOfImage(const std::string& image);

// The envelope that is on the unit from the beginning.
const std::string& FirstKeySet();
// Topic `desired`, as the fleet publishes it.
const std::string& DesiredMessage(const SimAssignment& assignment);
// Topic `verdict`.
const std::string& VerdictMessage(uint64_t sequence, uint32_t attempt, bool good);

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_DOCUMENTS_H_
