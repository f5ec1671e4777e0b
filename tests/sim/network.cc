#include "tests/sim/network.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "tests/sim/documents.h"

namespace tandem::sim {
namespace {

constexpr char kCmUrl[] = "http://cm/a/";
constexpr size_t kPiece = 1000;

}  // namespace

void Network::Serve(const std::string& image) { mirror_[absl::StrCat(kBaseUrl, "/", PathOfImage(image))] = image; }

absl::StatusOr<std::string> Network::Find(const std::string& url) {
  if (absl::StartsWith(url, kCmUrl)) {
    if (!cm_server_) return absl::UnavailableError("connection refused");
    return cm_server_(url);
  }
  if (trouble_ == Trouble::kUnavailable) return absl::UnavailableError("no route to the mirror");
  const auto found = mirror_.find(url);
  if (trouble_ == Trouble::kNotFound || found == mirror_.end()) {
    return absl::NotFoundError(absl::StrCat("fetch ", url, ": 404"));
  }
  if (trouble_ != Trouble::kWrongBytes) return found->second;
  return std::string(found->second.size(), '?');
}

absl::Status Network::Fetch(const FetchRequest& request, const HttpFetcher::Sink& sink) {
  SimWorkers::Sleep(world_.Between(delay_ / 2, delay_));
  for (uint64_t at = request.offset;;) {
    // Asked for each piece: the server may have gone away meanwhile.
    ASSIGN_OR_RETURN(const std::string bytes, Find(request.url));
    const uint64_t end = request.length == 0 ? bytes.size() : request.offset + request.length;
    if (at >= end) return absl::OkStatus();
    if (at >= bytes.size()) return absl::UnavailableError("the answer ended early");
    const std::string piece = bytes.substr(at, std::min<uint64_t>(kPiece, end - at));
    RETURN_IF_ERROR(sink(piece));
    at += piece.size();
    SimWorkers::Sleep(world_.Between(delay_ / 2, delay_));
    // Nothing came for a moment, which is when a fetch that is no longer wanted ends.
    RETURN_IF_ERROR(sink(""));
  }
}

SimArtifactHost::SimArtifactHost(Network& network, FileSystem& fs, std::string token_key)
    : network_(network), fs_(fs), token_key_(std::move(token_key)) {
  network_.SetCmServer([this](const std::string& url) { return Answer(url); });
}

SimArtifactHost::~SimArtifactHost() { network_.SetCmServer(nullptr); }

std::string SimArtifactHost::Allow(const std::string& update_id,
                                   const std::map<std::string, cm::FileRange>& artifacts) {
  for (const auto& [digest, range] : artifacts) allowed_[update_id][digest] = range;
  return HexEncode(Sha256(token_key_ + update_id)).substr(0, 48);
}

std::string SimArtifactHost::UrlOf(const std::string& token, const std::string& sha256) const {
  return absl::StrCat(kCmUrl, token, "/", HexEncode(sha256));
}

absl::StatusOr<std::string> SimArtifactHost::Answer(const std::string& url) const {
  for (const auto& [update_id, artifacts] : allowed_) {
    const std::string token = HexEncode(Sha256(token_key_ + update_id)).substr(0, 48);
    for (const auto& [digest, range] : artifacts) {
      if (UrlOf(token, digest) != url) continue;
      if (range.path.empty()) return absl::UnavailableError("503");
      ASSIGN_OR_RETURN(const std::string bytes, fs_.ReadFile(range.path));
      return bytes.substr(range.offset, range.size);
    }
  }
  return absl::NotFoundError(absl::StrCat("fetch ", url, ": 404"));
}

}  // namespace tandem::sim
