// The real bootloader and application on a Cortex-M in QEMU, updated over SMP by the client that the UM uses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <thread>

#include "bootloader/core/slot_policy.h"
#include "common/crypto/sha256.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "tests/support/qemu_mcu.h"
#include "um-plugins/mcu/image_file.h"
#include "um-plugins/mcu/image_upload.h"
#include "um-plugins/mcu/mcu_commands.h"
#include "um-plugins/mcu/smp_client.h"
#include "um-plugins/mcu/transports.h"

namespace tandem {
namespace {

using boot::BootRecord;
using boot::Slot;
using smp::ImageSlot;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

std::string ImagePath(const std::string& name) { return std::string(TANDEM_MCU_FOLDER "/") + name + ".img"; }

std::string HashOf(const std::string& name) {
  const std::string bytes = *FileSystem::Real().ReadFile(ImagePath(name));
  smp::MemoryImageSource source(bytes);
  boot::Image image;
  EXPECT_EQ(ReadImage(source, image), boot::ImageResult::kOk) << name;
  return {image.hash.begin(), image.hash.end()};
}

std::string RecordBytes(const BootRecord& record) {
  const boot::EncodedRecord bytes = Encode(record);
  return {bytes.begin(), bytes.end()};
}

// A device in a folder of its own, and a client of it.
class McuBootTest : public ::testing::Test {
 protected:
  McuBootTest() {
    std::string folder = (std::filesystem::temp_directory_path() / "mcu_XXXXXX").string();
    folder_ = mkdtemp(folder.data());
    mcu_ = std::make_unique<QemuMcu>(folder_, TANDEM_MCU_FOLDER "/bootloader.elf");
  }
  ~McuBootTest() override {
    if (HasFailure()) std::cerr << "console:\n" << mcu_->Console();
    client_.reset();
    mcu_.reset();
    std::filesystem::remove_all(folder_);
  }

  void StartWith(const McuFlash& flash) {
    mcu_->WriteFlash(flash);
    Start();
  }
  void Start() {
    ASSERT_TRUE(mcu_->Start());
    Connect(absl::Seconds(20));
  }
  void Connect(absl::Duration answer_timeout) {
    client_.reset();
    line_ = std::make_unique<smp::ReconnectingTransport>([this] { return smp::OpenUnixSocket(mcu_->uart()); },
                                                         Clock::Real());
    client_ = std::make_unique<smp::SmpClient>(
        *line_, Clock::Real(),
        smp::SmpClientOptions{.answer_timeout = answer_timeout, .first_retry = absl::Milliseconds(100)});
  }

  absl::Status Upload(const std::string& path) {
    const std::string bytes = *FileSystem::Real().ReadFile(path);
    std::unique_ptr<File> file = *FileSystem::Real().Open(path, FileSystem::OpenMode::kReadOnly);
    // A device that was killed before it answered at all is not waited for as long as one that may be erasing.
    return smp::UploadImage(*client_, {.file = *file, .size = bytes.size(), .sha256 = Sha256(bytes)}, nullptr,
                            {.erase_timeout = absl::Seconds(3)});
  }
  // Uploads `name`, puts it on trial and resets.
  absl::Status Try(const std::string& name) {
    absl::Status status = Upload(ImagePath(name));
    if (status.ok()) status = smp::TestImage(*client_, HashOf(name));
    if (status.ok()) status = smp::ResetDevice(*client_);
    return status;
  }
  // "" when the device does not answer, or nothing is active.
  std::string RunningVersion() {
    const absl::StatusOr<std::vector<ImageSlot>> slots = smp::ReadImageState(*client_);
    if (!slots.ok()) return "";
    for (const ImageSlot& slot : *slots) {
      if (slot.active) return slot.version;
    }
    return "";
  }
  smp::BootInfo Info() {
    const absl::StatusOr<std::optional<smp::BootInfo>> info = smp::ReadBootInfo(*client_);
    return info.ok() && info->has_value() ? **info : smp::BootInfo();
  }
  // Resets, and waits until the bootloader has said so.
  void Reset() {
    const size_t before = mcu_->Console().size();
    ASSERT_TRUE(smp::ResetDevice(*client_).ok());
    ASSERT_TRUE(mcu_->WaitForConsole("boot: slot", 20s, before));
  }

  std::string folder_;
  std::unique_ptr<QemuMcu> mcu_;
  std::unique_ptr<smp::ReconnectingTransport> line_;
  std::unique_ptr<smp::SmpClient> client_;
};

TEST_F(McuBootTest, AFactoryDeviceBoots) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  EXPECT_EQ(RunningVersion(), "1.0.0");
  const smp::BootInfo info = Info();
  EXPECT_EQ(info.running, "A");
  EXPECT_EQ(info.confirmed, "A");
  EXPECT_EQ(info.trial, "none");
  EXPECT_THAT(mcu_->Console(), HasSubstr("app: good-1.0.0"));
}

TEST_F(McuBootTest, AnUpdateIsTriedConfirmedAndSealed) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  ASSERT_TRUE(Try("good-2.0.0").ok());
  ASSERT_TRUE(mcu_->WaitForConsole("app: good-2.0.0", 20s));
  EXPECT_EQ(RunningVersion(), "2.0.0");
  EXPECT_EQ(Info().trial, "B");
  ASSERT_TRUE(smp::ConfirmImage(*client_, HashOf("good-2.0.0")).ok());
  Reset();
  EXPECT_EQ(RunningVersion(), "2.0.0");
  EXPECT_EQ(Info().confirmed, "B");
  ASSERT_TRUE(smp::RaiseSecurityCounter(*client_, 3).ok());
  EXPECT_FALSE(smp::TestImage(*client_, HashOf("good-1.0.0")).ok()) << "below the counter";
  mcu_->KillHard();
  Start();
  EXPECT_EQ(RunningVersion(), "2.0.0");
  EXPECT_EQ(Info().security_counter, 3U);
}

TEST_F(McuBootTest, ATrialIsTakenBackOnRequest) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  ASSERT_TRUE(Try("good-2.0.0").ok());
  ASSERT_TRUE(mcu_->WaitForConsole("app: good-2.0.0", 20s));
  ASSERT_TRUE(smp::ConfirmImage(*client_, HashOf("good-1.0.0")).ok());
  Reset();
  EXPECT_EQ(RunningVersion(), "1.0.0");
}

TEST_F(McuBootTest, AnImageThatCrashesFallsBack) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  ASSERT_EQ(RunningVersion(), "1.0.0");
  const size_t before = mcu_->Console().size();
  ASSERT_TRUE(Try("crash-2.0.0").ok());
  ASSERT_TRUE(mcu_->WaitForConsole("app: good-1.0.0", 30s, before));
  EXPECT_EQ(RunningVersion(), "1.0.0");
  const std::string console = mcu_->Console().substr(before);
  EXPECT_THAT(console, HasSubstr("reset by fault"));
  EXPECT_THAT(console, HasSubstr("back to the confirmed slot"));
  size_t tries = 0;
  for (size_t at = console.find("app: crash"); at != std::string::npos; at = console.find("app: crash", at + 1))
    ++tries;
  EXPECT_EQ(tries, 3U);
}

TEST_F(McuBootTest, AnImageThatHangsIsEndedByTheWatchdogAndFallsBack) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  ASSERT_EQ(RunningVersion(), "1.0.0");
  const size_t before = mcu_->Console().size();
  ASSERT_TRUE(Try("hang-2.0.0").ok());
  ASSERT_TRUE(mcu_->WaitForConsole("app: good-1.0.0", 60s, before));
  EXPECT_THAT(mcu_->Console().substr(before), HasSubstr("reset by watchdog"));
  EXPECT_EQ(RunningVersion(), "1.0.0");
}

// Nobody can tell it from outside but by its silence: whoever updates the device cuts its power or pulls its reset.
TEST_F(McuBootTest, AnImageThatDoesNotSpeakFallsBackAfterAFewPowerCuts) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  ASSERT_EQ(RunningVersion(), "1.0.0");
  size_t before = mcu_->Console().size();
  ASSERT_TRUE(Try("silent-2.0.0").ok());
  for (int boot = 0; boot < 3; ++boot) {
    ASSERT_TRUE(mcu_->WaitForConsole("app: silent-2.0.0", 20s, before));
    mcu_->KillHard();
    before = mcu_->Console().size();
    Start();
  }
  EXPECT_EQ(RunningVersion(), "1.0.0");
}

TEST_F(McuBootTest, WhatMayNotRunIsRefusedByTheApplication) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  ASSERT_TRUE(smp::RaiseSecurityCounter(*client_, 2).ok());
  for (const char* name : {"wrong-key-2.0.0", "wrong-hardware-2.0.0", "low-counter-2.0.0"}) {
    EXPECT_TRUE(Upload(ImagePath(name)).ok()) << name;
    EXPECT_FALSE(smp::TestImage(*client_, HashOf(name)).ok()) << name;
  }
  EXPECT_FALSE(Upload(ImagePath("too-large-2.0.0")).ok());
  const std::string truncated = folder_ + "/truncated.img";
  const std::string whole = *FileSystem::Real().ReadFile(ImagePath("good-2.0.0"));
  std::ofstream(truncated, std::ios::binary) << whole.substr(0, whole.size() - 20);
  EXPECT_TRUE(Upload(truncated).ok());
  EXPECT_FALSE(smp::TestImage(*client_, HashOf("good-2.0.0")).ok());
  Reset();
  EXPECT_EQ(RunningVersion(), "1.0.0");
}

TEST_F(McuBootTest, WhatMayNotRunIsRefusedByTheBootloader) {
  BootRecord record{.sequence = 1, .last_chosen = Slot::kA, .security_counter = 2};
  SetTrial(record, Slot::kB, 3);
  const std::pair<const char*, const char*> refused[] = {
      {"wrong-key-2.0.0", "another key"}, {"wrong-hardware-2.0.0", "other hardware"}, {"low-counter-2.0.0", "counter"}};
  for (const auto& [name, reason] : refused) {
    StartWith({.slot_a = ImagePath("good-1.0.0"), .slot_b = ImagePath(name), .record0 = RecordBytes(record)});
    EXPECT_EQ(RunningVersion(), "1.0.0") << name;
    EXPECT_THAT(mcu_->Console(), HasSubstr(reason));
    mcu_->KillHard();
  }
}

TEST_F(McuBootTest, TwoEmptySlotsAreBroughtBackBySerialRecovery) {
  StartWith({});
  EXPECT_EQ(Info().running, "recovery");
  EXPECT_FALSE(Upload(ImagePath("wrong-key-2.0.0")).ok());
  ASSERT_TRUE(Upload(ImagePath("good-2.0.0")).ok());
  Reset();
  EXPECT_EQ(RunningVersion(), "2.0.0");
}

TEST_F(McuBootTest, ALostRecordIsBegunAnewByRecovery) {
  StartWith({.slot_a = ImagePath("good-1.0.0"), .record0 = std::string(64, 'x'), .record1 = std::string(64, 'y')});
  EXPECT_EQ(Info().running, "recovery");
  ASSERT_TRUE(Upload(ImagePath("good-1.0.0")).ok());
  Reset();
  EXPECT_EQ(RunningVersion(), "1.0.0");
  EXPECT_EQ(Info().security_counter, 2U) << "that of the image that was there";
}

TEST_F(McuBootTest, RecoveryIsReachedFromAConfirmedImageThatCrashes) {
  mcu_->WriteFlash({.slot_a = ImagePath("crash-2.0.0")});
  ASSERT_TRUE(mcu_->Start());
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  mcu_->uart().copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(connect(line, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const std::string word = "tandem-recovery\n";
  bool reached = false;
  for (int i = 0; i < 30 && !reached; ++i) {
    ASSERT_EQ(send(line, word.data(), word.size(), MSG_NOSIGNAL), static_cast<ssize_t>(word.size()));
    reached = mcu_->WaitForConsole("serial recovery", 1s);
  }
  close(line);
  ASSERT_TRUE(reached);
  Connect(absl::Seconds(20));
  ASSERT_TRUE(Upload(ImagePath("good-1.0.0")).ok());
  Reset();
  EXPECT_EQ(RunningVersion(), "1.0.0");
}

TEST_F(McuBootTest, TheApplicationResetsIntoRecovery) {
  StartWith({.slot_a = ImagePath("good-1.0.0")});
  ASSERT_EQ(RunningVersion(), "1.0.0");
  ASSERT_TRUE(client_->Ask({.op = smp::SmpOp::kWrite, .group = 0, .command = 5, .body = {{"boot_mode", 1}}}).ok());
  ASSERT_TRUE(mcu_->WaitForConsole("serial recovery", 20s));
  EXPECT_EQ(Info().running, "recovery");
  Reset();
  EXPECT_EQ(RunningVersion(), "1.0.0");
}

TEST_F(McuBootTest, PowerCutsAtRandomMomentsNeverKeepItFromBooting) {
  const char* given = std::getenv("TANDEM_MCU_SEED");
  const char* count = std::getenv("TANDEM_MCU_CYCLES");
  const auto seed = given != nullptr ? static_cast<uint32_t>(std::atoi(given)) : std::random_device()();
  const int cycles = count != nullptr ? std::atoi(count) : 30;
  std::cout << "TANDEM_MCU_SEED=" << seed << "\n";
  std::mt19937 random(seed);
  mcu_->WriteFlash({.slot_a = ImagePath("good-1.0.0")});
  int updates = 0;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    SCOPED_TRACE(cycle);
    Start();
    const std::string running = RunningVersion();
    ASSERT_TRUE(running == "1.0.0" || running == "2.0.0") << running;
    // Some in the first instants, where boots and changes of slots are, some in the middle of an upload, some after it.
    const std::chrono::milliseconds longest[] = {60ms, 500ms, 2000ms};
    const std::chrono::microseconds until = longest[random() % 3] * (random() % 1000) / 1000;
    const pid_t victim = mcu_->pid();
    std::thread power([&] {
      std::this_thread::sleep_for(until);
      kill(victim, SIGKILL);
    });
    Connect(absl::Milliseconds(300));
    const std::string next = running == "1.0.0" ? "good-2.0.0" : "good-1.0.0";
    const smp::BootInfo info = Info();
    if (info.trial == info.running) {
      if (smp::ConfirmImage(*client_, HashOf("good-" + running)).ok()) ++updates;
    } else if (info.running.has_value()) {
      if (Try(next).ok()) RunningVersion();
    }
    power.join();
    mcu_->KillHard();
  }
  std::cout << cycles << " power cuts, " << updates << " updates confirmed on the way\n";
  Start();
  EXPECT_NE(RunningVersion(), "");
}

}  // namespace
}  // namespace tandem
