#include "cm/update/delivery.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cm/um_registry/um_registry.h"
#include "common/crypto/dsse.h"
#include "common/log/log.h"
#include "common/net/backoff.h"
#include "common/status/status.h"
#include "nlohmann/json.hpp"
#include "tandem/record/v1/artifact_server.pb.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem::cm {

namespace umv2 = updatemanager::v2;
using nlohmann::json;

namespace {

constexpr uint64_t kDefaultCacheLimit = uint64_t{4} << 30;
constexpr uint64_t kReadSize = 1 << 20;
constexpr absl::Duration kServeRetry = absl::Seconds(1);

bool WantsSha3(const config::v1::Node& node) { return node.profile() == config::v1::AOS8; }

// The UM fetches from the assignment's servers by itself.
bool FetchesItself(const config::v1::Node& node, const ArtifactSource& source) {
  return source.bundle_path.empty() && node.computer() == kMainComputer && !WantsSha3(node);
}

// A query, such as the signature of a presigned URL, stays behind the path.
std::string JoinUrl(const std::string& base, const std::string& path) {
  const size_t query = std::min(base.find('?'), base.size());
  return absl::StrCat(absl::StripSuffix(base.substr(0, query), "/"), "/", path, base.substr(query));
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
absl::StatusOr<std::string> Sha3Of(FileSystem& fs, const FileRange& range) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(range.path, FileSystem::OpenMode::kReadOnly));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha3_256(), nullptr);
  for (uint64_t done = 0; done < range.size;) {
    ASSIGN_OR_RETURN(const std::string piece,
                     file->ReadAt(range.offset + done, std::min(kReadSize, range.size - done)));
    if (piece.empty()) return absl::DataLossError(absl::StrCat(range.path, " is cut off"));
    EVP_DigestUpdate(context.get(), piece.data(), piece.size());
    done += piece.size();
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

ArtifactServerOptions ArtifactServerOptionsFrom(const config::v1::Artifacts& config) {
  ArtifactServerOptions options;
  if (!config.listen().empty()) options.listen = config.listen();
  options.certificate_file = config.tls().certificate();
  options.key_file = config.tls().key();
  options.ca_file = config.tls().ca();
  options.public_url = config.public_url();
  return options;
}

absl::StatusOr<std::string> MakeAnnotations(const std::string& of_release, const DesiredEnvelopes& documents,
                                            const std::vector<std::string>& mirrors) {
  json annotations = json::object();
  if (!of_release.empty()) annotations = json::parse(of_release, nullptr, /*allow_exceptions=*/false);
  if (!annotations.is_object()) return absl::InvalidArgumentError("the release's annotations are not a JSON object");
  ASSIGN_OR_RETURN(annotations["tandem"], DesiredToJson(documents));
  if (!mirrors.empty()) annotations["tandem"]["mirrors"] = mirrors;
  return annotations.dump();
}

// What CM does for one UM beside the event thread.
struct ArtifactDelivery::Job {
  uint64_t number = 0;
  Recipient recipient;
  // As it was last given; the servers and the bundle are those that the worker uses.
  ArtifactSource source;
  Done done;
  std::unique_ptr<Worker> worker;
  // Guards what follows.
  std::mutex mutex;
  std::condition_variable cancel_came;
  bool cancelled = false;
  DeliveryProgress progress{.activity = "CM fetches it", .bytes_done = {}};

  void Cancel() {
    {
      std::lock_guard lock(mutex);
      cancelled = true;
    }
    cancel_came.notify_all();
  }
  bool Cancelled() {
    std::lock_guard lock(mutex);
    return cancelled;
  }
  // False when it was cancelled meanwhile.
  bool Wait(absl::Duration delay, Workers& workers) {
    std::unique_lock lock(mutex);
    if (!cancelled) workers.Wait(lock, cancel_came, delay);
    return !cancelled;
  }
  void Say(std::string text) {
    std::lock_guard lock(mutex);
    progress.activity = std::move(text);
  }
};

ArtifactDelivery::ArtifactDelivery(EventLoop& loop, FileSystem& fs, Stager& stager, config::v1::Artifacts config,
                                   const std::string& state_dir, Workers& workers, StartHost start_host)
    : loop_(loop),
      fs_(fs),
      stager_(stager),
      config_(std::move(config)),
      cache_dir_(config_.cache_dir().empty() ? JoinPath(state_dir, "cache") : config_.cache_dir()),
      workers_(workers),
      start_host_(std::move(start_host)),
      server_record_(fs, JoinPath(state_dir, "artifacts.rec")) {}

ArtifactDelivery::~ArtifactDelivery() {
  while (!jobs_.empty()) Retire(jobs_.begin());
  for (auto& [number, job] : retired_) job->worker->Join();
}

absl::StatusOr<ArtifactHost*> ArtifactDelivery::Server() {
  if (server_ != nullptr) return server_.get();
  record::v1::ArtifactServerRecord record;
  // Without it, UMs that were fetching get new URLs.
  const absl::StatusOr<std::string> bytes = server_record_.ReadOrRestorePrevious();
  if (!bytes.ok() && !absl::IsNotFound(bytes.status())) return Annotate(bytes.status(), "artifact server");
  if (!bytes.ok() || !record.ParseFromString(*bytes) || record.token_key().size() != kArtifactTokenKeyBytes) {
    record.Clear();
    record.mutable_token_key()->resize(kArtifactTokenKeyBytes);
    if (RAND_bytes(reinterpret_cast<unsigned char*>(record.mutable_token_key()->data()), kArtifactTokenKeyBytes) != 1) {
      return absl::InternalError("artifact server: no random numbers");
    }
  }
  ArtifactServerOptions options = ArtifactServerOptionsFrom(config_);
  options.preferred_port = static_cast<int>(record.port());
  options.token_key = record.token_key();
  ASSIGN_OR_RETURN(std::unique_ptr<ArtifactHost> server, Annotate(start_host_(options), "artifact server"));
  record.set_port(static_cast<uint32_t>(server->port()));
  // Before the first URL is given out.
  if (!bytes.ok() || record.SerializeAsString() != *bytes) {
    RETURN_IF_ERROR(Annotate(server_record_.Write(record.SerializeAsString()), "artifact server"));
  }
  server_ = std::move(server);
  for (const auto& [update_id, artifacts] : to_come_) server_->Allow(update_id, artifacts);
  return server_.get();
}

absl::StatusOr<ArtifactCache*> ArtifactDelivery::Cache() {
  if (cache_ != nullptr) return cache_.get();
  const uint64_t limit = config_.cache_limit_bytes() == 0 ? kDefaultCacheLimit : config_.cache_limit_bytes();
  ASSIGN_OR_RETURN(cache_, Annotate(ArtifactCache::Open(fs_, stager_, cache_dir_, limit, workers_), "artifact cache"));
  cache_->Keep(kept_);
  return cache_.get();
}

void ArtifactDelivery::Keep(std::set<std::string> artifacts) {
  kept_ = std::move(artifacts);
  if (cache_ != nullptr) cache_->Keep(kept_);
}

void ArtifactDelivery::MakePrepare(const std::string& update_id, const Participant& participant,
                                   const config::v1::Node& node, const ArtifactSource& source, Done done) {
  if (!FetchesItself(node, source)) {
    return LocateThenServe(update_id, {.participant = participant, .node = node}, source, std::move(done));
  }
  // From a bundle that is no longer the source.
  if (const auto job = jobs_.find({update_id, participant.node_id}); job != jobs_.end()) Retire(job);
  loop_.Post([alive = std::weak_ptr<bool>(alive_), done = std::move(done), prepare = FromServers(participant, source)] {
    if (!alive.expired()) done(prepare);
  });
}

void ArtifactDelivery::Resume(const std::string& update_id, const std::vector<Recipient>& recipients,
                              const ArtifactSource& source, const Failed& failed) {
  std::map<std::string, FileRange> to_come;
  for (const Recipient& recipient : recipients) {
    if (FetchesItself(recipient.node, source)) continue;
    for (const Target& target : recipient.participant.targets) {
      if (!target.path.empty()) to_come.try_emplace(target.sha256);
    }
  }
  if (to_come.empty()) return;
  to_come_[update_id] = std::move(to_come);
  if (const absl::StatusOr<ArtifactHost*> server = Server(); server.ok()) {
    (*server)->Allow(update_id, to_come_[update_id]);
  } else {
    LogWarning("UMs that fetch from CM cannot go on yet", {{"error", ToPersonText(server.status())}});
  }
  for (const Recipient& recipient : recipients) {
    if (FetchesItself(recipient.node, source)) continue;
    LocateThenServe(update_id, recipient, source,
                    [failed, node_id = recipient.participant.node_id](const auto& prepare) {
                      if (!prepare.ok()) failed(node_id, prepare.status());
                    });
  }
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

void ArtifactDelivery::LocateThenServe(const std::string& update_id, const Recipient& recipient,
                                       const ArtifactSource& source, Done done) {
  const Participant& participant = recipient.participant;
  const JobKey key(update_id, participant.node_id);
  if (const auto found = jobs_.find(key); found != jobs_.end()) {
    Job& job = *found->second;
    if (job.source.base_urls == source.base_urls && job.source.bundle_path == source.bundle_path) {
      job.source = source;
      job.done = std::move(done);
      return;
    }
    Retire(found);
  }
  std::unique_ptr<Job>& job = jobs_[key] = std::make_unique<Job>();
  job->number = ++last_job_;
  job->recipient = recipient;
  job->source = source;
  job->done = std::move(done);
  absl::StatusOr<ArtifactCache*> cache = nullptr;
  if (source.bundle_path.empty()) cache = Cache();
  if (source.bundle_path.empty() && cache.ok()) {
    std::set<std::string> pinned;
    for (const Target& target : participant.targets) pinned.insert(target.sha256);
    const std::string pin = absl::StrCat(update_id, "/", participant.node_id);
    (*cache)->Pin(pin, pinned);
    pins_[update_id].insert(pin);
  }
  job->worker = workers_.Start([this, alive = std::weak_ptr<bool>(alive_), key, recipient, source, cache,
                                job = job.get(), number = job->number] {
    absl::StatusOr<LocatedArtifacts> located = Locate(*job, recipient, source, cache);
    loop_.Post([this, alive, key, number, located = std::move(located)] {
      if (!alive.expired()) Finish(key, number, located);
    });
  });
}

void ArtifactDelivery::Retire(Jobs::iterator job) {
  job->second->Cancel();
  if (job->second->worker != nullptr) retired_[job->second->number] = std::move(job->second);
  jobs_.erase(job);
}

void ArtifactDelivery::Finish(const JobKey& key, uint64_t number, const absl::StatusOr<LocatedArtifacts>& located) {
  if (const auto retired = retired_.find(number); retired != retired_.end()) {
    retired->second->worker->Join();
    retired_.erase(retired);
    return;
  }
  const auto found = jobs_.find(key);
  if (found == jobs_.end() || found->second->number != number) return;
  Job& job = *found->second;
  if (job.worker != nullptr) job.worker->Join();
  job.worker = nullptr;
  absl::StatusOr<umv2::PrepareUpdate> prepare =
      located.ok() ? Serve(key.first, job.recipient, job.source, *located) : located.status();
  // Such as a port that somebody still holds.
  if (located.ok() && IsTransient(prepare.status())) {
    job.Say(absl::StrCat("CM tries again: ", ToPersonText(prepare.status())));
    loop_.PostAfter(kServeRetry, [this, alive = std::weak_ptr<bool>(alive_), key, number, located] {
      if (!alive.expired()) Finish(key, number, located);
    });
    return;
  }
  const Done answer = std::move(job.done);
  jobs_.erase(found);
  answer(std::move(prepare));
}

absl::StatusOr<ArtifactDelivery::LocatedArtifacts> ArtifactDelivery::Locate(
    Job& job, const Recipient& recipient, const ArtifactSource& source,
    const absl::StatusOr<ArtifactCache*>& cache) const {
  Backoff backoff;
  for (;;) {
    absl::StatusOr<LocatedArtifacts> located = LocateOnce(job, recipient, source, cache);
    if (located.ok() || !IsTransient(located.status())) return located;
    const absl::Duration delay = backoff.Next();
    job.Say(absl::StrCat("CM tries again in ", absl::FormatDuration(absl::Trunc(delay, absl::Milliseconds(100))), ": ",
                         ToPersonText(located.status())));
    if (!job.Wait(delay, workers_)) return absl::CancelledError("no longer wanted");
  }
}

absl::StatusOr<ArtifactDelivery::LocatedArtifacts> ArtifactDelivery::LocateOnce(
    Job& job, const Recipient& recipient, const ArtifactSource& source,
    const absl::StatusOr<ArtifactCache*>& cache) const {
  const bool from_bundle = !source.bundle_path.empty();
  Bundle bundle;
  if (from_bundle) {
    job.Say("CM reads the bundle");
    ASSIGN_OR_RETURN(bundle, OpenBundle(source.bundle_path));
  } else {
    RETURN_IF_ERROR(cache.status());
  }
  LocatedArtifacts located;
  for (const Target& target : recipient.participant.targets) {
    if (target.path.empty()) continue;
    Located& artifact = located[target.sha256];
    if (from_bundle) {
      const auto found = bundle.artifacts.find(target.sha256);
      if (found == bundle.artifacts.end()) {
        return absl::NotFoundError(absl::StrCat("bundle ", source.bundle_path, " has no artifact for ",
                                                target.component_type, " ", target.version));
      }
      artifact.range = found->second;
    } else {
      RETURN_IF_ERROR(FetchIntoCache(job, target, source, **cache));
      ASSIGN_OR_RETURN(artifact.range.path, (*cache)->Path(target.sha256));
      artifact.range.size = target.size;
    }
    if (WantsSha3(recipient.node)) {
      ASSIGN_OR_RETURN(artifact.sha3, Sha3Of(fs_, artifact.range));
    }
  }
  return located;
}

absl::Status ArtifactDelivery::FetchIntoCache(Job& job, const Target& target, const ArtifactSource& source,
                                              ArtifactCache& cache) const {
  StageRequest request{.urls = {}, .headers = {}, .sha256 = target.sha256, .size = target.size, .chunk_digests = {}};
  for (const std::string& base : source.base_urls) request.urls.push_back(JoinUrl(base, target.path));
  request.ca_file = config_.client_tls().ca();
  request.certificate_file = config_.client_tls().certificate();
  request.key_file = config_.client_tls().key();
  if (config_.min_bytes_per_second() != 0) request.min_bytes_per_second = config_.min_bytes_per_second();
  FillChunks(target, source.documents, request);
  return cache.Fetch(request,
                     {.progress =
                          [&](uint64_t bytes) {
                            std::lock_guard lock(job.mutex);
                            job.progress.bytes_done[target.sha256] = bytes;
                            job.progress.activity = "CM fetches it";
                          },
                      .cancelled = [&] { return job.Cancelled(); },
                      .activity = [&](const std::string& text) { job.Say(absl::StrCat("CM fetches it: ", text)); }});
}

absl::StatusOr<umv2::PrepareUpdate> ArtifactDelivery::Serve(const std::string& update_id, const Recipient& recipient,
                                                            const ArtifactSource& source,
                                                            const LocatedArtifacts& located) {
  ASSIGN_OR_RETURN(ArtifactHost * server, Server());
  umv2::PrepareUpdate prepare;
  for (const Target& target : recipient.participant.targets) {
    umv2::PrepareComponentInfo& info = *prepare.add_components();
    info = DescribeTarget(target);
    if (target.path.empty()) continue;
    const Located& artifact = located.at(target.sha256);
    info.set_url(server->UrlOf(server->Allow(update_id, {{target.sha256, artifact.range}}), target.sha256));
    if (WantsSha3(recipient.node)) {
      // An Aos UM knows nothing of our documents.
      info.set_sha256(artifact.sha3);
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
  to_come_.erase(update_id);
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    const auto next = std::next(job);
    if (job->first.first == update_id) Retire(job);
    job = next;
  }
  if (cache_ == nullptr) return;
  for (const std::string& pin : std::exchange(pins_[update_id], {})) cache_->Unpin(pin);
  pins_.erase(update_id);
}

}  // namespace tandem::cm
