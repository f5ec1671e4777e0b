#include "tools/bench/mcu_bench.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "um-plugins/mcu/image_upload.h"

namespace tandem::bench {
namespace {

// What tools that send one request at a time put into it.
constexpr smp::BufferParameters kSimpleBuffers = {.size = 512, .count = 1};
// Where the line has no rate.
constexpr uint64_t kUnlimitedBytes = 16 << 20;
constexpr uint64_t kMinBytes = 8 << 10;
// Roughly what framing leaves of a line.
constexpr double kShare = 0.7;

// An image that is only read.
class MemoryFile : public File {
 public:
  explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)) {}
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) override {
    return bytes_.substr(std::min<uint64_t>(offset, bytes_.size()), size);
  }
  absl::Status WriteAt(uint64_t, std::string_view) override { return absl::UnimplementedError("read only"); }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::StatusOr<uint64_t> Size() override { return bytes_.size(); }
  absl::Status Truncate(uint64_t) override { return absl::UnimplementedError("read only"); }
  absl::Status DropCache() override { return absl::OkStatus(); }

 private:
  std::string bytes_;
};

std::string ImageBytes(uint64_t size) {
  std::string bytes(size, '\0');
  uint64_t state = 88172645463325252;
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state);
  }
  return bytes;
}

struct Measurement {
  double bytes_per_second = 0;
  std::optional<double> cap;
};

double Cap(const McuBenchCase& bench_case, const smp::SmpTransport& line, uint64_t size) {
  const size_t buffer = std::min<size_t>(bench_case.buffer_size, line.MaxPacket());
  const size_t chunk = smp::BestChunk(line, buffer, size);
  return static_cast<double>(chunk) / LineSeconds(bench_case.line, smp::UploadLineBytes(line, chunk, size));
}

absl::StatusOr<Measurement> UploadOnce(const McuBenchCase& bench_case, const std::string& bytes, bool simple) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SimulatedDevice> device,
                   SimulatedDevice::Start(bench_case.line, bench_case.buffer_size, bench_case.buffer_count));
  ASSIGN_OR_RETURN(const std::unique_ptr<smp::SmpTransport> line, device->Connect());
  Clock& clock = Clock::Real();
  smp::SmpClient client(*line, clock, {});
  MemoryFile file(bytes);
  smp::UploadRequest request{.file = file, .size = bytes.size(), .sha256 = Sha256(bytes), .hash = {}};
  if (simple) {
    request.buffers = kSimpleBuffers;
    request.one_at_a_time = true;
  }
  const absl::Duration start = clock.Monotonic();
  RETURN_IF_ERROR(Annotate(smp::UploadImage(client, request), bench_case.Name()));
  const absl::Duration took = clock.Monotonic() - start;
  Measurement measured{.bytes_per_second = static_cast<double>(bytes.size()) / absl::ToDoubleSeconds(took)};
  if (bench_case.line.bits_per_second != 0) measured.cap = Cap(bench_case, *line, bytes.size());
  return measured;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

std::string McuBenchCase::Name() const {
  const std::string rate =
      line.bits_per_second == 0 ? "loopback" : absl::StrCat(line.bits_per_second, line.udp ? " bit/s" : " baud");
  return absl::StrCat(line.udp ? "udp " : "serial ", rate, ", ", absl::FormatDuration(line.latency));
}

std::vector<McuBenchCase> PublishedMcuCases() {
  std::vector<McuBenchCase> cases;
  for (const uint64_t baud : {115'200, 1'000'000}) {
    for (const int latency : {0, 5}) {
      cases.push_back({.line = {.bits_per_second = baud, .latency = absl::Milliseconds(latency)}});
    }
  }
  for (const int latency : {0, 5}) {
    cases.push_back({.line = {.udp = true, .bits_per_second = 10'000'000, .latency = absl::Milliseconds(latency)},
                     .buffer_size = 1452,
                     .buffer_count = 16});
  }
  cases.push_back(
      {.line = {.udp = true, .bits_per_second = 0, .latency = {}}, .buffer_size = 1452, .buffer_count = 16});
  return cases;
}

absl::StatusOr<McuBenchResult> RunMcuBench(const McuBenchCase& bench_case, const McuBenchOptions& options) {
  uint64_t size = kUnlimitedBytes;
  if (bench_case.line.bits_per_second != 0) {
    const double bytes = absl::ToDoubleSeconds(options.length) / LineSeconds(bench_case.line, 1000) * 1000 * kShare;
    size = std::max(kMinBytes, static_cast<uint64_t>(bytes));
  }
  const std::string image = ImageBytes(size);
  const std::string small = image.substr(0, std::max(kMinBytes, size / 4));
  McuBenchResult result;
  std::vector<double> ours;
  std::vector<double> simple;
  for (int run = 0; run < options.runs; ++run) {
    ASSIGN_OR_RETURN(const Measurement measured, UploadOnce(bench_case, image, /*simple=*/false));
    ours.push_back(measured.bytes_per_second);
    result.cap = measured.cap;
    if (!options.compare) continue;
    ASSIGN_OR_RETURN(const Measurement other, UploadOnce(bench_case, small, /*simple=*/true));
    simple.push_back(other.bytes_per_second);
  }
  result.ours = Median(std::move(ours));
  result.simple = Median(std::move(simple));
  return result;
}

}  // namespace tandem::bench
