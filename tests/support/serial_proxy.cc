#include "tests/support/serial_proxy.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tandem {
namespace {

constexpr size_t kMaxGarbage = 200;

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

// Blocks, as a line with flow control does. What cannot be written any more is lost.
void WriteAll(int fd, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (wrote <= 0) return;
    done += static_cast<size_t>(wrote);
  }
}

}  // namespace

SerialProxy::SerialProxy(std::string path, std::string device, SerialFaults faults)
    : path_(std::move(path)), device_(std::move(device)), faults_(faults), random_(faults.seed) {
  unlink(path_.c_str());
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  stop_ = eventfd(0, EFD_CLOEXEC);
  const sockaddr_un address = Address(path_);
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 || listen(listener_, 4) < 0) {
    std::perror(path_.c_str());
    std::abort();
  }
  thread_ = std::thread([this] { Serve(); });
}

SerialProxy::~SerialProxy() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(listener_);
  close(stop_);
  unlink(path_.c_str());
}

void SerialProxy::Serve() {
  while (true) {
    std::array<pollfd, 2> watched = {pollfd{stop_, POLLIN, 0}, pollfd{listener_, POLLIN, 0}};
    if (poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched[0].revents != 0) return;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) Connect(client);
  }
}

void SerialProxy::Connect(int client) {
  const int device = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = Address(device_);
  if (connect(device, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    Way request{.from = client, .to = device, .partial = {}, .held = {}};
    Way answer{.from = device, .to = client, .partial = {}, .held = {}};
    bool open = true;
    while (open) {
      std::array<pollfd, 3> watched = {pollfd{stop_, POLLIN, 0}, pollfd{client, POLLIN, 0}, pollfd{device, POLLIN, 0}};
      if (poll(watched.data(), watched.size(), -1) < 0) continue;
      if (watched[0].revents != 0) break;
      if (watched[1].revents != 0) open = Pump(request);
      if (open && watched[2].revents != 0) open = Pump(answer);
    }
  }
  close(device);
  close(client);
}

bool SerialProxy::Pump(Way& way) {
  std::array<char, 4096> bytes;
  const ssize_t got = recv(way.from, bytes.data(), bytes.size(), 0);
  if (got <= 0) return false;
  way.partial.append(bytes.data(), static_cast<size_t>(got));
  for (size_t end; (end = way.partial.find('\n')) != std::string::npos;) {
    Pass(way, way.partial.substr(0, end + 1));
    way.partial.erase(0, end + 1);
  }
  return true;
}

void SerialProxy::Pass(Way& way, std::string frame) {
  if (silent_) return;
  ++frame_count_;
  const uint64_t before = fault_count_;
  if (Chance(faults_.loss)) return;
  if (Chance(faults_.corruption)) {
    frame[random_() % frame.size()] ^= static_cast<char>(1 << random_() % 8);
  }
  if (Chance(faults_.garbage)) {
    std::string garbage(1 + random_() % kMaxGarbage, '\0');
    for (char& byte : garbage) byte = static_cast<char>(random_());
    WriteAll(way.to, garbage);
  }
  const bool twice = Chance(faults_.duplication);
  if (way.held.empty() && fault_count_ == before && Chance(faults_.reordering)) {
    way.held = std::move(frame);
    return;
  }
  WriteAll(way.to, frame);
  if (twice) WriteAll(way.to, frame);
  WriteAll(way.to, std::exchange(way.held, {}));
}

bool SerialProxy::Chance(double probability) {
  const bool happens = std::uniform_real_distribution<>(0, 1)(random_) < probability;
  if (happens) ++fault_count_;
  return happens;
}

}  // namespace tandem
