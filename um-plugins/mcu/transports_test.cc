// The real lines, with the other end in the test's hand.
#include "um-plugins/mcu/transports.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "um-plugins/mcu/serial_framing.h"

namespace tandem::smp {
namespace {

using ::testing::HasSubstr;

absl::Duration In(absl::Duration time) { return Clock::Real().Monotonic() + time; }

std::string ReadSome(int fd) {
  std::array<char, 4096> bytes;
  const ssize_t got = read(fd, bytes.data(), bytes.size());
  return got > 0 ? std::string(bytes.data(), static_cast<size_t>(got)) : "";
}

TEST(TransportsTest, APtyCarriesEveryByteValueBothWays) {
  int master = -1;
  int slave = -1;
  std::array<char, 100> name{};
  ASSERT_EQ(openpty(&master, &slave, name.data(), nullptr, nullptr), 0);
  auto line = OpenSerial(name.data(), 115200);
  ASSERT_TRUE(line.ok()) << line.status();
  std::string packet;
  for (int i = 0; i < 256; ++i) packet.push_back(static_cast<char>(i));
  ASSERT_TRUE((*line)->Send(packet).ok());
  SerialDecoder decoder;
  std::vector<std::string> got;
  while (got.empty()) got = decoder.Feed(ReadSome(master));
  EXPECT_EQ(got[0], packet);

  const std::string frames = "boot text\r\n" + EncodeSerialFrames(packet) + EncodeSerialFrames("second");
  ASSERT_EQ(write(master, frames.data(), frames.size()), static_cast<ssize_t>(frames.size()));
  EXPECT_EQ((*line)->Receive(In(absl::Seconds(10))).value(), packet);
  EXPECT_EQ((*line)->Receive(In(absl::Seconds(10))).value(), "second");
  EXPECT_EQ((*line)->Receive(In(absl::Milliseconds(1))).value(), std::nullopt);
  close(slave);
  close(master);
  EXPECT_TRUE(absl::IsUnavailable((*line)->Receive(In(absl::Seconds(10))).status()));
}

TEST(TransportsTest, WhatCannotBeOpenedIsNamed) {
  EXPECT_THAT(std::string(OpenSerial("/dev/none", 115200).status().message()), HasSubstr("open /dev/none"));
  EXPECT_TRUE(absl::IsInvalidArgument(OpenSerial("/dev/null", 12345).status()));
  EXPECT_THAT(std::string(OpenSerial("/dev/null", 115200).status().message()), HasSubstr("not a tty"));
  EXPECT_THAT(std::string(OpenUnixSocket("/none/sock").status().message()), HasSubstr("connect to /none/sock"));
  EXPECT_THAT(std::string(OpenUdp("127.0.0.1").status().message()), HasSubstr("no port"));
  EXPECT_TRUE(IsBaud(1000000));
  EXPECT_FALSE(IsBaud(0));
}

TEST(TransportsTest, AUnixSocketIsOpenedAgainWhenItsServerIsBack) {
  std::string folder = testing::TempDir() + "/smp_sock_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = folder + "/s";
  path.copy(address.sun_path, path.size());
  ReconnectingTransport line([&] { return OpenUnixSocket(path); }, Clock::Real());
  ASSERT_TRUE(line.Send("lost").ok());
  EXPECT_THAT(line.Trouble(), HasSubstr(path));
  for (int i = 0; i < 2; ++i) {
    const int server = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(server, 1), 0);
    // The loss of the line before shows now at the latest, and the new one is opened.
    EXPECT_EQ(line.Receive(In(absl::Milliseconds(600))).value(), std::nullopt);
    const int peer = accept(server, nullptr, nullptr);
    ASSERT_TRUE(line.Send("request").ok());
    EXPECT_EQ(ReadSome(peer), EncodeSerialFrames("request"));
    const std::string frames = EncodeSerialFrames("answer");
    ASSERT_EQ(write(peer, frames.data(), frames.size()), static_cast<ssize_t>(frames.size()));
    EXPECT_EQ(line.Receive(In(absl::Seconds(10))).value(), "answer");
    const size_t max_packet = line.MaxPacket();
    close(peer);
    close(server);
    unlink(path.c_str());
    EXPECT_EQ(line.Receive(In(absl::Milliseconds(10))).value(), std::nullopt);
    EXPECT_THAT(line.Trouble(), HasSubstr(path));
    EXPECT_EQ(line.MaxPacket(), max_packet) << "what was sized for the line may be sent again";
  }
  rmdir(folder.c_str());
}

TEST(TransportsTest, UdpCarriesOnePacketPerDatagramAndBearsANobody) {
  const int device = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(device, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(device, reinterpret_cast<sockaddr*>(&address), &size), 0);
  auto line = OpenUdp(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)));
  ASSERT_TRUE(line.ok()) << line.status();
  ASSERT_TRUE((*line)->Send("request").ok());
  std::array<char, 100> bytes;
  sockaddr_in from{};
  const ssize_t got = recvfrom(device, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
  EXPECT_EQ(std::string(bytes.data(), static_cast<size_t>(got)), "request");
  ASSERT_EQ(sendto(device, "answer", 6, 0, reinterpret_cast<sockaddr*>(&from), size), 6);
  EXPECT_EQ((*line)->Receive(In(absl::Seconds(10))).value(), "answer");
  close(device);
  // The kernel says that nobody is there: the device may come back.
  ASSERT_TRUE((*line)->Send("request").ok());
  EXPECT_EQ((*line)->Receive(In(absl::Milliseconds(20))).value(), std::nullopt);
}

}  // namespace
}  // namespace tandem::smp
