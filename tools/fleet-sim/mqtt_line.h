// One MQTT v5 connection of many in one process, without a thread of its own: libmosquitto, driven by whoever watches
// its socket.
//
//   MqttLines lines(options, listener);
//   lines.Add("tandem-acme-sim-1");
//   lines.Connect(0);
//   while (…) lines.Run(until);
#ifndef TANDEM_TOOLS_FLEET_SIM_MQTT_LINE_H_
#define TANDEM_TOOLS_FLEET_SIM_MQTT_LINE_H_

#include <openssl/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/net/mqtt_message.h"

struct mosquitto;

namespace tandem::fleetsim {

struct LineOptions {
  // mqtt://host:1883 or mqtts://host:8883.
  std::string url;
  // PEM files. {unit} in one of these, or in `username`, stands for the name of each line.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string username;
  std::string password;
  absl::Duration keepalive = absl::Seconds(60);
  // Messages in flight on one connection, each way.
  int in_flight = 200;
};

// What lines tell. Calls come from Run() and Connect(). The listener may publish on any line.
class LineListener {
 public:
  virtual ~LineListener() = default;
  // Asked at each Connect().
  virtual std::optional<MqttMessage> LineWill(uint32_t line) = 0;
  virtual void LineConnected(uint32_t line) = 0;
  // It stays down until Connect().
  virtual void LineLost(uint32_t line, const std::string& reason) = 0;
  virtual void LineMessage(uint32_t line, MqttMessage message) = 0;
};

// RESOURCE_EXHAUSTED: the process may not have so many files open, with what to do about it.
absl::Status AllowOpenFiles(uint64_t count);
// Lines that need three files each; the others one.
inline constexpr size_t kLinesWithSocketPair = 500;

// Not thread-safe.
class MqttLines {
 public:
  // INVALID_ARGUMENT: the options cannot work.
  static absl::StatusOr<std::unique_ptr<MqttLines>> Create(LineOptions options, LineListener& listener);
  ~MqttLines();
  MqttLines(const MqttLines&) = delete;
  MqttLines& operator=(const MqttLines&) = delete;

  // A line, the next number from 0 on; `name` is its {unit}.
  absl::Status Add(const std::string& client_id, const std::string& name, std::vector<std::string> subscriptions);
  // In the background; LineConnected() or LineLost() says what became of it.
  void Connect(uint32_t line);
  // UNAVAILABLE: it is not connected.
  absl::Status Publish(uint32_t line, const MqttMessage& message);
  // In order: the will is not published. LineLost() is not called.
  void Disconnect(uint32_t line);
  // As if the cable were cut: the will is published. LineLost() is called.
  void Cut(uint32_t line);
  bool connected(uint32_t line) const { return lines_[line].connected; }
  // Handed over, and not yet acknowledged by the broker.
  uint64_t in_flight() const { return in_flight_; }

  // Takes what comes for at most `wait`, at least once.
  void Run(absl::Duration wait);

 private:
  struct Line {
    MqttLines* owner = nullptr;
    uint32_t number = 0;
    mosquitto* client = nullptr;
    std::vector<std::string> subscriptions;
    bool connected = false;
    // Between Connect() and LineLost().
    bool up = false;
    int socket = -1;
    bool watches_write = false;
    int subscriptions_missing = 0;
    uint64_t in_flight = 0;
  };

  MqttLines(LineOptions options, LineListener& listener);
  absl::StatusOr<SSL_CTX*> ContextOf(const std::string& name);
  void SetCallbacks(Line& line);
  void Subscribe(Line& line, int code);
  void Watch(Line& line);
  void Serve(Line& line, uint32_t events);
  void Misc();
  void Lose(Line& line, const std::string& reason);

  const LineOptions options_;
  LineListener& listener_;
  std::string host_;
  int port_ = 0;
  bool tls_ = false;
  int epoll_ = -1;
  // Pointers to lines must stay.
  std::deque<Line> lines_;
  // Of all lines, when no file has {unit} in its name.
  SSL_CTX* shared_context_ = nullptr;
  std::vector<SSL_CTX*> contexts_;
  uint64_t in_flight_ = 0;
  absl::Time next_misc_;
};

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_MQTT_LINE_H_
