// A UM played by the test itself, with whatever credentials and statuses the test likes.
#ifndef TANDEM_TESTS_INTEGRATION_RAW_UM_H_
#define TANDEM_TESTS_INTEGRATION_RAW_UM_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"
#include "updatemanager/v2/updatemanager.grpc.pb.h"

namespace tandem {

// One RegisterUM stream. Thread-safe.
class RawUm {
 public:
  RawUm(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials);
  // Drops the stream.
  ~RawUm();
  RawUm(const RawUm&) = delete;
  RawUm& operator=(const RawUm&) = delete;

  void Send(const updatemanager::v2::UpdateStatus& status);
  // The next command; nullopt when none comes in time or the stream has ended.
  std::optional<updatemanager::v2::CMMessages> Next(absl::Duration timeout = absl::Seconds(20));
  // How CM ended the stream; nullopt when it lives on.
  std::optional<grpc::Status> WaitForEnd(absl::Duration timeout = absl::Seconds(20));
  bool ended();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<updatemanager::v2::UMService::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<updatemanager::v2::UpdateStatus, updatemanager::v2::CMMessages>> stream_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<updatemanager::v2::CMMessages> commands_;
  std::optional<grpc::Status> end_;
  std::thread reader_;
};

// IDLE with one installed component, named after the node.
updatemanager::v2::UpdateStatus IdleStatus(const std::string& node_id, const std::string& version = "1.0");

}  // namespace tandem

#endif  // TANDEM_TESTS_INTEGRATION_RAW_UM_H_
