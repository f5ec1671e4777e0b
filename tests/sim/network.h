// Servers of artifacts on virtual time: the mirror, and what CM serves to UMs of other computers.
#ifndef TANDEM_TESTS_SIM_NETWORK_H_
#define TANDEM_TESTS_SIM_NETWORK_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cm/artifacts/artifact_server.h"
#include "common/net/http_fetcher.h"
#include "common/storage/file_system.h"
#include "tests/sim/world.h"

namespace tandem::sim {

class Network {
 public:
  enum class Trouble { kNone, kNotFound, kUnavailable, kWrongBytes };

  explicit Network(World& world) : world_(world) {}

  // On the mirror.
  void Serve(const std::string& image);
  void SetTrouble(Trouble trouble) { trouble_ = trouble; }
  // Of each piece.
  void SetDelay(absl::Duration delay) { delay_ = delay; }

  // Of CM's artifact server; empty bytes: nobody answers there.
  using Answer = std::function<absl::StatusOr<std::string>(const std::string& url)>;
  void SetCmServer(Answer answer) { cm_server_ = std::move(answer); }

  absl::Status Fetch(const FetchRequest& request, const HttpFetcher::Sink& sink);

 private:
  absl::StatusOr<std::string> Find(const std::string& url);

  World& world_;
  std::map<std::string, std::string> mirror_;
  Trouble trouble_ = Trouble::kNone;
  absl::Duration delay_ = absl::Milliseconds(100);
  Answer cm_server_;
};

class NetworkFetcher : public HttpFetcher {
 public:
  explicit NetworkFetcher(Network& network) : network_(network) {}
  absl::Status Fetch(const FetchRequest& request, const Sink& sink) override { return network_.Fetch(request, sink); }

 private:
  Network& network_;
};

// In place of the HTTP server of CM.
class SimArtifactHost : public cm::ArtifactHost {
 public:
  // `fs`: where the ranges are.
  SimArtifactHost(Network& network, FileSystem& fs, std::string token_key);
  ~SimArtifactHost() override;

  std::string Allow(const std::string& update_id, const std::map<std::string, cm::FileRange>& artifacts) override;
  void Revoke(const std::string& update_id) override { allowed_.erase(update_id); }
  std::string UrlOf(const std::string& token, const std::string& sha256) const override;
  int port() const override { return 8081; }

 private:
  absl::StatusOr<std::string> Answer(const std::string& url) const;

  Network& network_;
  FileSystem& fs_;
  const std::string token_key_;
  std::map<std::string, std::map<std::string, cm::FileRange>> allowed_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_NETWORK_H_
