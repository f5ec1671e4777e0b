// The updates that CM can be in, each once, and what an event makes of each: Advance runs once per pair.
#ifndef TANDEM_TESTS_MODEL_CM_POOL_H_
#define TANDEM_TESTS_MODEL_CM_POOL_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cm/update/machine/unit_update.h"

namespace tandem::model {

// A tick, and budgets of a few of them.
inline constexpr absl::Duration kTick = absl::Seconds(1);
cm::Limits ModelLimits();

struct CmEvent {
  cm::Event::Kind kind = cm::Event::Kind::kTick;
  unsigned node = 0;
  cm::UmState state = cm::UmState::kIdle;
  bool working = false;
  bool registers = false;
  bool on_target = false;
  bool tells_running = false;
  bool staged_other = false;
  bool runs_committed = false;
  bool error = false;
  bool flag = false;
  // Only for a tick: none at all, to begin with.
  bool no_time = false;
};

struct CmSend {
  unsigned node;
  cm::UmCommand command;
  unsigned version;
};

struct CmStep {
  uint32_t to = 0;
  std::vector<CmSend> sends;
  bool phase_changed = false;
  bool finished = false;
  cm::Outcome outcome = cm::Outcome::kNone;
  bool leftovers = false;
  // Of a finished one.
  unsigned version = 0;
  const char* broken = nullptr;
};

class CmPool {
 public:
  // `node_ids` by number.
  explicit CmPool(std::vector<std::string> node_ids);

  // What differs only in words or in time beyond every budget is one update.
  uint32_t Add(cm::UnitUpdate update);
  const cm::UnitUpdate& at(uint32_t id) const { return updates_[id]; }
  size_t size() const { return updates_.size(); }

  const CmStep& Advance(uint32_t id, const CmEvent& event);
  // What the record gives after CM's restart.
  uint32_t Restarted(uint32_t id);
  // The same, when only the copy before the newest one can be read.
  uint32_t RecordLost(uint32_t id);

  unsigned NumberOf(const std::string& node_id) const;
  const std::string& NameOf(unsigned node) const { return node_ids_[node]; }

 private:
  const std::vector<std::string> node_ids_;
  const cm::Limits limits_;
  std::deque<cm::UnitUpdate> updates_;
  absl::flat_hash_map<std::string, uint32_t> ids_;
  absl::flat_hash_map<uint64_t, const CmStep*> steps_;
  std::deque<CmStep> kept_steps_;
  absl::flat_hash_map<uint32_t, uint32_t> restarted_;
};

}  // namespace tandem::model

#endif  // TANDEM_TESTS_MODEL_CM_POOL_H_
