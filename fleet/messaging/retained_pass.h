// One pass over what a broker has retained, by a short connection of its own.
#ifndef TANDEM_FLEET_MESSAGING_RETAINED_PASS_H_
#define TANDEM_FLEET_MESSAGING_RETAINED_PASS_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/net/mqtt_client.h"

namespace tandem::fleet {

struct RetainedPassOptions {
  // Its client id gets a random end.
  MqttOptions mqtt;
  std::vector<std::string> filters;
  // The pass is over when nothing retained came for so long.
  absl::Duration quiet = absl::Seconds(3);
};

// Thread-safe.
class RetainedPass {
 public:
  // `message` is called on threads of the MQTT client, for retained messages only; it must be quick.
  RetainedPass(RetainedPassOptions options, std::function<void(MqttMessage message)> message);
  // Breaks a pass off. No message comes after it.
  ~RetainedPass();

  RetainedPass(const RetainedPass&) = delete;
  RetainedPass& operator=(const RetainedPass&) = delete;

  // Starts a pass in the background, and one more when one is under way.
  void Request();

 private:
  void Run();
  void RunOnce();

  const RetainedPassOptions options_;
  const std::function<void(MqttMessage message)> message_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool requested_ = false;
  bool stopping_ = false;
  bool connected_ = false;
  // Of the monotonic clock: when the connection was made, or the last retained message came.
  absl::Duration newest_;
  std::thread thread_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_MESSAGING_RETAINED_PASS_H_
