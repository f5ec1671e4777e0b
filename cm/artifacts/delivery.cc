#include "cm/artifacts/delivery.h"

#include <openssl/evp.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cm/um_registry/um_registry.h"
#include "common/crypto/dsse.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "nlohmann/json.hpp"
#include "tandem/release/v1/release.pb.h"

namespace tandem::cm {

namespace umv2 = updatemanager::v2;
using nlohmann::json;

namespace {

// Among the pins of updates, whose ids begin with a digit.
constexpr char kRollbackPin[] = "rollback";
constexpr uint64_t kDefaultCacheLimit = uint64_t{4} << 30;

std::string JoinUrl(const std::string& base, const std::string& path) {
  return absl::StrCat(absl::StripSuffix(base, "/"), "/", path);
}

umv2::PrepareComponentInfo DescribeTarget(const Target& target) {
  umv2::PrepareComponentInfo info;
  info.set_component_id(target.component_id);
  info.set_component_type(target.component_type);
  info.set_version(target.version);
  info.set_sha256(target.sha256);
  info.set_size(target.size);
  info.set_annotations(target.annotations);
  info.set_security_version(target.security_version);
  return info;
}

// What an Aos 8 UM expects in `sha256`.
absl::StatusOr<std::string> Sha3OfFile(FileSystem& fs, const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, FileSystem::OpenMode::kReadOnly));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha3_256(), nullptr);
  for (uint64_t offset = 0;;) {
    ASSIGN_OR_RETURN(const std::string piece, file->ReadAt(offset, 1 << 20));
    if (piece.empty()) break;
    EVP_DigestUpdate(context.get(), piece.data(), piece.size());
    offset += piece.size();
  }
  std::string digest(32, '\0');
  EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

// The chunk digests of a target, from the release that names it.
void FillChunks(const Target& target, const DesiredEnvelopes& documents, StageRequest& request) {
  for (const std::string& text : documents.releases) {
    const absl::StatusOr<DsseEnvelope> envelope = ParseDsse(text);
    release::v1::Release release;
    if (!envelope.ok() || !release.ParseFromString(envelope->payload)) continue;
    for (const auto& component : release.components()) {
      if (component.sha256() != target.sha256) continue;
      request.chunk_size = component.chunks().chunk_size();
      request.chunk_digests = component.chunks().digests();
      return;
    }
  }
}

}  // namespace

absl::StatusOr<std::string> MakeAnnotations(const std::string& of_release, const DesiredEnvelopes& documents,
                                            const std::vector<std::string>& mirrors) {
  json annotations = json::object();
  if (!of_release.empty()) annotations = json::parse(of_release, nullptr, /*allow_exceptions=*/false);
  if (!annotations.is_object()) return absl::InvalidArgumentError("the release's annotations are not a JSON object");
  ASSIGN_OR_RETURN(const std::string desired, SerializeDesired(documents));
  annotations["tandem"] = json::parse(desired);
  if (!mirrors.empty()) annotations["tandem"]["mirrors"] = mirrors;
  return annotations.dump();
}

// A download for a UM on another computer.
struct ArtifactDelivery::Job {
  std::atomic<bool> cancelled = false;
  Done done;
  std::thread worker;
  // Guards what the worker tells.
  std::mutex mutex;
  DeliveryProgress progress{.activity = "CM fetches it", .bytes_done = {}};
};

ArtifactDelivery::ArtifactDelivery(EventLoop& loop, FileSystem& fs, Stager& stager, config::v1::Artifacts config,
                                   std::string default_cache_dir)
    : loop_(loop),
      fs_(fs),
      stager_(stager),
      config_(std::move(config)),
      cache_dir_(config_.cache_dir().empty() ? std::move(default_cache_dir) : config_.cache_dir()) {}

ArtifactDelivery::~ArtifactDelivery() {
  alive_.reset();
  for (auto& [key, job] : jobs_) job->cancelled = true;
  for (auto& [key, job] : jobs_) job->worker.join();
}

absl::StatusOr<ArtifactServer*> ArtifactDelivery::Server() {
  if (server_ != nullptr) return server_.get();
  ArtifactServerOptions options;
  if (!config_.listen().empty()) options.listen = config_.listen();
  options.certificate_file = config_.tls().certificate();
  options.key_file = config_.tls().key();
  options.ca_file = config_.tls().ca();
  options.public_url = config_.public_url();
  ASSIGN_OR_RETURN(server_, Annotate(ArtifactServer::Start(options), "artifact server"));
  return server_.get();
}

absl::StatusOr<ArtifactCache*> ArtifactDelivery::Cache() {
  if (cache_ != nullptr) return cache_.get();
  const uint64_t limit = config_.cache_limit_bytes() == 0 ? kDefaultCacheLimit : config_.cache_limit_bytes();
  ASSIGN_OR_RETURN(cache_, Annotate(ArtifactCache::Open(fs_, stager_, cache_dir_, limit), "artifact cache"));
  cache_->Pin(kRollbackPin, kept_);
  return cache_.get();
}

void ArtifactDelivery::Keep(std::set<std::string> artifacts) {
  kept_ = std::move(artifacts);
  if (cache_ == nullptr) return;
  cache_->Unpin(kRollbackPin);
  cache_->Pin(kRollbackPin, kept_);
}

void ArtifactDelivery::MakePrepare(const std::string& update_id, const Participant& participant,
                                   const config::v1::Node& node, const ArtifactSource& source, Done done) {
  const bool sha3 = node.profile() == config::v1::AOS8;
  absl::StatusOr<umv2::PrepareUpdate> prepare;
  if (!source.bundle_path.empty()) {
    prepare = FromBundle(update_id, participant, source);
  } else if (node.computer() == kMainComputer && !sha3) {
    prepare = FromServers(participant, source);
  } else {
    return FetchThenServe(update_id, participant, sha3, source, std::move(done));
  }
  loop_.Post([alive = std::weak_ptr<bool>(alive_), done = std::move(done), prepare = std::move(prepare)] {
    if (!alive.expired()) done(prepare);
  });
}

absl::StatusOr<umv2::PrepareUpdate> ArtifactDelivery::FromServers(const Participant& participant,
                                                                  const ArtifactSource& source) const {
  umv2::PrepareUpdate prepare;
  for (const Target& target : participant.targets) {
    umv2::PrepareComponentInfo& info = *prepare.add_components();
    info = DescribeTarget(target);
    if (target.path.empty()) continue;
    if (source.base_urls.empty()) {
      return absl::FailedPreconditionError("the assignment has no base_urls, so there is nowhere to fetch from");
    }
    info.set_url(JoinUrl(source.base_urls.front(), target.path));
    std::vector<std::string> mirrors;
    for (size_t i = 1; i < source.base_urls.size(); ++i) mirrors.push_back(JoinUrl(source.base_urls[i], target.path));
    ASSIGN_OR_RETURN(*info.mutable_annotations(), MakeAnnotations(target.annotations, source.documents, mirrors));
  }
  return prepare;
}

absl::StatusOr<umv2::PrepareUpdate> ArtifactDelivery::FromBundle(const std::string& update_id,
                                                                 const Participant& participant,
                                                                 const ArtifactSource& source) {
  ASSIGN_OR_RETURN(const Bundle bundle, OpenBundle(source.bundle_path));
  ASSIGN_OR_RETURN(ArtifactServer * server, Server());
  umv2::PrepareUpdate prepare;
  for (const Target& target : participant.targets) {
    umv2::PrepareComponentInfo& info = *prepare.add_components();
    info = DescribeTarget(target);
    if (target.path.empty()) continue;
    const auto found = bundle.artifacts.find(target.sha256);
    if (found == bundle.artifacts.end()) {
      return absl::NotFoundError(absl::StrCat("bundle ", source.bundle_path, " has no artifact for ",
                                              target.component_type, " ", target.version));
    }
    info.set_url(server->UrlOf(server->Allow(update_id, {*found}), target.sha256));
    ASSIGN_OR_RETURN(*info.mutable_annotations(), MakeAnnotations(target.annotations, source.documents, {}));
  }
  return prepare;
}

void ArtifactDelivery::FetchThenServe(const std::string& update_id, const Participant& participant, bool sha3,
                                      const ArtifactSource& source, Done done) {
  std::unique_ptr<Job>& job = jobs_[{update_id, participant.node_id}];
  if (job != nullptr) {
    job->done = std::move(done);
    return;
  }
  const absl::StatusOr<ArtifactCache*> cache = Cache();
  job = std::make_unique<Job>();
  job->done = std::move(done);
  if (cache.ok()) {
    std::set<std::string> pinned;
    for (const Target& target : participant.targets) pinned.insert(target.sha256);
    const std::string pin = absl::StrCat(update_id, "/", participant.node_id);
    (*cache)->Pin(pin, pinned);
    pins_[update_id].insert(pin);
  }
  job->worker = std::thread([this, update_id, participant, sha3, source, cache, job = job.get()] {
    absl::Status status = cache.status();
    for (const Target& target : participant.targets) {
      if (!status.ok()) break;
      if (target.path.empty()) continue;
      StageRequest request{
          .urls = {}, .headers = {}, .sha256 = target.sha256, .size = target.size, .chunk_digests = {}};
      for (const std::string& base : source.base_urls) request.urls.push_back(JoinUrl(base, target.path));
      request.ca_file = config_.client_tls().ca();
      request.certificate_file = config_.client_tls().certificate();
      request.key_file = config_.client_tls().key();
      if (config_.min_bytes_per_second() != 0) request.min_bytes_per_second = config_.min_bytes_per_second();
      FillChunks(target, source.documents, request);
      status = (*cache)->Fetch(request, {.progress =
                                             [job, &target](uint64_t bytes) {
                                               std::lock_guard lock(job->mutex);
                                               job->progress.bytes_done[target.sha256] = bytes;
                                               job->progress.activity = "CM fetches it";
                                             },
                                         .cancelled = [job] { return job->cancelled.load(); },
                                         .activity =
                                             [job](const std::string& text) {
                                               std::lock_guard lock(job->mutex);
                                               job->progress.activity = absl::StrCat("CM fetches it: ", text);
                                             }});
    }
    loop_.Post([this, alive = std::weak_ptr<bool>(alive_), update_id, participant, sha3, source, status] {
      if (alive.expired()) return;
      auto found = jobs_.find({update_id, participant.node_id});
      if (found == jobs_.end()) return;
      found->second->worker.join();
      const Done answer = std::move(found->second->done);
      jobs_.erase(found);
      answer(status.ok() ? Serve(update_id, participant, sha3, source) : absl::StatusOr<umv2::PrepareUpdate>(status));
    });
  });
}

absl::StatusOr<umv2::PrepareUpdate> ArtifactDelivery::Serve(const std::string& update_id,
                                                            const Participant& participant, bool sha3,
                                                            const ArtifactSource& source) {
  ASSIGN_OR_RETURN(ArtifactServer * server, Server());
  ASSIGN_OR_RETURN(ArtifactCache * cache, Cache());
  umv2::PrepareUpdate prepare;
  for (const Target& target : participant.targets) {
    umv2::PrepareComponentInfo& info = *prepare.add_components();
    info = DescribeTarget(target);
    if (target.path.empty()) continue;
    ASSIGN_OR_RETURN(const std::string path, cache->Path(target.sha256));
    const FileRange range{.path = path, .offset = 0, .size = target.size};
    info.set_url(server->UrlOf(server->Allow(update_id, {{target.sha256, range}}), target.sha256));
    if (sha3) {
      // An Aos UM knows nothing of our documents.
      ASSIGN_OR_RETURN(*info.mutable_sha256(), Sha3OfFile(fs_, path));
    } else {
      ASSIGN_OR_RETURN(*info.mutable_annotations(), MakeAnnotations(target.annotations, source.documents, {}));
    }
  }
  return prepare;
}

std::optional<DeliveryProgress> ArtifactDelivery::Progress(const std::string& update_id,
                                                           const std::string& node_id) const {
  const auto job = jobs_.find({update_id, node_id});
  if (job == jobs_.end()) return std::nullopt;
  std::lock_guard lock(job->second->mutex);
  return job->second->progress;
}

void ArtifactDelivery::Forget(const std::string& update_id) {
  if (server_ != nullptr) server_->Revoke(update_id);
  for (auto& [key, job] : jobs_) {
    if (key.first != update_id) continue;
    job->cancelled = true;
    job->done = [](const auto&) {};
  }
  if (cache_ == nullptr) return;
  for (const std::string& pin : std::exchange(pins_[update_id], {})) cache_->Unpin(pin);
  pins_.erase(update_id);
}

}  // namespace tandem::cm
