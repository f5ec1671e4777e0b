// A UM's process: the real UpdateManager over a real plugin.
#ifndef TANDEM_TESTS_SIM_UM_H_
#define TANDEM_TESTS_SIM_UM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bootloader/boot_control/record_boot_control.h"
#include "tests/sim/computer.h"
#include "tests/sim/network.h"
#include "tests/sim/stream.h"
#include "um/plugin.h"
#include "um/update_manager.h"

namespace tandem::sim {

class Cm;

struct UmOptions {
  // Also the name of its only component, of type "{node_id}-type".
  std::string node_id;
  uint32_t priority = 10;
  // Two slots and a boot; otherwise files behind a symlink.
  bool switches_boot = false;
  std::string version = "1.0.0";
  // What it says that it owns; empty: its own.
  std::string claims = {};
};

class Um : public Process {
 public:
  Um(World& world, Computer& computer, Network& network, UmOptions options);
  ~Um() override;

  void SetCm(Cm* cm) { cm_ = cm; }
  const UmOptions& options() const { return options_; }
  std::string component() const { return options_.claims.empty() ? options_.node_id : options_.claims; }

  // What really runs, by the bytes.
  std::string RunningVersion();
  // Runs from a slot that is not confirmed.
  bool OnTrial();
  um::UmStep step() const { return manager_ == nullptr ? last_step_ : manager_->step(); }
  bool connected() const { return stream_ != nullptr && stream_->open(); }

  // The network between it and CM.
  void SetReachable(bool reachable);
  // The next calls of this method fail: before it did anything, or after it did everything.
  void FailMethod(const std::string& method, bool after, int times) { failures_[{method, after}] += times; }
  void ForgetFailures() { failures_.clear(); }
  // Of errors that the plugin gives.
  void SetErrorText(std::string text) { error_text_ = std::move(text); }
  // Its inventory is empty until then.
  void HideComponentsUntil(absl::Duration until) { hidden_until_ = until; }

  void Connect();

 protected:
  absl::Status Open() override;
  void Close() override;

 private:
  friend class SimPlugin;

  std::unique_ptr<um::Plugin> MakeSlots();
  std::unique_ptr<um::Plugin> MakePayload();
  absl::Status Fails(const std::string& method, bool after);

  Network& network_;
  const UmOptions options_;
  Cm* cm_ = nullptr;
  bool reachable_ = true;
  std::map<std::pair<std::string, bool>, int> failures_;
  std::string error_text_ = "it did not work";
  absl::Duration hidden_until_;
  // The disk's calls and the computer's boots at the last look.
  std::optional<std::pair<uint64_t, uint64_t>> looked_for_trial_;
  bool on_trial_ = false;

  std::unique_ptr<NetworkFetcher> fetcher_;
  std::unique_ptr<boot::BootControl> boot_;
  std::unique_ptr<um::Plugin> real_;
  std::unique_ptr<um::Plugin> plugin_;
  std::unique_ptr<um::UpdateManager> manager_;
  um::UmStep last_step_ = um::UmStep::kIdle;
  std::shared_ptr<Stream> stream_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_UM_H_
