// A computer of a simulated unit: its disk, its clock, its bootloader, and the processes on it.
#ifndef TANDEM_TESTS_SIM_COMPUTER_H_
#define TANDEM_TESTS_SIM_COMPUTER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bootloader/core/boot_record.h"
#include "common/storage/fake_file_system.h"
#include "common/time/event_loop.h"
#include "tests/sim/process_fs.h"
#include "tests/sim/world.h"

namespace tandem::sim {

class Computer;

// A program that is started again, by whoever does that, a second after it ended.
class Process {
 public:
  Process(World& world, Computer& computer, std::string name);
  virtual ~Process();

  const std::string& name() const { return name_; }
  Computer& computer() { return computer_; }
  bool up() const { return fs_ != nullptr; }
  // Counts the starts.
  uint64_t life() const { return life_; }
  ProcessFs& fs() { return *fs_; }
  // Still able to do anything: not killed, nor without power, in the middle of what it does now.
  bool CanAct() const;

  void Start();
  // kill -9. Not from inside of its own work: see End().
  void Kill();
  // From inside: nothing that it does has an effect any more, and it is gone a moment later.
  void End(bool restarts);
  // Kept over restarts; OK ends it.
  void SetWriteError(absl::Status status);
  // It stays down until then, whatever would start it.
  void HoldDown(absl::Duration until) { held_until_ = until; }

 protected:
  // An error: it ends at once.
  virtual absl::Status Open() = 0;
  virtual void Close() = 0;
  void EndAndRestart();

  World& world_;
  Computer& computer_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<SimWorkers> workers_;
  std::unique_ptr<ProcessFs> fs_;

 private:
  void TearDown();

  const std::string name_;
  uint64_t life_ = 0;
  absl::Duration held_until_;
  absl::Status write_error_;
};

class Computer {
 public:
  using Problem = std::function<void(const std::string& text)>;

  Computer(World& world, std::string name, Problem problem);

  const std::string& name() const { return name_; }
  FakeFileSystem& fs() { return fs_; }
  SimClock& clock() { return clock_; }
  bool on() const { return on_; }
  boot::Slot running() const { return running_; }

  void Add(Process* process) { processes_.push_back(process); }
  // It boots `component` from one of two slots; the factory put `version` into A.
  void AddSlots(const std::string& component, const std::string& version);
  std::string SlotPath(boot::Slot slot) const { return slot == boot::Slot::kA ? "/dev/a" : "/dev/b"; }

  // The power is on, or the reset is over.
  void Boot();
  // How often it has booted.
  uint64_t boots() const { return boots_; }
  // Everything ends at once and boots again; with `loses_power` what was not synced may be gone.
  void Restart(bool loses_power, absl::Duration off_for);
  // The power went in the middle of a call.
  void LookForPowerCut();

 private:
  World& world_;
  const std::string name_;
  const Problem problem_;
  FakeFileSystem fs_;
  SimClock clock_;
  std::vector<Process*> processes_;
  std::string boots_component_;
  boot::Slot running_ = boot::Slot::kA;
  bool on_ = false;
  uint64_t boots_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_COMPUTER_H_
