// A UM that behaves as a real Aos 8 one does, as far as a CM can see: full status at once, nothing of Tandem's own
// fields, old and new version side by side while an update runs, silence for commands that do not fit, a slow
// reconnect, and its own rules for what a crash leaves behind.
#ifndef TANDEM_TESTS_INTEGRATION_AOS_UM_H_
#define TANDEM_TESTS_INTEGRATION_AOS_UM_H_

#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem {

// What several UMs did, in its order: "first prepare", "second start".
class Journal {
 public:
  void Add(const std::string& entry);
  std::vector<std::string> entries();

 private:
  std::mutex mutex_;
  std::vector<std::string> entries_;
};

class AosUm {
 public:
  // `crashes`: of "prepare", "start" and "apply"; each once.
  AosUm(std::string address, std::string node_id, uint32_t priority, Journal& journal, std::set<std::string> crashes);
  ~AosUm();
  AosUm(const AosUm&) = delete;
  AosUm& operator=(const AosUm&) = delete;

 private:
  void Run(const std::function<bool()>& stopped);
  updatemanager::v2::UpdateStatus Status() const;
  // False: it crashed.
  bool Handle(const updatemanager::v2::CMMessages& command);
  bool Crashes(const std::string& step);
  void Prepare(const updatemanager::v2::PrepareUpdate& prepare);

  const std::string address_;
  const std::string node_id_;
  const uint32_t priority_;
  Journal& journal_;
  std::set<std::string> crashes_;
  // Survives its crashes.
  updatemanager::v2::UpdateState state_ = updatemanager::v2::IDLE;
  std::string installed_ = "1.0";
  std::string installing_;
  std::string error_;
  std::mutex mutex_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_INTEGRATION_AOS_UM_H_
