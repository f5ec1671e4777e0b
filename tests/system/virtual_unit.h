// A whole virtual unit: tandem-unit-sim with two slots, a bootloader and a watchdog; in it tandem-cm and tandem-um with
// the root file system and other parts (two payloads, or those that are given); a real broker and a real web server
// outside.
//
//   VirtualUnit unit;
//   unit.SwitchOn();
//   unit.Assign("2.0");
//   ASSERT_TRUE(unit.WaitForEnd()) << unit.Story();
#ifndef TANDEM_TESTS_SYSTEM_VIRTUAL_UNIT_H_
#define TANDEM_TESTS_SYSTEM_VIRTUAL_UNIT_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/net/mqtt_client.h"
#include "tandem/local/v1/local.grpc.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "tests/support/child_process.h"
#include "tests/support/mosquitto.h"
#include "tests/support/nginx.h"
#include "tests/support/test_documents.h"
#include "tests/system/unit_parts.h"
#include "tools/unit-sim/control.h"

namespace tandem {

// What is wrong with a new image.
enum class ImageFault {
  kNone,
  // Its init fails.
  kDoesNotBoot,
  // It boots, but its CM ends at once.
  kCmBroken,
};

struct EndReports {
  // States of feedback that end an update. The same one again is no news: each connection repeats it.
  std::set<std::string> ends;
  // Of the messages on the topic "applied"; one that came twice counts once.
  std::set<std::string> applied_ids;
};

struct VirtualUnitOptions {
  // More YAML for CM's configuration.
  std::string cm_extra;
  // Of each download; 0: as fast as it can.
  uint64_t bytes_per_second = 0;
  // How long the payloads' services take to load a version.
  absl::Duration reload = absl::ZeroDuration();
  // Of the hardware watchdog that is armed for trial boots.
  absl::Duration watchdog = absl::Seconds(10);
  // Budgets of CM.
  absl::Duration start_budget = absl::Seconds(20);
  absl::Duration trial_deadline = absl::Seconds(60);
  // Null: two payloads.
  std::shared_ptr<UnitParts> parts;
};

class VirtualUnit {
 public:
  explicit VirtualUnit(VirtualUnitOptions options = {});
  ~VirtualUnit();
  VirtualUnit(const VirtualUnit&) = delete;
  VirtualUnit& operator=(const VirtualUnit&) = delete;

  // Runs 1.0 then, from slot A.
  void SwitchOn();
  // Power goes, at once, and comes back a moment later.
  void PowerCut();

  // SIGKILL for a program of the unit, such as "tandem-um", which is started again. False when it does not run.
  bool KillProgram(const std::string& name);
  // Power of one of the chips beside the computer goes and comes back.
  void PowerCycle(const std::string& peripheral);

  // Makes the artifacts of a version of everything, and tells the unit to go there.
  void Assign(const std::string& version, ImageFault fault = ImageFault::kNone,
              const std::function<void(release::v1::Assignment&, release::v1::Release&)>& change = {});

  // nullopt while CM does not answer.
  std::optional<local::v1::UnitStatus> Status();
  std::string Phase();
  // As CM's record on disk says, also without CM.
  std::string DurablePhase() const { return DurableUpdate().phase(); }
  // Empty when there is none.
  record::v1::UnitUpdateRecord DurableUpdate() const;
  // What the cloud was told about the end of an assignment's update.
  EndReports ReportsOf(uint64_t sequence) const;
  uint64_t sequence() const { return sequence_; }
  sim::Status Machine() const;
  // The newest assignment's update has ended.
  bool WaitForEnd(absl::Duration timeout = absl::Seconds(90));
  std::string Outcome();
  std::string Reason();
  // Each component's version; one element: the unit is as one.
  std::set<std::string> Versions();
  std::string Slot() const { return Machine().slot; }

  bool WaitFor(const std::function<bool()>& condition, absl::Duration timeout = absl::Seconds(60));

  std::string Story() const;
  const std::string& folder() const { return folder_; }

 private:
  std::string At(const std::string& name) const { return folder_ + "/" + name; }
  std::string InUnit(const std::string& name) const { return folder_ + "/unit/" + name; }
  // The image's bytes.
  std::string MakeImage(const std::string& version, ImageFault fault);
  void WriteConfigs();
  void WriteCmConfig();
  void WriteUmConfig();
  void TakeMessage(const MqttMessage& message);

  VirtualUnitOptions options_;
  std::string folder_;
  TestMaker maker_;
  std::unique_ptr<Nginx> server_;
  std::unique_ptr<Mosquitto> broker_;
  mutable std::mutex mutex_;
  // By sequence.
  std::map<uint64_t, EndReports> reports_;
  std::unique_ptr<MqttClient> cloud_;
  std::unique_ptr<ChildProcess> simulator_;
  std::unique_ptr<local::v1::LocalService::StubInterface> local_;
  uint64_t sequence_ = 0;
  std::vector<std::string> releases_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SYSTEM_VIRTUAL_UNIT_H_
