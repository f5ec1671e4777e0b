// The fleet and its broker: keeps the newest desired state, hears what the unit says, acknowledges it.
#ifndef TANDEM_TESTS_SIM_CLOUD_H_
#define TANDEM_TESTS_SIM_CLOUD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/net/message_envelope.h"
#include "common/net/mqtt_message.h"
#include "tests/sim/documents.h"
#include "tests/sim/world.h"

namespace tandem::sim {

// How the unit is reached.
class CloudClient {
 public:
  virtual ~CloudClient() = default;
  virtual void Connected() = 0;
  virtual void Disconnected() = 0;
  virtual void Receive(const MqttMessage& message) = 0;
};

class Cloud : public MqttPublisher {
 public:
  // What the unit said of an assignment.
  struct Told {
    uint64_t sequence = 0;
    uint32_t attempt = 0;
    std::string state;
    std::string reason;
    // Its place in what the unit said.
    uint64_t epoch = 0;
    uint64_t number = 0;
  };

  explicit Cloud(World& world) : world_(world), topics_(kNameSpace, kUnitId) {}

  // CM's process has begun, or has ended (nullptr).
  void SetClient(CloudClient* client);
  // The line to the broker.
  void SetReachable(bool reachable);
  // Of each message, either way.
  void SetLosses(double probability) { losses_ = probability; }
  // Of what a fleet says to a provisional report; nullopt: nothing.
  void SetVerdict(std::optional<bool> good) { verdict_ = good; }

  // It replaces the one before, and is there when the unit connects.
  void Assign(const SimAssignment& assignment);
  // The broker delivers the retained one again.
  void Redeliver() { DeliverDesired(); }

  const std::optional<SimAssignment>& assigned() const { return assigned_; }
  const std::vector<Told>& told() const { return told_; }
  // The last word on it; empty: none yet.
  std::string LastWord(uint64_t sequence, uint32_t attempt, std::string* reason) const;

  absl::Status Publish(const MqttMessage& message) override;

 private:
  void Send(const std::string& topic, const std::string& payload);
  void DeliverDesired();
  void Take(const MqttMessage& message);
  bool Lost() { return losses_ > 0 && world_.Chance(losses_); }

  World& world_;
  const UnitTopics topics_;
  CloudClient* client_ = nullptr;
  // Of the connection: what was under way on an older one does not arrive.
  uint64_t connection_ = 0;
  bool connected_ = false;
  bool reachable_ = true;
  double losses_ = 0;
  std::optional<bool> verdict_ = true;
  std::optional<SimAssignment> assigned_;
  std::vector<Told> told_;
  std::set<std::string> heard_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_CLOUD_H_
