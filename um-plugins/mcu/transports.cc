#include "um-plugins/mcu/transports.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/host_port.h"
#include "common/status/status.h"
#include "common/storage/file_descriptor.h"
#include "um-plugins/mcu/serial_framing.h"

namespace tandem::smp {
namespace {

// More than that is not waiting to be sent: a line that takes nothing loses packets.
constexpr size_t kMaxUnsent = 256 << 10;
// Fits into one Ethernet frame, with IPv6, too.
constexpr size_t kMaxDatagram = 1452;
constexpr absl::Duration kReopenAfter = absl::Milliseconds(250);

constexpr std::pair<uint32_t, speed_t> kRates[] = {
    {9600, B9600},       {19200, B19200},     {38400, B38400},     {57600, B57600},     {115200, B115200},
    {230400, B230400},   {460800, B460800},   {500000, B500000},   {576000, B576000},   {921600, B921600},
    {1000000, B1000000}, {1152000, B1152000}, {1500000, B1500000}, {2000000, B2000000}, {2500000, B2500000},
    {3000000, B3000000}, {3500000, B3500000}, {4000000, B4000000},
};

absl::Status Lost(const std::string& name, int error) {
  return absl::UnavailableError(
      absl::StrCat(name, error == 0 ? ": the line was closed" : ": ", error == 0 ? "" : std::strerror(error)));
}

// Waits until `fd` can be read, or written when `write` is set, or `until`.
absl::StatusOr<short> Wait(int fd, bool write, absl::Duration until, const std::string& name) {
  pollfd wait{.fd = fd, .events = static_cast<short>(POLLIN | (write ? POLLOUT : 0)), .revents = 0};
  const absl::Duration left = std::max(until - Clock::Real().Monotonic(), absl::ZeroDuration());
  const timespec timeout = absl::ToTimespec(std::min(left, absl::Hours(1)));
  if (ppoll(&wait, 1, &timeout, nullptr) < 0 && errno != EINTR) return Lost(name, errno);
  return wait.revents;
}

class StreamTransport : public SmpTransport {
 public:
  StreamTransport(FileDescriptor fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  absl::Status Send(std::string_view packet) override {
    if (unsent_.size() < kMaxUnsent) unsent_.append(EncodeSerialFrames(packet));
    return Write();
  }

  absl::StatusOr<std::optional<std::string>> Receive(absl::Duration until) override {
    while (true) {
      if (!packets_.empty()) {
        std::optional<std::string> packet = std::move(packets_.front());
        packets_.pop_front();
        return packet;
      }
      ASSIGN_OR_RETURN(const short events, Wait(fd_.get(), !unsent_.empty(), until, name_));
      if ((events & POLLOUT) != 0) RETURN_IF_ERROR(Write());
      if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) RETURN_IF_ERROR(Read());
      if (packets_.empty() && Clock::Real().Monotonic() >= until) return std::nullopt;
    }
  }

  size_t MaxPacket() const override { return kMaxSerialPacket; }
  size_t LineBytes(size_t packet_size) const override { return SerialFramesSize(packet_size); }

 private:
  absl::Status Write() {
    while (!unsent_.empty()) {
      const ssize_t written = write(fd_.get(), unsent_.data(), unsent_.size());
      if (written > 0) {
        unsent_.erase(0, static_cast<size_t>(written));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return absl::OkStatus();
      } else if (errno != EINTR) {
        return Lost(name_, errno);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Read() {
    std::array<char, 4096> bytes;
    const ssize_t got = read(fd_.get(), bytes.data(), bytes.size());
    if (got == 0) return Lost(name_, 0);
    if (got < 0) {
      return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? absl::OkStatus() : Lost(name_, errno);
    }
    for (std::string& packet : decoder_.Feed({bytes.data(), static_cast<size_t>(got)})) {
      packets_.push_back(std::move(packet));
    }
    return absl::OkStatus();
  }

  FileDescriptor fd_;
  const std::string name_;
  std::string unsent_;
  SerialDecoder decoder_;
  std::deque<std::string> packets_;
};

class UdpTransport : public SmpTransport {
 public:
  UdpTransport(FileDescriptor fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  absl::Status Send(std::string_view packet) override {
    // A full socket, or a device that is not up: as lost as any other datagram.
    (void)send(fd_.get(), packet.data(), packet.size(), MSG_NOSIGNAL);
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<std::string>> Receive(absl::Duration until) override {
    std::array<char, 65536> bytes;
    while (true) {
      const ssize_t got = recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got > 0) return std::string(bytes.data(), static_cast<size_t>(got));
      if (got < 0 && (errno == EBADF || errno == ENOTSOCK)) return Lost(name_, errno);
      if (Clock::Real().Monotonic() >= until) return std::nullopt;
      RETURN_IF_ERROR(Wait(fd_.get(), /*write=*/false, until, name_).status());
    }
  }

  size_t MaxPacket() const override { return kMaxDatagram; }

 private:
  FileDescriptor fd_;
  const std::string name_;
};

const std::pair<uint32_t, speed_t>* FindRate(uint32_t baud) {
  const auto* const found =
      std::find_if(std::begin(kRates), std::end(kRates), [&](const auto& rate) { return rate.first == baud; });
  return found == std::end(kRates) ? nullptr : found;
}

}  // namespace

bool IsBaud(uint32_t baud) { return FindRate(baud) != nullptr; }

absl::StatusOr<std::unique_ptr<SmpTransport>> OpenSerial(const std::string& path, uint32_t baud) {
  const auto* const rate = FindRate(baud);
  if (rate == nullptr) return absl::InvalidArgumentError(absl::StrCat(path, ": ", baud, " is no rate of a tty"));
  FileDescriptor fd(open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoStatus(errno, absl::StrCat("open ", path));
  termios settings{};
  if (tcgetattr(fd.get(), &settings) != 0) return ErrnoStatus(errno, absl::StrCat(path, ": not a tty"));
  cfmakeraw(&settings);
  settings.c_cflag |= CLOCAL | CREAD;
  settings.c_cflag &= static_cast<tcflag_t>(~(CRTSCTS | CSTOPB | HUPCL));
  cfsetispeed(&settings, rate->second);
  cfsetospeed(&settings, rate->second);
  if (tcsetattr(fd.get(), TCSANOW, &settings) != 0) return ErrnoStatus(errno, absl::StrCat("set up ", path));
  // Two programs that read one line would each get half of it.
  (void)ioctl(fd.get(), TIOCEXCL);
  // Answers to a program before this one.
  (void)tcflush(fd.get(), TCIOFLUSH);
  return std::make_unique<StreamTransport>(std::move(fd), path);
}

absl::StatusOr<std::unique_ptr<SmpTransport>> OpenUnixSocket(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a unix socket"));
  }
  path.copy(address.sun_path, path.size());
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return ErrnoStatus(errno, "make a unix socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connect to ", path));
  }
  return std::make_unique<StreamTransport>(std::move(fd), path);
}

std::unique_ptr<SmpTransport> SerialOverFd(int fd, std::string name) {
  return std::make_unique<StreamTransport>(FileDescriptor(fd), std::move(name));
}

absl::StatusOr<std::unique_ptr<SmpTransport>> OpenUdp(const std::string& host_port) {
  ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(host_port));
  if (!where.port.has_value())
    return absl::InvalidArgumentError(absl::StrCat(host_port, " has no port; SMP's is 1337"));
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(where.host.c_str(), absl::StrCat(*where.port).c_str(), &hints, &found);
      error != 0) {
    return absl::UnavailableError(absl::StrCat("find ", host_port, ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, freeaddrinfo);
  absl::Status status = absl::UnavailableError(absl::StrCat("no address of ", host_port));
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    FileDescriptor fd(socket(address->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd.get() >= 0 && connect(fd.get(), address->ai_addr, address->ai_addrlen) == 0) {
      return std::make_unique<UdpTransport>(std::move(fd), host_port);
    }
    status = ErrnoStatus(errno, absl::StrCat("connect to ", host_port));
  }
  return status;
}

// ---- ReconnectingTransport ----

bool ReconnectingTransport::EnsureOpen() {
  if (line_ != nullptr) return true;
  if (clock_.Monotonic() < next_try_) return false;
  absl::StatusOr<std::unique_ptr<SmpTransport>> line = connect_();
  if (!line.ok()) {
    Lose(line.status());
    return false;
  }
  line_ = *std::move(line);
  max_packet_ = line_->MaxPacket();
  trouble_ = absl::OkStatus();
  return true;
}

void ReconnectingTransport::Lose(absl::Status why) {
  line_.reset();
  trouble_ = std::move(why);
  next_try_ = clock_.Monotonic() + kReopenAfter;
}

absl::Status ReconnectingTransport::Send(std::string_view packet) {
  if (!EnsureOpen()) return absl::OkStatus();
  if (absl::Status sent = line_->Send(packet); !sent.ok()) Lose(std::move(sent));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> ReconnectingTransport::Receive(absl::Duration until) {
  while (true) {
    if (EnsureOpen()) {
      absl::StatusOr<std::optional<std::string>> packet = line_->Receive(until);
      if (packet.ok()) return packet;
      Lose(packet.status());
    }
    const absl::Duration now = clock_.Monotonic();
    if (now >= until) return std::nullopt;
    clock_.Sleep(std::min(until, next_try_) - now);
  }
}

size_t ReconnectingTransport::MaxPacket() const {
  // Unknown until it is open.
  return max_packet_.value_or(kMaxDatagram);
}

size_t ReconnectingTransport::LineBytes(size_t packet_size) const {
  return line_ == nullptr ? packet_size : line_->LineBytes(packet_size);
}

}  // namespace tandem::smp
