// A whole Update Manager: the firmware of a seat heater, which a command loads into it.
// docs/write-a-plugin.md explains it line by line.
#include <iostream>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/image/stager.h"
#include "common/net/curl_http_fetcher.h"
#include "common/process/run_command.h"
#include "common/status/status.h"
#include "um/runner.h"

using namespace tandem;  // NOLINT(google-build-using-namespace): an example should be short

// {folder}/firmware-VERSION are images; the symlinks current, next and previous say which is which.
class SeatHeater : public um::Plugin {
 public:
  SeatHeater(std::string folder, std::string load) : folder_(std::move(folder)), load_(std::move(load)) {}

  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override {
    ASSIGN_OR_RETURN(const std::string image, fs_.ReadSymlink(folder_ + "/current"));
    return std::vector<um::InstalledComponent>{
        {.id = "heater", .type = "seat-heater", .version = image.substr(image.find('-') + 1)}};
  }

  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override {
    if (artifacts.size() != 1) return absl::InvalidArgumentError("a seat heater takes exactly one artifact");
    const um::Artifact& artifact = artifacts[0];
    if (absl::StrContains(artifact.version, "/")) return absl::InvalidArgumentError("a version cannot contain /");
    const std::string image = absl::StrCat("firmware-", artifact.version);
    ASSIGN_OR_RETURN(const std::string running, fs_.ReadSymlink(folder_ + "/current"));
    if (image == running) return absl::InvalidArgumentError(absl::StrCat(image, " runs already"));
    ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                     fs_.Open(absl::StrCat(folder_, "/", image), FileSystem::OpenMode::kCreate));
    const StageRequest request{.urls = artifact.urls,
                               .headers = artifact.headers,
                               .sha256 = artifact.sha256,
                               .size = artifact.size,
                               .chunk_size = artifact.chunk_size,
                               .chunk_digests = artifact.chunk_digests};
    const StageObserver observer{
        .progress = [&](uint64_t done) { operation.ReportProgress("heater", done, artifact.size); },
        .cancelled = [&] { return operation.Cancelled(); }};
    DurableRecord progress(fs_, folder_ + "/progress.rec");
    RETURN_IF_ERROR(Annotate(stager_.Stage(request, *file, progress, observer), absl::StrCat("fetch ", image)));
    RETURN_IF_ERROR(fs_.SwitchSymlink(running, folder_ + "/previous"));
    return fs_.SwitchSymlink(image, folder_ + "/next");
  }

  absl::StatusOr<um::StartResult> Start(um::Operation&) override {
    RETURN_IF_ERROR(Load("next"));
    return um::StartResult::kRunning;
  }

  absl::Status Apply(um::Operation&) override { return fs_.Remove(folder_ + "/next"); }

  absl::StatusOr<um::RevertResult> Revert(um::Operation&) override {
    if (fs_.Exists(folder_ + "/next")) RETURN_IF_ERROR(Load("previous"));
    RETURN_IF_ERROR(fs_.Remove(folder_ + "/next"));
    return um::RevertResult::kReverted;
  }

 private:
  // Doing it twice does no harm, so a crash in the middle does none.
  absl::Status Load(const std::string& link) {
    ASSIGN_OR_RETURN(const std::string image, fs_.ReadSymlink(absl::StrCat(folder_, "/", link)));
    RETURN_IF_ERROR(fs_.SwitchSymlink(image, folder_ + "/current"));
    return RunCommandOk({.argv = {load_, absl::StrCat(folder_, "/", image)}, .timeout = absl::Seconds(30)});
  }

  FileSystem& fs_ = FileSystem::Real();
  CurlHttpFetcher fetcher_;
  Stager stager_{fetcher_, Clock::Real()};
  const std::string folder_;
  const std::string load_;
};

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: seat-heater-um CM_ADDRESS FOLDER LOAD_COMMAND\n";
    return 2;
  }
  std::vector<um::ManagedPlugin> plugins;
  plugins.push_back({.options = {.node_id = "seat", .priority = 5, .state_dir = std::string(argv[2]) + "/um"},
                     .plugin = std::make_unique<SeatHeater>(argv[2], argv[3]),
                     .trust = {}});
  const absl::Status status = um::RunUpdateManagers({.cm = argv[1], .tls = {}}, std::move(plugins));
  if (!status.ok()) std::cerr << "seat-heater-um: " << ToPersonText(status) << "\n";
  return status.ok() ? 0 : 1;
}
