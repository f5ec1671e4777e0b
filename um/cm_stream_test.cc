#include "um/cm_stream.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "updatemanager/v2/updatemanager.grpc.pb.h"

namespace tandem::um {
namespace {

namespace umv2 = updatemanager::v2;

// Sends one command to whoever registers, and then listens.
class OneCommandServer : public umv2::UMService::Service {
 public:
  explicit OneCommandServer(umv2::CMMessages command) : command_(std::move(command)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  std::string address() const { return absl::StrCat("unix:", testing::TempDir(), "/cm_stream_", getpid(), ".sock"); }

  grpc::Status RegisterUM(grpc::ServerContext*,
                          grpc::ServerReaderWriter<umv2::CMMessages, umv2::UpdateStatus>* stream) override {
    stream->Write(command_);
    umv2::UpdateStatus status;
    while (stream->Read(&status)) continue;
    return grpc::Status::OK;
  }

 private:
  const umv2::CMMessages command_;
  std::unique_ptr<grpc::Server> server_;
};

class CmStreamTest : public testing::Test {
 protected:
  void Connect(const OneCommandServer& server) {
    stream_ = std::make_unique<CmStream>(
        loop_, OpenChannelToCm(server.address(), {}).value(), "um",
        CmStream::Callbacks{.connected = [](CmStream::Send send) { send({}); },
                            .message = [this](const umv2::CMMessages& message) { received_ = message; },
                            .disconnected = [] {}});
    stream_->Start();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (received_.CMMessage_case() == umv2::CMMessages::CMMESSAGE_NOT_SET &&
           std::chrono::steady_clock::now() < deadline) {
      loop_.RunReady();
      std::this_thread::yield();
    }
  }

  EventLoop loop_{Clock::Real()};
  umv2::CMMessages received_;
  std::unique_ptr<CmStream> stream_;
};

TEST_F(CmStreamTest, ACommandMayBeLarge) {
  umv2::CMMessages command;
  command.mutable_prepare_update()->add_components()->set_annotations(std::string(40 << 20, 'a'));
  const OneCommandServer server(command);
  Connect(server);
  ASSERT_EQ(received_.prepare_update().components_size(), 1);
  EXPECT_EQ(received_.prepare_update().components(0).annotations().size(), 40u << 20);
}

TEST_F(CmStreamTest, AfterStopTheLoopIsNoLongerUsed) {
  umv2::CMMessages command;
  command.mutable_start_update();
  const OneCommandServer server(command);
  Connect(server);
  ASSERT_TRUE(received_.has_start_update());
  loop_.RunReady();
  stream_->Stop();
  EXPECT_EQ(loop_.RunReady(), 1) << "the end of the stream is posted by the time Stop() returns";
}

}  // namespace
}  // namespace tandem::um
