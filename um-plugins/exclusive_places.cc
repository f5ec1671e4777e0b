#include "um-plugins/exclusive_places.h"

#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::plugins {
namespace {

using config::v1::UmConfig;

struct Place {
  std::string key;
  std::string path;
};

std::vector<Place> PlacesOf(const UmConfig& um) {
  std::vector<Place> places = {{"state_dir", um.state_dir()}};
  switch (um.plugin_case()) {
    case UmConfig::kRootfs:
      places.push_back({"rootfs.slot_a", um.rootfs().slot_a()});
      places.push_back({"rootfs.slot_b", um.rootfs().slot_b()});
      places.push_back({"rootfs.boot_record", um.rootfs().boot_record()});
      places.push_back({"rootfs.uboot_environment", um.rootfs().uboot_environment()});
      break;
    case UmConfig::kBootloader:
      places.push_back({"bootloader.copy_a", um.bootloader().copy_a()});
      places.push_back({"bootloader.copy_b", um.bootloader().copy_b()});
      places.push_back({"bootloader.boot_record", um.bootloader().boot_record()});
      places.push_back({"bootloader.mmc.state", um.bootloader().mmc().state()});
      break;
    case UmConfig::kMcu:
      // Two images of one device are two UMs that take turns.
      break;
    case UmConfig::kPayload:
      for (const config::v1::PayloadComponent& component : um.payload().components()) {
        places.push_back({"payload.folder", component.folder()});
      }
      break;
    case UmConfig::PLUGIN_NOT_SET:
      break;
  }
  return places;
}

std::string Normal(const std::string& path) {
  std::error_code error;
  const std::filesystem::path normal = std::filesystem::weakly_canonical(path, error);
  return error ? path : normal.string();
}

}  // namespace

absl::Status CheckExclusivePlaces(const config::v1::UmProcessConfig& config) {
  std::map<std::string, std::string> users;
  for (const UmConfig& um : config.ums()) {
    for (const Place& place : PlacesOf(um)) {
      if (place.path.empty()) continue;
      const std::string user = absl::StrCat("UM ", um.node_id(), ": ", place.key);
      const auto [other, is_new] = users.emplace(Normal(place.path), user);
      if (is_new) continue;
      return absl::InvalidArgumentError(absl::StrCat(user, " is ", place.path, ", which is also ", other->second,
                                                     "; each needs a device or file of its own"));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::plugins
