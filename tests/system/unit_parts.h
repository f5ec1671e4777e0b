// What a virtual unit is made of beside its root file system: which UMs it has, what chooses the slot that is booted,
// and what a version of it all consists of.
#ifndef TANDEM_TESTS_SYSTEM_UNIT_PARTS_H_
#define TANDEM_TESTS_SYSTEM_UNIT_PARTS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/support/test_documents.h"

namespace tandem {

// One UM of um.yaml.
struct UnitPart {
  std::string node_id;
  // Lower starts first; the root file system has 30.
  int priority = 0;
  // Its plugin's section, indented by four.
  std::string plugin;
};

class UnitParts {
 public:
  virtual ~UnitParts() = default;

  // What the maker puts into the unit's folder: version 1.0 of everything. Once, before all others.
  virtual void Make(const std::string& unit) = 0;
  virtual std::vector<UnitPart> Parts() const = 0;
  // The key and value of the rootfs plugin that tell what its bootloader reads.
  virtual std::string BootSelector() const = 0;
  // More YAML for the simulator.
  virtual std::string SimulatorConfig() const = 0;
  virtual std::vector<TestComponent> Components(const std::string& version) = 0;
};

// A settings file and a model; the bootloader is the simulator's own. `reload`: how long their services take to load a
// version.
std::shared_ptr<UnitParts> MakePayloadParts(absl::Duration reload);

// YAML that every plugin needs whose component is booted from one of two places.
std::string BootOptions(const std::string& unit);

// Ends the test program, with a word about why, unless `status` is OK.
void CheckSetUp(const absl::Status& status);

template <typename Value>
Value SetUpValue(absl::StatusOr<Value> result) {
  CheckSetUp(result.status());
  return *std::move(result);
}

}  // namespace tandem

#endif  // TANDEM_TESTS_SYSTEM_UNIT_PARTS_H_
