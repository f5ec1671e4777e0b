// Breadth-first search over hashed states, the graph it leaves, and questions to the graph. Knows nothing of units.
//
// A state is a trivially copyable struct without padding. A model has
//   State Initial();
//   void Successors(const State&, std::vector<Edge<State>>& out, bool tell);   // the same order each time
// `tell` fills the words of each edge: they are made only for a story.
#ifndef TANDEM_TESTS_MODEL_EXPLORER_H_
#define TANDEM_TESTS_MODEL_EXPLORER_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace tandem::model {

// What an edge is, for the questions.
enum EdgeFlag : uint8_t {
  // A fault, or a person: what is not counted on.
  kFault = 1,
  kPerson = 2,
  kTime = 4,
  // PrepareUpdate or StartUpdate is sent.
  kForwardSent = 8,
  // ApplyUpdate or RevertUpdate is sent.
  kOtherSent = 16,
  // A UM's process starts, or its stream does.
  kReturns = 32,
};

template <typename State>
struct Edge {
  State to;
  uint8_t flags = 0;
  // A broken invariant, or nullptr.
  const char* broken = nullptr;
  std::string words;
};

inline constexpr uint32_t kNoState = 0xffffffff;

template <typename State, typename Model>
class Explorer {
 public:
  Explorer(Model& model, size_t max_states)
      : model_(model), max_states_(max_states), index_(1024, Hash{this}, Equal{this}) {}

  // Until everything is seen, or `found` returned false for a broken invariant (of the edge from a state).
  template <typename Found>
  bool Search(Found found) {
    Add(model_.Initial(), kNoState, 0);
    std::vector<Edge<State>> out;
    for (uint32_t at = 0; at < states_.size(); ++at) {
      out.clear();
      const State state = states_[at];
      model_.Successors(state, out, /*tell=*/false);
      first_edge_.push_back(edges_.size());
      for (size_t i = 0; i < out.size(); ++i) {
        if (out[i].broken != nullptr && !found(at, i, out[i].broken)) return false;
        const uint32_t to = Add(out[i].to, at, static_cast<uint16_t>(i));
        edges_.push_back({.to = to, .flags = out[i].flags});
      }
      if (states_.size() > max_states_) return false;
    }
    first_edge_.push_back(edges_.size());
    return true;
  }

  size_t states() const { return states_.size(); }
  size_t transitions() const { return edges_.size(); }
  const State& state(uint32_t at) const { return states_[at]; }

  // The shortest way to a state, one line a step, and then `last`, a further edge, when it is given.
  std::string Story(uint32_t to, int last_edge = -1) {
    std::vector<std::pair<uint32_t, size_t>> way;
    if (last_edge >= 0) way.emplace_back(to, last_edge);
    for (uint32_t at = to; parent_[at] != kNoState; at = parent_[at]) way.emplace_back(parent_[at], by_[at]);
    std::string story;
    std::vector<Edge<State>> out;
    int line = 0;
    for (auto step = way.rbegin(); step != way.rend(); ++step) {
      out.clear();
      model_.Successors(states_[step->first], out, /*tell=*/true);
      story += std::to_string(++line) + ". " + out[step->second].words + "\n";
    }
    return story;
  }

  // The first state from which no `good` one can be reached over edges without `without` flags; kNoState: none.
  template <typename Good>
  uint32_t FindStuck(Good good, uint8_t without) const {
    const size_t count = states_.size();
    std::vector<uint64_t> first(count + 1, 0);
    for (const Arc& arc : edges_) {
      if ((arc.flags & without) == 0) ++first[arc.to + 1];
    }
    for (size_t i = 0; i < count; ++i) first[i + 1] += first[i];
    std::vector<uint32_t> from(first[count]);
    std::vector<uint64_t> next(first.begin(), first.end() - 1);
    for (uint32_t at = 0; at < count; ++at) {
      for (uint64_t e = first_edge_[at]; e < first_edge_[at + 1]; ++e) {
        if ((edges_[e].flags & without) == 0) from[next[edges_[e].to]++] = at;
      }
    }
    std::vector<bool> reaches(count);
    std::vector<uint32_t> queue;
    for (uint32_t at = 0; at < count; ++at) {
      if (!good(states_[at])) continue;
      reaches[at] = true;
      queue.push_back(at);
    }
    while (!queue.empty()) {
      const uint32_t at = queue.back();
      queue.pop_back();
      for (uint64_t e = first[at]; e < first[at + 1]; ++e) {
        if (reaches[from[e]]) continue;
        reaches[from[e]] = true;
        queue.push_back(from[e]);
      }
    }
    for (uint32_t at = 0; at < count; ++at) {
      if (!reaches[at]) return at;
    }
    return kNoState;
  }

  // An edge with a flag of `on` that lies on a circle of edges without `without` flags: the state that it leaves, and
  // its number there.
  bool FindCircle(uint8_t on, uint8_t without, uint32_t* state, int* edge) const {
    const std::vector<uint32_t> component = Components(without);
    for (uint32_t at = 0; at < states_.size(); ++at) {
      for (uint64_t e = first_edge_[at]; e < first_edge_[at + 1]; ++e) {
        const Arc& arc = edges_[e];
        if ((arc.flags & on) == 0 || (arc.flags & without) != 0 || component[at] != component[arc.to]) continue;
        *state = at;
        *edge = static_cast<int>(e - first_edge_[at]);
        return true;
      }
    }
    return false;
  }

 private:
  struct Arc {
    uint32_t to;
    uint8_t flags;
  } __attribute__((packed));

  struct Hash {
    using is_transparent = void;
    const Explorer* explorer;
    size_t operator()(const State& state) const {
      return absl::HashOf(std::string_view(reinterpret_cast<const char*>(&state), sizeof(state)));
    }
    size_t operator()(uint32_t at) const { return (*this)(explorer->states_[at]); }
  };
  struct Equal {
    using is_transparent = void;
    const Explorer* explorer;
    static bool Same(const State& a, const State& b) { return std::memcmp(&a, &b, sizeof(State)) == 0; }
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t a, const State& b) const { return Same(explorer->states_[a], b); }
    bool operator()(const State& a, uint32_t b) const { return Same(a, explorer->states_[b]); }
    bool operator()(const State& a, const State& b) const { return Same(a, b); }
  };

  uint32_t Add(const State& state, uint32_t parent, uint16_t by) {
    if (const auto known = index_.find(state); known != index_.end()) return *known;
    const auto at = static_cast<uint32_t>(states_.size());
    states_.push_back(state);
    parent_.push_back(parent);
    by_.push_back(by);
    index_.insert(at);
    return at;
  }

  // Tarjan's strongly connected components, without recursion.
  std::vector<uint32_t> Components(uint8_t without) const {
    const size_t count = states_.size();
    std::vector<uint32_t> component(count, kNoState), order(count, kNoState), low(count);
    std::vector<uint32_t> open;
    std::vector<std::pair<uint32_t, uint64_t>> path;
    uint32_t next_order = 0;
    uint32_t next_component = 0;
    for (uint32_t root = 0; root < count; ++root) {
      if (order[root] != kNoState) continue;
      path.emplace_back(root, first_edge_[root]);
      order[root] = low[root] = next_order++;
      open.push_back(root);
      while (!path.empty()) {
        auto& [at, e] = path.back();
        if (e < first_edge_[at + 1]) {
          const Arc& arc = edges_[e++];
          if ((arc.flags & without) != 0 || component[arc.to] != kNoState) continue;
          if (order[arc.to] != kNoState) {
            low[at] = std::min(low[at], order[arc.to]);
            continue;
          }
          const uint32_t to = arc.to;
          order[to] = low[to] = next_order++;
          open.push_back(to);
          path.emplace_back(to, first_edge_[to]);
          continue;
        }
        const uint32_t done = at;
        path.pop_back();
        if (!path.empty()) low[path.back().first] = std::min(low[path.back().first], low[done]);
        if (low[done] != order[done]) continue;
        for (;;) {
          const uint32_t member = open.back();
          open.pop_back();
          component[member] = next_component;
          if (member == done) break;
        }
        ++next_component;
      }
    }
    return component;
  }

  Model& model_;
  const size_t max_states_;
  std::vector<State> states_;
  std::vector<uint32_t> parent_;
  std::vector<uint16_t> by_;
  std::vector<uint64_t> first_edge_;
  std::vector<Arc> edges_;
  absl::flat_hash_set<uint32_t, Hash, Equal> index_;
};

}  // namespace tandem::model

#endif  // TANDEM_TESTS_MODEL_EXPLORER_H_
