#include "tools/bench/simulated_device.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "um-plugins/mcu/transports.h"

namespace tandem::bench {
namespace {

// Preamble, Ethernet, IPv4 and UDP headers, checksum and gap.
constexpr size_t kEthernetAround = 8 + 14 + 20 + 8 + 4 + 12;
// A UART gives bytes to its driver in small pieces.
constexpr size_t kPiece = smp::kMaxSerialFrame;

absl::Duration Now() { return Clock::Real().Monotonic(); }

}  // namespace

double LineSeconds(const LineModel& model, size_t bytes) {
  if (model.bits_per_second == 0) return 0;
  const size_t bits = model.udp ? (bytes + kEthernetAround) * 8 : bytes * 10;
  return static_cast<double>(bits) / static_cast<double>(model.bits_per_second);
}

SimulatedDevice::SimulatedDevice(const LineModel& model, uint32_t buffer_size, uint32_t buffer_count)
    : model_(model),
      mcu_({.slot_size = 1 << 30,
            .buffer_size = buffer_size,
            .buffer_count = buffer_count,
            .erase_time = absl::ZeroDuration()}) {}

absl::StatusOr<std::unique_ptr<SimulatedDevice>> SimulatedDevice::Start(const LineModel& model, uint32_t buffer_size,
                                                                        uint32_t buffer_count) {
  std::unique_ptr<SimulatedDevice> device(new SimulatedDevice(model, buffer_size, buffer_count));
  RETURN_IF_ERROR(model.udp ? device->OpenUdpSocket() : device->OpenSerialPair());
  device->stop_fd_ = eventfd(0, EFD_CLOEXEC);
  if (device->stop_fd_ < 0) return ErrnoStatus(errno, "make an eventfd");
  device->thread_ = std::thread([raw = device.get()] { raw->Run(); });
  return device;
}

SimulatedDevice::~SimulatedDevice() {
  if (thread_.joinable()) {
    (void)eventfd_write(stop_fd_, 1);
    thread_.join();
  }
  for (const int fd : {fd_, client_fd_, stop_fd_}) {
    if (fd >= 0) close(fd);
  }
}

absl::Status SimulatedDevice::OpenSerialPair() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return ErrnoStatus(errno, "make a pair of sockets");
  }
  fd_ = fds[0];
  client_fd_ = fds[1];
  return absl::OkStatus();
}

absl::Status SimulatedDevice::OpenUdpSocket() {
  fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return ErrnoStatus(errno, "open a UDP port");
  }
  client_address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<smp::SmpTransport>> SimulatedDevice::Connect() {
  if (model_.udp) return smp::OpenUdp(client_address_);
  return smp::SerialOverFd(std::exchange(client_fd_, -1), "simulated line");
}

absl::Duration SimulatedDevice::Transmit(size_t bytes, absl::Duration now, absl::Duration& free) const {
  free = std::max(now, free) + absl::Seconds(LineSeconds(model_, bytes));
  return free + model_.latency;
}

void SimulatedDevice::TakeFromClient() {
  std::array<char, 65536> bytes;
  sockaddr_in from{};
  while (true) {
    socklen_t size = sizeof(from);
    const ssize_t got = recvfrom(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got <= 0) return;
    const absl::Duration now = Now();
    const std::string_view all(bytes.data(), static_cast<size_t>(got));
    if (model_.udp) {
      // Only one client ever sends: its address is where answers go.
      (void)connect(fd_, reinterpret_cast<const sockaddr*>(&from), size);
      to_device_.emplace(Transmit(all.size(), now, to_device_free_), std::string(all));
      continue;
    }
    for (size_t at = 0; at < all.size(); at += kPiece) {
      const std::string_view piece = all.substr(at, kPiece);
      to_device_.emplace(Transmit(piece.size(), now, to_device_free_), std::string(piece));
    }
  }
}

void SimulatedDevice::Answer(std::string_view packet, absl::Duration now) {
  const std::optional<std::string> answer = mcu_.Handle(packet, now);
  if (!answer.has_value()) return;
  std::string bytes = model_.udp ? *answer : smp::EncodeSerialFrames(*answer);
  const absl::Duration at = Transmit(bytes.size(), now, to_client_free_);
  to_client_.emplace(at, std::move(bytes));
}

void SimulatedDevice::Arrive(std::string_view bytes, absl::Duration now) {
  if (model_.udp) return Answer(bytes, now);
  for (const std::string& packet : decoder_.Feed(bytes)) Answer(packet, now);
}

void SimulatedDevice::Deliver(absl::Duration now) {
  while (!to_device_.empty() && to_device_.begin()->first <= now) {
    const auto first = to_device_.extract(to_device_.begin());
    // As of its arrival, however late this thread is.
    Arrive(first.mapped(), first.key());
  }
  while (!to_client_.empty() && to_client_.begin()->first <= now) {
    const std::string bytes = to_client_.extract(to_client_.begin()).mapped();
    (void)send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
}

void SimulatedDevice::Run() {
  while (true) {
    absl::Duration next = absl::InfiniteDuration();
    for (const auto* queue : {&to_device_, &to_client_}) {
      if (!queue->empty()) next = std::min(next, queue->begin()->first);
    }
    std::array<pollfd, 2> wait = {
        {{.fd = stop_fd_, .events = POLLIN, .revents = 0}, {.fd = fd_, .events = POLLIN, .revents = 0}}};
    const timespec timeout = absl::ToTimespec(std::max(next - Now(), absl::ZeroDuration()));
    (void)ppoll(wait.data(), wait.size(), next == absl::InfiniteDuration() ? nullptr : &timeout, nullptr);
    if (wait[0].revents != 0) return;
    if ((wait[1].revents & POLLIN) != 0) TakeFromClient();
    // The client has gone.
    if ((wait[1].revents & POLLHUP) != 0) return;
    Deliver(Now());
  }
}

}  // namespace tandem::bench
