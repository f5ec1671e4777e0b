// One UM of the model, with its stream to CM, in 64 bits; and what it does with commands, results and restarts.
#ifndef TANDEM_TESTS_MODEL_UM_NODE_H_
#define TANDEM_TESTS_MODEL_UM_NODE_H_

#include <cstdint>
#include <string>

#include "bootloader/core/boot_record.h"
#include "cm/update/machine/unit_update.h"
#include "tests/model/model_check.h"
#include "um/um_state.h"

namespace tandem::model {

// Versions are 0 (what the unit comes with; nobody can fetch it any more), 1 and 2.
inline constexpr unsigned kNoVersion = 3;

// What a UM does wrong whenever it comes to it.
enum class Habit : uint8_t { kNone, kGone, kDiesInPrepare, kStartFails, kApplyFails, kRevertFails };

enum class LinkState : uint8_t { kNone, kUp, kBroken };

struct UmNode {
  // --- durable ---
  uint64_t step : 4 = 0;
  uint64_t target : 2 = kNoVersion;
  uint64_t slot_a : 2 = 0;
  uint64_t slot_b : 2 = kNoVersion;
  uint64_t active : 1 = 0;
  uint64_t trial : 2 = 2;
  uint64_t attempts : 2 = 0;
  uint64_t confirmed : 2 = 1;
  uint64_t unbootable : 2 = 0;
  // Prepare wrote what is in the other slot.
  uint64_t wrote : 1 = 0;
  uint64_t error : 1 = 0;
  uint64_t habit : 3 = 0;
  // --- of the process ---
  uint64_t running : 1 = 0;
  uint64_t up : 1 = 1;
  uint64_t job : 3 = 0;
  // --- the stream; two messages each way, the first one first ---
  uint64_t link : 2 = 0;
  uint64_t up_count : 2 = 0;
  uint64_t up_first : 9 = 0;
  uint64_t up_second : 9 = 0;
  uint64_t down_first : 5 = 0;
  uint64_t down_second : 5 = 0;
  // CM fetches its artifacts.
  uint64_t fetching : 1 = 0;
  uint64_t spare : 2 = 0;

  um::UmStep Step() const { return static_cast<um::UmStep>(step); }
  um::UmJob Job() const { return static_cast<um::UmJob>(job); }
  Habit TheHabit() const { return static_cast<Habit>(habit); }
  LinkState Link() const { return static_cast<LinkState>(link); }
  unsigned SlotVersion(unsigned slot) const { return slot == 0 ? slot_a : slot_b; }
  unsigned Runs() const { return SlotVersion(running); }
};
static_assert(sizeof(UmNode) == 8);

struct UmMessage {
  cm::UmState state;
  bool working;
  bool registers;
  // What it says runs, and what it says it installs.
  unsigned version;
  unsigned installs;
  bool error;
};

struct CmMessage {
  cm::UmCommand command = cm::UmCommand::kNone;
  // Of PrepareUpdate.
  unsigned version = 0;
};

// What a job's end did beyond the UM.
struct JobEnd {
  bool rebooted = false;
  // An invariant that it broke, or nullptr.
  const char* broken = nullptr;
};

class UmBehaviour {
 public:
  explicit UmBehaviour(const ModelUm& options) : options_(options) {}

  void Receive(UmNode& node, CmMessage message) const;
  // The step could not be made durable: nothing changes, and the answer says so.
  void ReceiveOnFullDisk(UmNode& node) const;
  void Connect(UmNode& node) const;
  // Returns the broken invariant, or nullptr.
  JobEnd FinishJob(UmNode& node, bool fails, bool boot_fails) const;
  // The effect of the job, and the end of the process before anybody hears of it.
  JobEnd FinishJobUnheard(UmNode& node) const;
  void Crash(UmNode& node) const;
  const char* PowerCut(UmNode& node) const;
  void Restart(UmNode& node) const;
  bool CanBootFail(const UmNode& node) const;
  // Habit: the job can end in no other way.
  bool MustFail(const UmNode& node) const;

 private:
  void Take(UmNode& node, um::UmInput input, bool error) const;
  um::UmInput Perform(UmNode& node, const char** broken) const;
  const char* Boot(UmNode& node, bool boot_fails) const;
  void SendStatus(UmNode& node, bool registers) const;

  const ModelUm options_;
};

UmMessage FirstStatus(const UmNode& node);
void DropFirstStatus(UmNode& node);
CmMessage FirstCommand(const UmNode& node);
void DropFirstCommand(UmNode& node);
// False when there is no room.
bool PushCommand(UmNode& node, CmMessage message);
void ClearStream(UmNode& node);

bool IsIdle(const UmNode& node);

std::string Describe(const UmNode& node);

}  // namespace tandem::model

#endif  // TANDEM_TESTS_MODEL_UM_NODE_H_
