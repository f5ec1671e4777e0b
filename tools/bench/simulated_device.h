// A device behind a line of known rate and latency, for measuring what a client makes of the line.
//
// The model: each direction carries `bits_per_second`, one byte after the other, and each byte arrives `latency` after
// it was sent. Time is the machine's; each send is timed from when the line is free, so that being scheduled late does
// not add up. The device itself takes no time: what is measured is the line and the client.
#ifndef TANDEM_TOOLS_BENCH_SIMULATED_DEVICE_H_
#define TANDEM_TOOLS_BENCH_SIMULATED_DEVICE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "um-plugins/mcu/fake_mcu.h"
#include "um-plugins/mcu/serial_framing.h"
#include "um-plugins/mcu/smp_transport.h"

namespace tandem::bench {

struct LineModel {
  // False: a serial line, 10 bits for each byte. True: UDP over Ethernet, 8 bits for each byte of a frame.
  bool udp = false;
  // 0: as fast as it goes.
  uint64_t bits_per_second = 115200;
  // Each way.
  absl::Duration latency;
};

// Seconds on the line for a packet that is `bytes` long as the transport sees it (SmpTransport::LineBytes()).
double LineSeconds(const LineModel& model, size_t bytes);

// Runs a thread of its own until it is destroyed.
class SimulatedDevice {
 public:
  static absl::StatusOr<std::unique_ptr<SimulatedDevice>> Start(const LineModel& model, uint32_t buffer_size,
                                                                uint32_t buffer_count);
  ~SimulatedDevice();

  SimulatedDevice(const SimulatedDevice&) = delete;
  SimulatedDevice& operator=(const SimulatedDevice&) = delete;

  // The client's end; once.
  absl::StatusOr<std::unique_ptr<smp::SmpTransport>> Connect();

 private:
  SimulatedDevice(const LineModel& model, uint32_t buffer_size, uint32_t buffer_count);

  absl::Status OpenSerialPair();
  absl::Status OpenUdpSocket();
  void Run();
  // Reads what the client has sent, and puts it on the line.
  void TakeFromClient();
  // What arrives now.
  void Deliver(absl::Duration now);
  void Arrive(std::string_view bytes, absl::Duration now);
  void Answer(std::string_view packet, absl::Duration now);
  // When `bytes` that are sent now have arrived; `free` is when that direction is.
  absl::Duration Transmit(size_t bytes, absl::Duration now, absl::Duration& free) const;

  const LineModel model_;
  smp::FakeMcu mcu_;
  smp::SerialDecoder decoder_;
  int fd_ = -1;
  int client_fd_ = -1;
  std::string client_address_;
  // Ends the thread.
  int stop_fd_ = -1;
  absl::Duration to_device_free_;
  absl::Duration to_client_free_;
  // By arrival.
  std::multimap<absl::Duration, std::string> to_device_;
  std::multimap<absl::Duration, std::string> to_client_;
  std::thread thread_;
};

}  // namespace tandem::bench

#endif  // TANDEM_TOOLS_BENCH_SIMULATED_DEVICE_H_
