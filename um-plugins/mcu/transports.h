// Real lines to a device: serial (tty or pty), unix socket, UDP; and one that opens its line again when it is lost.
//
//   ReconnectingTransport line([] { return OpenSerial("/dev/ttyACM0", 115200); }, Clock::Real());
//   SmpClient client(line, Clock::Real(), {});
#ifndef TANDEM_UM_PLUGINS_MCU_TRANSPORTS_H_
#define TANDEM_UM_PLUGINS_MCU_TRANSPORTS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "um-plugins/mcu/smp_transport.h"

namespace tandem::smp {

// True when a tty can be set to this rate.
bool IsBaud(uint32_t baud);

// A tty or pty, raw, 8N1, no flow control, for this process alone. INVALID_ARGUMENT: not a rate of ttys. The other
// errors are the system's, with the path.
absl::StatusOr<std::unique_ptr<SmpTransport>> OpenSerial(const std::string& path, uint32_t baud);

// Serial frames over a stream socket, as emulators offer it.
absl::StatusOr<std::unique_ptr<SmpTransport>> OpenUnixSocket(const std::string& path);

// Serial frames over an open, non-blocking descriptor, which it owns from now on.
std::unique_ptr<SmpTransport> SerialOverFd(int fd, std::string name);

// One packet per datagram, "host:port". A device that is not there is silent, no error.
absl::StatusOr<std::unique_ptr<SmpTransport>> OpenUdp(const std::string& host_port);

// A line that is opened when it is first needed, and again when it is lost; meanwhile the device is silent.
class ReconnectingTransport : public SmpTransport {
 public:
  // `clock` must outlive it.
  ReconnectingTransport(Connect connect, Clock& clock) : connect_(std::move(connect)), clock_(clock) {}

  // Always OK.
  absl::Status Send(std::string_view packet) override;
  absl::StatusOr<std::optional<std::string>> Receive(absl::Duration until) override;
  size_t MaxPacket() const override;
  size_t LineBytes(size_t packet_size) const override;
  // The last error while the line is not open.
  std::string Trouble() const override { return std::string(trouble_.message()); }

 private:
  bool EnsureOpen();
  void Lose(absl::Status why);

  Connect connect_;
  Clock& clock_;
  std::unique_ptr<SmpTransport> line_;
  // Of the line that was open last: a request that was sized for it must not be refused while it is away. nullopt: none
  // was open.
  std::optional<size_t> max_packet_;
  absl::Status trouble_;
  // Not opened again before.
  absl::Duration next_try_ = -absl::InfiniteDuration();
};

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_TRANSPORTS_H_
