// How the artifacts of an update reach each UM: the PrepareUpdate that CM sends it.
//
// A UM on CM's computer is pointed at the assignment's own servers. For a UM elsewhere CM fetches into its cache and
// serves from there, with a token of this update. An offline bundle is served from inside the tar. URLs that CM has
// given out stay good over its restart: see Resume().
#ifndef TANDEM_CM_UPDATE_DELIVERY_H_
#define TANDEM_CM_UPDATE_DELIVERY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cm/artifacts/artifact_server.h"
#include "cm/artifacts/cache.h"
#include "cm/update/machine/unit_update.h"
#include "common/crypto/desired_documents.h"
#include "common/storage/durable_record.h"
#include "common/time/event_loop.h"
#include "common/time/workers.h"
#include "tandem/config/v1/cm.pb.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem::cm {

// Where an update's bytes are.
struct ArtifactSource {
  // In order of preference; component paths are appended.
  std::vector<std::string> base_urls;
  // An offline bundle instead; empty: none.
  std::string bundle_path;
  // What the UM may check.
  DesiredEnvelopes documents;
};

// A UM, and what it gets.
struct Recipient {
  Participant participant;
  config::v1::Node node;
};

// A download of CM for one UM.
struct DeliveryProgress {
  // For a person: "fetching", "trying again in 5 s: connection refused".
  std::string activity;
  // Of each artifact that was begun, by SHA-256.
  std::map<std::string, uint64_t> bytes_done;
};

// Used on the event thread.
class ArtifactDelivery {
 public:
  using Done = std::function<void(absl::StatusOr<updatemanager::v2::PrepareUpdate>)>;
  using Failed = std::function<void(const std::string& node_id, const absl::Status& why)>;

  using StartHost = std::function<absl::StatusOr<std::unique_ptr<ArtifactHost>>(const ArtifactServerOptions& options)>;

  // All references must outlive it. The cache is opened and the server started at first need. What makes URLs lasting
  // is kept in {state_dir}/artifacts.rec. Downloads run on `workers`.
  ArtifactDelivery(EventLoop& loop, FileSystem& fs, Stager& stager, config::v1::Artifacts config,
                   const std::string& state_dir, Workers& workers = Workers::Threads(),
                   StartHost start_host = ArtifactServer::Start);
  // Cancels running downloads and waits for them.
  ~ArtifactDelivery();

  ArtifactDelivery(const ArtifactDelivery&) = delete;
  ArtifactDelivery& operator=(const ArtifactDelivery&) = delete;

  // Calls `done` on the event thread, later. Asked again for the same update and UM while it fetches, it goes on, from
  // the new source if that is another one, and answers only the latest `done`. What may pass is tried again until
  // Forget(); an error is for good.
  void MakePrepare(const std::string& update_id, const Participant& participant, const config::v1::Node& node,
                   const ArtifactSource& source, Done done);

  // After CM's restart, for UMs that were told to prepare, all in one call: those that were still fetching from CM find
  // their URLs again, which answer "try again" until the bytes are found in the bundle, or in the cache, where what is
  // missing is fetched. `failed` is called on the event thread, later, when they cannot be had.
  void Resume(const std::string& update_id, const std::vector<Recipient>& recipients, const ArtifactSource& source,
              const Failed& failed);

  // nullopt when CM fetches nothing for this UM now.
  std::optional<DeliveryProgress> Progress(const std::string& update_id, const std::string& node_id) const;

  // Artifacts (SHA-256, 32 bytes each) that a rollback may need: until another set is given they stay in the cache
  // unless an update has no room beside them.
  void Keep(std::set<std::string> artifacts);

  // The update is over: its token is worth nothing, its artifacts may be evicted unless they are kept.
  void Forget(const std::string& update_id);

 private:
  struct Job;
  // Update and node.
  using JobKey = std::pair<std::string, std::string>;
  using Jobs = std::map<JobKey, std::unique_ptr<Job>>;
  // Where CM has an artifact.
  struct Located {
    FileRange range;
    // For an Aos UM.
    std::string sha3;
  };
  // By SHA-256.
  using LocatedArtifacts = std::map<std::string, Located>;

  absl::StatusOr<ArtifactHost*> Server();
  absl::StatusOr<ArtifactCache*> Cache();
  absl::StatusOr<updatemanager::v2::PrepareUpdate> FromServers(const Participant& participant,
                                                               const ArtifactSource& source) const;
  void LocateThenServe(const std::string& update_id, const Recipient& recipient, const ArtifactSource& source,
                       Done done);
  // It answers nobody any more; its work is joined when it has ended by itself.
  void Retire(Jobs::iterator job);
  // As the job's work.
  absl::StatusOr<LocatedArtifacts> Locate(Job& job, const Recipient& recipient, const ArtifactSource& source,
                                          const absl::StatusOr<ArtifactCache*>& cache) const;
  absl::StatusOr<LocatedArtifacts> LocateOnce(Job& job, const Recipient& recipient, const ArtifactSource& source,
                                              const absl::StatusOr<ArtifactCache*>& cache) const;
  absl::Status FetchIntoCache(Job& job, const Target& target, const ArtifactSource& source, ArtifactCache& cache) const;
  // On the event thread again.
  void Finish(const JobKey& key, uint64_t number, const absl::StatusOr<LocatedArtifacts>& located);
  absl::StatusOr<updatemanager::v2::PrepareUpdate> Serve(const std::string& update_id, const Recipient& recipient,
                                                         const ArtifactSource& source, const LocatedArtifacts& located);

  EventLoop& loop_;
  FileSystem& fs_;
  Stager& stager_;
  const config::v1::Artifacts config_;
  const std::string cache_dir_;
  Workers& workers_;
  const StartHost start_host_;
  DurableRecord server_record_;
  std::unique_ptr<ArtifactCache> cache_;
  std::unique_ptr<ArtifactHost> server_;
  // What UMs of an update that goes on may ask for already, for when the server starts.
  std::map<std::string, std::map<std::string, FileRange>> to_come_;
  Jobs jobs_;
  // Cancelled, but their work goes on; by number.
  std::map<uint64_t, std::unique_ptr<Job>> retired_;
  uint64_t last_job_ = 0;
  // Names under which artifacts are pinned in the cache, by update.
  std::map<std::string, std::set<std::string>> pins_;
  std::set<std::string> kept_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// As configured.
ArtifactServerOptions ArtifactServerOptionsFrom(const config::v1::Artifacts& config);

// The annotations that a UM gets: the release's own, with the signed documents under "tandem". INVALID_ARGUMENT when
// the release's are not a JSON object.
absl::StatusOr<std::string> MakeAnnotations(const std::string& of_release, const DesiredEnvelopes& documents,
                                            const std::vector<std::string>& mirrors);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_DELIVERY_H_
