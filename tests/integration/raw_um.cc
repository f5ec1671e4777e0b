#include "tests/integration/raw_um.h"

#include <chrono>
#include <utility>

#include "grpcpp/create_channel.h"

namespace tandem {

namespace umv2 = updatemanager::v2;

RawUm::RawUm(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  // Each is a peer of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  stub_ = umv2::UMService::NewStub(grpc::CreateCustomChannel(address, credentials, arguments));
  stream_ = stub_->RegisterUM(&context_);
  reader_ = std::thread([this] {
    umv2::CMMessages message;
    while (stream_->Read(&message)) {
      std::lock_guard lock(mutex_);
      commands_.push_back(message);
      changed_.notify_all();
    }
    grpc::Status status = stream_->Finish();
    std::lock_guard lock(mutex_);
    end_ = std::move(status);
    changed_.notify_all();
  });
}

RawUm::~RawUm() {
  context_.TryCancel();
  reader_.join();
}

void RawUm::Send(const umv2::UpdateStatus& status) { stream_->Write(status); }

std::optional<umv2::CMMessages> RawUm::Next(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] { return !commands_.empty() || end_.has_value(); });
  if (commands_.empty()) return std::nullopt;
  umv2::CMMessages next = std::move(commands_.front());
  commands_.pop_front();
  return next;
}

std::optional<grpc::Status> RawUm::WaitForEnd(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] { return end_.has_value(); });
  return end_;
}

bool RawUm::ended() {
  std::lock_guard lock(mutex_);
  return end_.has_value();
}

umv2::UpdateStatus IdleStatus(const std::string& node_id, const std::string& version) {
  umv2::UpdateStatus status;
  status.set_node_id(node_id);
  status.set_priority(10);
  umv2::ComponentStatus& component = *status.add_components();
  component.set_component_id(node_id);
  component.set_component_type(node_id + "-type");
  component.set_version(version);
  return status;
}

}  // namespace tandem
