// How the artifacts of an update reach each UM: the PrepareUpdate that CM sends it.
//
// A UM on CM's computer is pointed at the assignment's own servers. For a UM elsewhere CM fetches into its cache and
// serves from there, with a token of this update. An offline bundle is served from inside the tar.
#ifndef TANDEM_CM_ARTIFACTS_DELIVERY_H_
#define TANDEM_CM_ARTIFACTS_DELIVERY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "cm/artifacts/artifact_server.h"
#include "cm/artifacts/cache.h"
#include "cm/update/unit_update.h"
#include "common/crypto/desired_documents.h"
#include "common/time/event_loop.h"
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

  // `loop`, `fs` and `stager` must outlive it. The cache is opened and the server started at first need.
  ArtifactDelivery(EventLoop& loop, FileSystem& fs, Stager& stager, config::v1::Artifacts config,
                   std::string default_cache_dir);
  // Cancels running downloads and waits for them.
  ~ArtifactDelivery();

  ArtifactDelivery(const ArtifactDelivery&) = delete;
  ArtifactDelivery& operator=(const ArtifactDelivery&) = delete;

  // Calls `done` on the event thread, later. Asked again for the same update and UM while it fetches, it goes on and
  // answers the latest `done`.
  void MakePrepare(const std::string& update_id, const Participant& participant, const config::v1::Node& node,
                   const ArtifactSource& source, Done done);

  // nullopt when CM fetches nothing for this UM now.
  std::optional<DeliveryProgress> Progress(const std::string& update_id, const std::string& node_id) const;

  // Artifacts (SHA-256, 32 bytes each) that a rollback may need: they stay in the cache until another set is given.
  void Keep(std::set<std::string> artifacts);

  // The update is over: its token is worth nothing, its artifacts may be evicted unless they are kept.
  void Forget(const std::string& update_id);

 private:
  struct Job;

  absl::StatusOr<ArtifactServer*> Server();
  absl::StatusOr<ArtifactCache*> Cache();
  absl::StatusOr<updatemanager::v2::PrepareUpdate> FromServers(const Participant& participant,
                                                               const ArtifactSource& source) const;
  absl::StatusOr<updatemanager::v2::PrepareUpdate> FromBundle(const std::string& update_id,
                                                              const Participant& participant,
                                                              const ArtifactSource& source);
  void FetchThenServe(const std::string& update_id, const Participant& participant, bool sha3,
                      const ArtifactSource& source, Done done);
  absl::StatusOr<updatemanager::v2::PrepareUpdate> Serve(const std::string& update_id, const Participant& participant,
                                                         bool sha3, const ArtifactSource& source);

  EventLoop& loop_;
  FileSystem& fs_;
  Stager& stager_;
  const config::v1::Artifacts config_;
  const std::string cache_dir_;
  std::unique_ptr<ArtifactCache> cache_;
  std::unique_ptr<ArtifactServer> server_;
  // By update and node.
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Job>> jobs_;
  // Names under which artifacts are pinned in the cache, by update.
  std::map<std::string, std::set<std::string>> pins_;
  std::set<std::string> kept_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The annotations that a UM gets: the release's own, with the signed documents under "tandem". INVALID_ARGUMENT when
// the release's are not a JSON object.
absl::StatusOr<std::string> MakeAnnotations(const std::string& of_release, const DesiredEnvelopes& documents,
                                            const std::vector<std::string>& mirrors);

}  // namespace tandem::cm

#endif  // TANDEM_CM_ARTIFACTS_DELIVERY_H_
