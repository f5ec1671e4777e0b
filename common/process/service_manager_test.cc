#include "common/process/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace tandem {
namespace {

TEST(ServiceManagerTest, SaysReadyToWhoeverListens) {
  const std::string path = testing::TempDir() + "/notify_" + std::to_string(getpid());
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path.c_str());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  EXPECT_TRUE(NotifyReady().ok());
  char text[32] = {};
  EXPECT_GT(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), 0);
  EXPECT_STREQ(text, "READY=1");
  close(fd);
  unlink(path.c_str());
  EXPECT_FALSE(NotifyReady().ok());
  unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(NotifyReady().ok());
}

}  // namespace
}  // namespace tandem
