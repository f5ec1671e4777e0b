#include "tests/integration/aos_um.h"

#include <openssl/evp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/curl_http_fetcher.h"
#include "tests/integration/raw_um.h"

namespace tandem {

namespace umv2 = updatemanager::v2;

namespace {

// A real one waits for ten seconds.
constexpr absl::Duration kReconnect = absl::Milliseconds(700);

std::string Sha3(const std::string& bytes) {
  std::string digest(32, '\0');
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha3_256(),
             nullptr);
  return digest;
}

}  // namespace

void Journal::Add(const std::string& entry) {
  std::lock_guard lock(mutex_);
  entries_.push_back(entry);
}

std::vector<std::string> Journal::entries() {
  std::lock_guard lock(mutex_);
  return entries_;
}

AosUm::AosUm(std::string address, std::string node_id, uint32_t priority, Journal& journal,
             std::set<std::string> crashes)
    : address_(std::move(address)),
      node_id_(std::move(node_id)),
      priority_(priority),
      journal_(journal),
      crashes_(std::move(crashes)) {
  thread_ = std::thread([this] {
    Run([this] {
      std::lock_guard lock(mutex_);
      return stop_;
    });
  });
}

AosUm::~AosUm() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  thread_.join();
}

void AosUm::Run(const std::function<bool()>& stopped) {
  while (!stopped()) {
    {
      RawUm stream(address_, grpc::InsecureChannelCredentials());
      stream.Send(Status());
      bool runs = true;
      while (runs && !stopped() && !stream.ended()) {
        const auto command = stream.Next(absl::Milliseconds(50));
        if (!command.has_value()) continue;
        const umv2::UpdateState before = state_;
        runs = Handle(*command);
        if (runs && state_ != before) stream.Send(Status());
      }
    }
    const absl::Time end = absl::Now() + kReconnect;
    while (!stopped() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(20));
  }
}

umv2::UpdateStatus AosUm::Status() const {
  umv2::UpdateStatus status = IdleStatus(node_id_, installed_);
  status.set_priority(priority_);
  status.set_update_state(state_);
  if (!error_.empty()) status.mutable_error()->set_message(error_);
  if (state_ == umv2::IDLE || installing_.empty()) return status;
  umv2::ComponentStatus& coming = *status.add_components();
  coming = status.components(0);
  coming.set_version(installing_);
  coming.set_state(state_ == umv2::FAILED ? umv2::ERROR : umv2::INSTALLING);
  return status;
}

bool AosUm::Crashes(const std::string& step) {
  journal_.Add(absl::StrCat(node_id_, " ", step));
  return crashes_.erase(step) > 0;
}

bool AosUm::Handle(const umv2::CMMessages& command) {
  if (command.has_prepare_update() && state_ == umv2::IDLE) {
    // The staged update is lost: it stays IDLE.
    if (Crashes("prepare")) return false;
    Prepare(command.prepare_update());
  } else if (command.has_start_update() && state_ == umv2::PREPARED) {
    if (Crashes("start")) return false;
    state_ = umv2::UPDATED;
  } else if (command.has_apply_update() && state_ == umv2::UPDATED) {
    if (Crashes("apply")) return false;
    installed_ = std::exchange(installing_, "");
    state_ = umv2::IDLE;
  } else if (command.has_revert_update() && (state_ == umv2::UPDATED || state_ == umv2::FAILED)) {
    journal_.Add(absl::StrCat(node_id_, " revert"));
    installing_.clear();
    error_.clear();
    state_ = umv2::IDLE;
  }
  return true;
}

void AosUm::Prepare(const umv2::PrepareUpdate& prepare) {
  const umv2::PrepareComponentInfo& info = prepare.components(0);
  installing_ = info.version();
  std::string bytes;
  CurlHttpFetcher fetcher;
  FetchRequest request;
  request.url = info.url();
  const absl::Status fetched = fetcher.Fetch(request, [&](std::string_view piece) {
    bytes.append(piece);
    return absl::OkStatus();
  });
  if (!fetched.ok()) {
    error_ = absl::StrCat("fetch: ", fetched.message());
  } else if (Sha3(bytes) != info.sha256() || bytes.size() != info.size()) {
    error_ = "checksum mismatch";
  }
  state_ = error_.empty() ? umv2::PREPARED : umv2::FAILED;
}

}  // namespace tandem
