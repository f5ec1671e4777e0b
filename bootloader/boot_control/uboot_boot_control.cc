#include "bootloader/boot_control/uboot_boot_control.h"

#include <libuboot.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status/status.h"
#include "common/storage/file_descriptor.h"

namespace tandem::boot {
namespace {

// CRC-32 and flags.
constexpr uint64_t kCopyHeader = 5;
constexpr uint64_t kSmallestCopy = 64;
constexpr uint64_t kLargestCopy = 16 << 20;

struct Place {
  std::string device;
  // The line says it from the end of the device, such as an eMMC's boot partition; `offset` is from its begin all the
  // same, once LoadPlaces() has asked the device for its size.
  bool from_end = false;
  uint64_t offset = 0;
  uint64_t size = 0;
  // What stands behind them.
  std::string more;
};

absl::Status CountFromBegin(FileSystem& fs, Place& place) {
  if (!place.from_end) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::unique_ptr<File> device, fs.Open(place.device, FileSystem::OpenMode::kReadOnly));
  ASSIGN_OR_RETURN(const uint64_t end, device->Size());
  if (place.offset > end || place.size > place.offset) {
    return absl::InvalidArgumentError(
        absl::StrCat(place.size, " bytes at -", place.offset, " do not fit into ", place.device, ", which has ", end));
  }
  place.offset = end - place.offset;
  return absl::OkStatus();
}

bool ParseNumber(absl::string_view text, uint64_t& value) {
  if (absl::StartsWith(text, "0x") || absl::StartsWith(text, "0X")) {
    return absl::SimpleHexAtoi(text, &value);
  }
  return absl::SimpleAtoi(text, &value);
}

// The lines of an fw_env.config: device, offset, size, and more that does not matter here.
absl::StatusOr<std::vector<Place>> ParsePlaces(const std::string& text) {
  std::vector<Place> places;
  int number = 0;
  for (const auto line : absl::StrSplit(text, '\n')) {
    ++number;
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty() || words[0][0] == '#') continue;
    Place place;
    absl::string_view offset;
    if (words.size() >= 3) offset = words[1];
    place.from_end = absl::ConsumePrefix(&offset, "-");
    if (words.size() < 3 || !ParseNumber(offset, place.offset) || !ParseNumber(words[2], place.size)) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " is not DEVICE OFFSET SIZE, such as: /dev/mmcblk0 0x400000 0x4000"));
    }
    place.device = words[0];
    place.more = absl::StrJoin(words.begin() + 3, words.end(), " ");
    places.push_back(std::move(place));
  }
  return places;
}

bool Overlap(const Place& one, const Place& other) {
  return one.device == other.device && one.offset < other.offset + other.size && other.offset < one.offset + one.size;
}

absl::StatusOr<std::vector<Place>> LoadPlaces(FileSystem& fs, const std::string& config) {
  ASSIGN_OR_RETURN(const std::string text, fs.ReadFile(config));
  ASSIGN_OR_RETURN(std::vector<Place> places, Annotate(ParsePlaces(text), config));
  if (places.size() != 2) {
    return absl::InvalidArgumentError(absl::StrCat(config, " names ", places.size(),
                                                   " places of the environment; it needs two, so that a power cut "
                                                   "while one is written leaves the other"));
  }
  if (places[0].size < kSmallestCopy || places[0].size > kLargestCopy) {
    return absl::InvalidArgumentError(absl::StrCat(config, ": a copy of ", places[0].size, " bytes cannot be; it has ",
                                                   kSmallestCopy, " to ", kLargestCopy));
  }
  for (Place& place : places) RETURN_IF_ERROR(Annotate(CountFromBegin(fs, place), config));
  if (places[0].size != places[1].size || Overlap(places[0], places[1])) {
    return absl::InvalidArgumentError(
        absl::StrCat(config, ": the two places must have one size, and must not overlap"));
  }
  return places;
}

bool IsWhole(std::string_view copy) {
  const std::string_view data = copy.substr(kCopyHeader);
  uint32_t crc = 0;
  for (size_t i = 0; i < 4; ++i) crc |= static_cast<uint32_t>(static_cast<uint8_t>(copy[i])) << (8 * i);
  return crc == Crc32({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
}

// After the last variable comes an empty one; what is behind it does not matter.
bool HasEnd(std::string_view copy) {
  size_t at = kCopyHeader;
  while (at < copy.size() && copy[at] != '\0') {
    const size_t end = copy.find('\0', at);
    if (end == std::string_view::npos) return false;
    at = end + 1;
  }
  return at < copy.size();
}

// libubootenv trusts a right checksum, and reads past the end of variables that nobody ended.
absl::Status CheckEnded(FileSystem& fs, const Place& place) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> device, fs.Open(place.device, FileSystem::OpenMode::kReadOnly));
  ASSIGN_OR_RETURN(const std::string copy, device->ReadAt(place.offset, place.size));
  if (copy.size() < place.size || !IsWhole(copy) || HasEnd(copy)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the variables of the U-Boot environment in ", place.device, " at ",
                                          place.offset, " have no end; write it anew with mkenvimage -r"));
}

// An fw_env.config in memory, with offsets from the begin of the devices.
absl::StatusOr<FileDescriptor> WriteCounted(const std::vector<Place>& places) {
  FileDescriptor file(memfd_create("fw_env.config", MFD_CLOEXEC));
  std::string text;
  for (const Place& place : places) {
    absl::StrAppend(&text, place.device, " 0x", absl::Hex(place.offset), " 0x", absl::Hex(place.size), " ", place.more,
                    "\n");
  }
  if (!file.valid() || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(errno, "tell libubootenv where the environment is");
  }
  return file;
}

}  // namespace

// One opening of the environment, with libubootenv's lock, which fw_setenv takes, too.
class UbootBootControl::Environment {
 public:
  static absl::StatusOr<std::unique_ptr<Environment>> Open(const std::string& config,
                                                           const std::vector<Place>& places) {
    // libubootenv counts from the end of some kinds of device only: it is told where that is.
    FileDescriptor counted;
    if (std::ranges::any_of(places, &Place::from_end)) {
      ASSIGN_OR_RETURN(counted, WriteCounted(places));
      return OpenFile(absl::StrCat("/proc/self/fd/", counted.get()), config);
    }
    return OpenFile(config, config);
  }
  ~Environment() {
    libuboot_close(context_);
    libuboot_exit(context_);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  Variables GetAll() const {
    Variables all;
    for (void* entry = libuboot_iterator(context_, nullptr); entry != nullptr;
         entry = libuboot_iterator(context_, entry)) {
      all[libuboot_getname(entry)] = libuboot_getvalue(entry);
    }
    return all;
  }

  // `size`: of one copy, with its header.
  absl::Status Store(const Variables& variables, uint64_t size) {
    for (const auto& [name, value] : variables) {
      // An empty value drops the variable.
      const int set = libuboot_set_env(context_, name.c_str(), value.empty() ? nullptr : value.c_str());
      if (set < 0 && !value.empty()) {
        return absl::InternalError(absl::StrCat("libubootenv refuses to set ", name, " to ", value));
      }
    }
    // libubootenv loses memory when it finds that by itself.
    uint64_t needed = kCopyHeader + 1;
    for (const auto& [name, value] : GetAll()) needed += name.size() + value.size() + 2;
    if (needed > size) {
      return absl::ResourceExhaustedError(absl::StrCat("the U-Boot environment has ", size, " bytes, and ", needed,
                                                       " are needed; remove variables or make it larger"));
    }
    if (const int result = libuboot_env_store(context_); result < 0) {
      return absl::InternalError(absl::StrCat("libubootenv cannot write the environment: error ", -result));
    }
    return absl::OkStatus();
  }

 private:
  static absl::StatusOr<std::unique_ptr<Environment>> OpenFile(const std::string& file, const std::string& config) {
    uboot_ctx* context = nullptr;
    if (libuboot_initialize(&context, nullptr) < 0) return absl::ResourceExhaustedError("libubootenv: no memory");
    std::unique_ptr<Environment> environment(new Environment(context));
    if (libuboot_read_config(context, file.c_str()) < 0) {
      return absl::NotFoundError(
          absl::StrCat("the devices in ", config, " cannot be used: one is missing or not readable"));
    }
    if (libuboot_open(context) < 0) {
      return absl::DataLossError(absl::StrCat("neither copy of the U-Boot environment in ", config,
                                              " can be read; write it anew with mkenvimage -r, or with saveenv in "
                                              "U-Boot"));
    }
    return environment;
  }

  explicit Environment(uboot_ctx* context) : context_(context) {}

  uboot_ctx* const context_;
};

absl::Status UbootBootControl::CheckConfig() { return LoadPlaces(fs_, config_).status(); }

// libubootenv does not tell whether its own sync succeeded.
absl::Status UbootBootControl::SyncDevices() {
  ASSIGN_OR_RETURN(const std::vector<Place> places, LoadPlaces(fs_, config_));
  for (const Place& place : places) {
    ASSIGN_OR_RETURN(std::unique_ptr<File> device, fs_.Open(place.device, FileSystem::OpenMode::kReadWrite));
    RETURN_IF_ERROR(device->Sync());
    RETURN_IF_ERROR(device->DropCache());
  }
  return absl::OkStatus();
}

absl::StatusOr<BootRecord> UbootBootControl::LoadRecord() {
  ASSIGN_OR_RETURN(const std::vector<Place> places, LoadPlaces(fs_, config_));
  for (const Place& place : places) RETURN_IF_ERROR(CheckEnded(fs_, place));
  ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, Environment::Open(config_, places));
  return RecordFromVariables(environment->GetAll());
}

absl::Status UbootBootControl::ChangeRecord(const Change& change) {
  ASSIGN_OR_RETURN(const std::vector<Place> places, LoadPlaces(fs_, config_));
  for (const Place& place : places) RETURN_IF_ERROR(CheckEnded(fs_, place));
  BootRecord record;
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, Environment::Open(config_, places));
    ASSIGN_OR_RETURN(record, RecordFromVariables(environment->GetAll()));
    const BootRecord before = record;
    RETURN_IF_ERROR(change(record));
    if (record == before) return absl::OkStatus();
    RETURN_IF_ERROR(environment->Store(VariablesFromRecord(record), places[0].size));
  }
  RETURN_IF_ERROR(SyncDevices());
  ASSIGN_OR_RETURN(const BootRecord kept, LoadRecord());
  if (kept != record) return absl::DataLossError("the U-Boot environment does not keep what is written to it");
  return absl::OkStatus();
}

}  // namespace tandem::boot
