#include "um/cm_stream.h"

#include <unistd.h>

#include <chrono>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "updatemanager/v2/updatemanager.grpc.pb.h"

namespace tandem::um {
namespace {

namespace umv2 = updatemanager::v2;

// Sends a command, if it has one, to whoever registers, and then listens.
class OneCommandServer : public umv2::UMService::Service {
 public:
  explicit OneCommandServer(std::optional<umv2::CMMessages> command) : command_(std::move(command)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  std::string address() const { return absl::StrCat("unix:", testing::TempDir(), "/cm_stream_", getpid(), ".sock"); }

  grpc::Status RegisterUM(grpc::ServerContext*,
                          grpc::ServerReaderWriter<umv2::CMMessages, umv2::UpdateStatus>* stream) override {
    if (command_.has_value()) stream->Write(*command_);
    umv2::UpdateStatus status;
    while (stream->Read(&status)) continue;
    return grpc::Status::OK;
  }

 private:
  const std::optional<umv2::CMMessages> command_;
  std::unique_ptr<grpc::Server> server_;
};

class CmStreamTest : public testing::Test {
 protected:
  void Open(const OneCommandServer& server) {
    stream_ = std::make_unique<CmStream>(
        loop_, OpenChannelToCm(server.address(), {}).value(), "um",
        CmStream::Callbacks{.connected = [](CmStream::Send send) { send({}); },
                            .message = [this](const umv2::CMMessages& message) { received_ = message; },
                            .disconnected = [] {}});
    stream_->Start();
  }

  EventLoop loop_{Clock::Real()};
  umv2::CMMessages received_;
  std::unique_ptr<CmStream> stream_;
};

TEST_F(CmStreamTest, ACommandMayBeLarge) {
  umv2::CMMessages command;
  command.mutable_prepare_update()->add_components()->set_annotations(std::string(40 << 20, 'a'));
  const OneCommandServer server(command);
  Open(server);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!received_.has_prepare_update() && std::chrono::steady_clock::now() < deadline) {
    loop_.RunReady();
    std::this_thread::yield();
  }
  // The server waits for its streams when it ends.
  stream_->Stop();
  ASSERT_EQ(received_.prepare_update().components_size(), 1);
  EXPECT_EQ(received_.prepare_update().components(0).annotations().size(), 40u << 20);
}

TEST_F(CmStreamTest, AfterStopTheLoopIsNoLongerUsed) {
  const OneCommandServer server(std::nullopt);
  for (int i = 0; i < 300; ++i) {
    Open(server);
    for (int turn = 0; turn < i; ++turn) std::this_thread::yield();
    stream_->Stop();
    ASSERT_EQ(loop_.RunReady(), 1) << "the end of the stream is posted by the time Stop() returns";
  }
}

}  // namespace
}  // namespace tandem::um
