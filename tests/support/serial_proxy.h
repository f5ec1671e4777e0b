// A bad serial line between a client and an emulated UART: a unix socket in front of a unix socket, which loses,
// doubles, damages and reorders frames (lines of at most 127 bytes), throws garbage in, or says nothing at all.
//
//   SerialProxy line(folder + "/line.sock", mcu.uart(), {.loss = 0.01, .corruption = 0.01});
//   OpenUnixSocket(line.path()) ...
//   line.SetSilent(true);
//
// Linux only, as QEMU's sockets are.
#ifndef TANDEM_TESTS_SUPPORT_SERIAL_PROXY_H_
#define TANDEM_TESTS_SUPPORT_SERIAL_PROXY_H_

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>

namespace tandem {

// Chances per frame, each from 0 to 1, in both directions.
struct SerialFaults {
  double loss = 0;
  double duplication = 0;
  // One bit is wrong.
  double corruption = 0;
  // It comes after its successor.
  double reordering = 0;
  // Up to 200 random bytes come before it.
  double garbage = 0;
  uint64_t seed = 1;
};

// Its methods are thread-safe. A client at a time, as QEMU has it; when the device goes, the client's line is closed,
// and the next client finds the device that is there then.
class SerialProxy {
 public:
  // Ends the test program when it cannot listen on `path`. Neither the device nor its socket need to be there yet.
  SerialProxy(std::string path, std::string device, SerialFaults faults);
  ~SerialProxy();
  SerialProxy(const SerialProxy&) = delete;
  SerialProxy& operator=(const SerialProxy&) = delete;

  const std::string& path() const { return path_; }
  // Nothing passes, in either direction.
  void SetSilent(bool silent) { silent_ = silent; }
  // Frames that had one of the faults.
  uint64_t faults() const { return fault_count_; }
  uint64_t frames() const { return frame_count_; }

 private:
  // One direction of one connection.
  struct Way {
    int from = -1;
    int to = -1;
    std::string partial;
    // Waits for its successor.
    std::string held;
  };

  void Serve();
  void Connect(int client);
  // False when the connection is over.
  bool Pump(Way& way);
  void Pass(Way& way, std::string frame);
  bool Chance(double probability);

  const std::string path_;
  const std::string device_;
  const SerialFaults faults_;
  std::mt19937_64 random_;
  std::atomic<bool> silent_ = false;
  std::atomic<uint64_t> fault_count_ = 0;
  std::atomic<uint64_t> frame_count_ = 0;
  int listener_ = -1;
  // Written to end the thread.
  int stop_ = -1;
  std::thread thread_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_SERIAL_PROXY_H_
