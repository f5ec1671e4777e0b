// A simulated UM: the real table of um/um_state.h over a plugin that is a few durable variables, on virtual time.
//
// The plugin either swaps a payload at Start, or has two slots and a bootloader that tries the new one for a few boots
// and falls back. Whatever is durable survives every crash; a crash may come after a job's effect and before its
// report.
#ifndef TANDEM_TESTS_SIM_SIM_UM_H_
#define TANDEM_TESTS_SIM_SIM_UM_H_

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cm/update/machine/unit_update.h"
#include "um/um_state.h"

namespace tandem {

// The order of things, and chance: all of it follows from the seed.
class SimWorld {
 public:
  explicit SimWorld(uint64_t seed) : random_(seed) {}

  absl::Duration now() const { return now_; }
  void After(absl::Duration delay, std::function<void()> then);
  // False when nothing is left to happen.
  bool RunNext();
  bool Chance(double probability);
  absl::Duration Between(absl::Duration low, absl::Duration high);
  int Pick(int count) { return static_cast<int>(random_() % static_cast<uint64_t>(count)); }

 private:
  struct Due {
    absl::Duration at;
    uint64_t order;
    std::function<void()> then;
  };
  // Earliest last.
  std::vector<Due> due_;
  absl::Duration now_;
  uint64_t order_ = 0;
  std::mt19937_64 random_;
};

struct SimUmOptions {
  std::string node_id;
  uint32_t priority = 0;
  bool switches_boot = false;
  // Its reboot restarts CM's computer.
  bool with_cm = false;
  // Of one job.
  double fails = 0;
  double crashes = 0;
  // Of one boot of a slot on trial.
  double boot_fails = 0;
  // From then on nothing fails by chance.
  absl::Duration calm_after = absl::Seconds(200);
  std::string version = "old";
};

struct SimUmStatus {
  cm::UmState state = cm::UmState::kIdle;
  bool working = false;
  std::string version;
  std::string error;
};

class SimUm {
 public:
  struct Callbacks {
    std::function<void()> changed;
    // The computer restarts: this process, and CM's when it is the same computer.
    std::function<void()> rebooted;
    std::function<void()> crashed;
  };

  SimUm(SimWorld& world, SimUmOptions options, Callbacks callbacks)
      : world_(world), options_(std::move(options)), callbacks_(std::move(callbacks)) {
    confirmed_ = running_ = options_.version;
  }

  const SimUmOptions& options() const { return options_; }
  bool up() const { return up_; }
  um::UmStep step() const { return step_; }
  const std::string& running() const { return running_; }
  SimUmStatus Status() const;

  // `version`: of PrepareUpdate; `has_source`: its bytes can be fetched.
  void Handle(cm::UmCommand command, const std::string& version, bool has_source);
  // The process ends at once. `power`: the computer's power goes, so that a slot on trial uses up a boot.
  void Crash(bool power);
  void Restart();
  // From now on this version does not boot any more.
  void StopBooting(const std::string& version) { does_not_boot_ = version; }

 private:
  void Take(um::UmInput input, const std::string& error);
  void Begin(um::UmJob job);
  um::UmInput Perform(um::UmJob job);
  void Boot();
  bool Calm() const { return world_.now() > options_.calm_after; }

  SimWorld& world_;
  const SimUmOptions options_;
  const Callbacks callbacks_;

  // --- durable ---
  um::UmStep step_ = um::UmStep::kIdle;
  std::string error_;
  uint32_t reboots_ = 0;
  std::string target_;
  bool has_source_ = false;
  // What runs after a restart without a trial.
  std::string confirmed_;
  std::string running_;
  // The bytes in the other slot or folder; empty: nothing complete.
  std::string other_;
  bool wrote_other_ = false;
  // The other slot is on trial.
  bool armed_ = false;
  int attempts_ = 0;
  std::string does_not_boot_;

  // --- of the process ---
  bool up_ = true;
  uint64_t generation_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SIM_SIM_UM_H_
