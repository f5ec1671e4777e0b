// A unit with a device behind a serial line, in memory, for tests of the plugin: its process can be started anew, its
// power and the device's can be cut, and the line can be bad.
#ifndef TANDEM_UM_PLUGINS_MCU_UNIT_WITH_MCU_H_
#define TANDEM_UM_PLUGINS_MCU_UNIT_WITH_MCU_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/sha256.h"
#include "common/net/fake_http_fetcher.h"
#include "common/storage/fake_file_system.h"
#include "common/time/clock.h"
#include "tandem/config/v1/um.pb.h"
#include "um-plugins/mcu/fake_line.h"
#include "um-plugins/mcu/fake_mcu.h"
#include "um-plugins/mcu/mcu_plugin.h"
#include "um/fake_operation.h"

namespace tandem::plugins {

// A unit whose device runs version 1.0.0.
class UnitWithMcu {
 public:
  explicit UnitWithMcu(smp::FakeMcuOptions options = {}, smp::LineFaults faults = {}) : mcu_(options), faults_(faults) {
    fs_.Put("/state/keep", "");
    mcu_.Flash(0, smp::MakeTestImage({.major = 1, .body_size = 900}));
    mcu_.CutPower(clock_.Monotonic());
    config_.set_node_id("motor");
    config_.set_state_dir("/state");
    config_.mutable_mcu()->set_component_type("motor-mcu");
    Restart();
  }

  // The process, after the power was cut, or not.
  void Restart() {
    plugin_ = std::make_unique<McuPlugin>(
        McuPlugin::Dependencies{.fs = fs_,
                                .clock = clock_,
                                .fetcher = fetcher_,
                                .connect = [this]() -> absl::StatusOr<std::unique_ptr<smp::SmpTransport>> {
                                  if (fs_.power_lost()) return absl::InternalError("the power is off");
                                  auto line = std::make_unique<smp::FakeLine>(mcu_, clock_, faults_);
                                  ++faults_.seed;
                                  line->SetObserver([this](std::string_view packet) { return OnPacket(packet); });
                                  return line;
                                },
                                .run =
                                    [this](const Command& command) {
                                      commands_.push_back(command.argv[0]);
                                      mcu_.CutPower(clock_.Monotonic());
                                      return absl::OkStatus();
                                    }},
        config_);
  }

  um::Artifact Artifact(const smp::TestImageSpec& spec, const std::string& version, uint64_t security_version = 0) {
    const std::string image = smp::MakeTestImage(spec);
    fetcher_.Serve("http://cm/image" + version, image);
    return {.component_id = "motor",
            .component_type = "motor-mcu",
            .version = version,
            .urls = {"http://cm/image" + version},
            .sha256 = Sha256(image),
            .size = image.size(),
            .security_version = security_version};
  }
  um::Artifact Version2() { return Artifact(kTwo, "2.0.0"); }
  static std::string Hash2() { return smp::HashOfImage(smp::MakeTestImage(kTwo)); }

  std::string Version() { return plugin_->Inventory().value()[0].version; }

  static inline const smp::TestImageSpec kTwo = {.major = 2, .body_size = 2000};

  FakeFileSystem fs_;
  FakeHttpFetcher fetcher_;
  FakeClock clock_;
  smp::FakeMcu mcu_;
  smp::LineFaults faults_;
  config::v1::UmConfig config_;
  um::FakeOperation operation_;
  std::vector<std::string> commands_;
  std::unique_ptr<McuPlugin> plugin_;
  // Called with the number of each packet that is sent to the device.
  int packets_ = 0;
  int packets_before_ = 0;
  std::function<void(int)> on_packet_;

 private:
  absl::Status OnPacket(std::string_view) {
    ++packets_;
    if (on_packet_) on_packet_(packets_);
    return fs_.power_lost() ? absl::InternalError("the power is off") : absl::OkStatus();
  }
};

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_MCU_UNIT_WITH_MCU_H_
