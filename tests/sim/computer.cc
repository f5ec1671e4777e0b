#include "tests/sim/computer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/boot_record_store.h"
#include "bootloader/core/slot_policy.h"
#include "tests/sim/documents.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kSlotSize = 2000;
constexpr absl::Duration kRestartAfter = absl::Seconds(1);

}  // namespace

Process::Process(World& world, Computer& computer, std::string name)
    : world_(world), computer_(computer), name_(std::move(name)) {
  computer_.Add(this);
}

Process::~Process() = default;

bool Process::CanAct() const { return up() && fs_->alive() && !computer_.fs().power_lost(); }

void Process::Start() {
  if (up() || !computer_.on()) return;
  if (world_.now() < held_until_) {
    world_.After(held_until_ - world_.now(), [this] { Start(); });
    return;
  }
  ++life_;
  fs_ = std::make_unique<ProcessFs>(computer_.fs());
  fs_->SetWriteError(write_error_);
  workers_ = std::make_unique<SimWorkers>(world_);
  loop_ = std::make_unique<EventLoop>(computer_.clock());
  world_.AddLoop(*loop_, computer_.clock());
  world_.Tell(name_, " starts");
  if (const absl::Status opened = Open(); !opened.ok()) {
    world_.Tell(name_, " cannot run: ", std::string(opened.message()));
    EndAndRestart();
  }
}

void Process::EndAndRestart() {
  TearDown();
  world_.After(kRestartAfter, [this] { Start(); });
}

void Process::TearDown() {
  if (!up()) return;
  fs_->Die();
  workers_->Hurry();
  Close();
  world_.RemoveLoop(*loop_);
  loop_.reset();
  workers_.reset();
  fs_.reset();
}

void Process::Kill() {
  if (!up()) return;
  world_.Tell(name_, " ends");
  TearDown();
}

void Process::End(bool restarts) {
  fs_->Die();
  world_.After(absl::ZeroDuration(), [this, restarts, life = life_] {
    if (life != life_ || !up()) return;
    Kill();
    if (restarts) world_.After(kRestartAfter, [this] { Start(); });
  });
}

void Process::SetWriteError(absl::Status status) {
  write_error_ = std::move(status);
  if (up()) fs_->SetWriteError(write_error_);
}

Computer::Computer(World& world, std::string name, Problem problem)
    : world_(world), name_(std::move(name)), problem_(std::move(problem)), clock_(world) {}

void Computer::AddSlots(const std::string& component, const std::string& version) {
  boots_component_ = component;
  fs_.PutDevice("/dev/a", kSlotSize);
  fs_.PutDevice("/dev/b", kSlotSize);
  fs_.PutDevice("/dev/boot", 2 * boot::kRecordCopyDistance);
  fs_.Damage("/dev/a", 0, ImageOf(component, version, true));
  fs_.SetObserver([this](std::string_view call, const std::string& path) {
    if (call == "write" && on_ && path == SlotPath(running_)) problem_(absl::StrCat(name_, " writes its running slot"));
  });
}

void Computer::Boot() {
  if (on_) return;
  fs_.Reboot();
  if (!boots_component_.empty()) {
    boot::BootRecordStore store(fs_, "/dev/boot");
    const boot::LoadedRecord loaded = *store.Load();
    const boot::Decision decision = boot::Decide(loaded);
    if (decision.slot == boot::Slot::kNone) return problem_(absl::StrCat(name_, " does not boot"));
    if (decision.write && !store.Save(loaded, decision.record).ok()) problem_("the bootloader cannot write");
    running_ = decision.slot;
    const std::string bytes = *fs_.ReadFile(SlotPath(running_));
    const std::string version = VersionOfImage(bytes, boots_component_);
    world_.Tell(name_, " boots slot ", boot::SlotName(running_), " with ", version.empty() ? "garbage" : version, ": ",
                boot::ReasonText(decision.reason));
    if (version.empty()) problem_(absl::StrCat(name_, " boots a slot that holds nothing whole"));
    if (!ImageBoots(bytes)) {
      // It hangs, until the watchdog of the bootloader resets it.
      world_.After(absl::Seconds(2), [this] { Boot(); });
      return;
    }
    fs_.Put("/proc/cmdline", absl::StrCat("tandem.slot=", boot::SlotName(running_), "\n"));
  }
  fs_.Put("/proc/boot_id", absl::StrCat(name_, "-", ++boots_, "\n"));
  on_ = true;
  for (Process* process : processes_) {
    world_.After(world_.Between(absl::Milliseconds(50), absl::Milliseconds(800)), [process] { process->Start(); });
  }
}

void Computer::Restart(bool loses_power, absl::Duration off_for) {
  if (!on_) return;
  on_ = false;
  world_.Tell(name_, loses_power ? " loses its power" : " restarts");
  for (Process* process : processes_) process->Kill();
  if (loses_power) fs_.PowerCut(world_.Between(0, 1'000'000));
  world_.After(off_for, [this] { Boot(); });
}

void Computer::LookForPowerCut() {
  if (on_ && fs_.power_lost()) Restart(true, absl::Seconds(1));
}

}  // namespace tandem::sim
