// The plugin over real files and real UDP, with the model of a device at the other end.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "um-plugins/mcu/fake_mcu.h"
#include "um-plugins/mcu/mcu_plugin.h"
#include "um/fake_operation.h"

namespace tandem::plugins {
namespace {

// Serves a device on a UDP port of its own thread.
class UdpDevice {
 public:
  UdpDevice()
      : mcu_({.reset_delay = absl::Milliseconds(10), .boot_time = absl::Milliseconds(50), .erase_time = {}}),
        fd_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)),
        stop_(eventfd(0, 0)) {
    mcu_.Flash(0, smp::MakeTestImage({.major = 1}));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this] { Run(); });
  }
  ~UdpDevice() {
    eventfd_write(stop_, 1);
    thread_.join();
    close(fd_);
    close(stop_);
  }
  const std::string& address() const { return address_; }

 private:
  void Run() {
    std::array<char, 65536> bytes;
    std::array<pollfd, 2> wait = {
        {{.fd = stop_, .events = POLLIN, .revents = 0}, {.fd = fd_, .events = POLLIN, .revents = 0}}};
    while (poll(wait.data(), wait.size(), -1) >= 0 && wait[0].revents == 0) {
      sockaddr_in from{};
      socklen_t size = sizeof(from);
      const ssize_t got = recvfrom(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (got <= 0) continue;
      const auto answer = mcu_.Handle({bytes.data(), static_cast<size_t>(got)}, Clock::Real().Monotonic());
      if (answer.has_value()) {
        sendto(fd_, answer->data(), answer->size(), 0, reinterpret_cast<sockaddr*>(&from), size);
      }
    }
  }

  smp::FakeMcu mcu_;
  const int fd_;
  const int stop_;
  std::string address_;
  std::thread thread_;
};

TEST(MakeMcuPluginTest, UpdatesARealDeviceAndGoesBack) {
  std::string folder = testing::TempDir() + "/make_mcu_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  UdpDevice device;
  config::v1::UmConfig config;
  config.set_node_id("motor");
  config.set_state_dir(folder + "/state");
  config.mutable_mcu()->set_component_type("motor-mcu");
  config.mutable_mcu()->set_udp(device.address());
  um::FakeOperation operation;
  for (const bool commit : {true, false}) {
    const auto major = static_cast<uint8_t>(commit ? 2 : 3);
    const std::string image = smp::MakeTestImage({.major = major, .body_size = 100'000});
    ASSERT_TRUE(FileSystem::Real().WriteFileAtomically(folder + "/image", image).ok());
    std::unique_ptr<um::Plugin> plugin = MakeMcuPlugin(config).value();
    const absl::Status prepared = plugin->Prepare({{.component_id = "motor",
                                                    .component_type = "motor-mcu",
                                                    .version = absl::StrCat(major, ".0.0"),
                                                    .urls = {"file://" + folder + "/image"},
                                                    .sha256 = Sha256(image),
                                                    .size = image.size()}},
                                                  operation);
    ASSERT_TRUE(prepared.ok()) << prepared;
    const auto started = plugin->Start(operation);
    ASSERT_TRUE(started.ok()) << started.status();
    EXPECT_EQ(plugin->Inventory().value()[0].version, absl::StrCat(major, ".0.0"));
    plugin = MakeMcuPlugin(config).value();
    EXPECT_TRUE(plugin->CheckAfterReboot(operation).ok());
    if (commit) {
      const absl::Status applied = plugin->Apply(operation);
      EXPECT_TRUE(applied.ok()) << applied;
    } else {
      const auto reverted = plugin->Revert(operation);
      EXPECT_TRUE(reverted.ok()) << reverted.status();
    }
    EXPECT_EQ(plugin->Inventory().value()[0].version, "2.0.0");
  }
  EXPECT_TRUE(FileSystem::Real().RemoveTree(folder).ok());
}

}  // namespace
}  // namespace tandem::plugins
