#include "tests/model/model_check.h"

namespace tandem::model {
namespace {

const ModelUm kPayload{.node_id = "payload", .priority = 1};
const ModelUm kConfig{.node_id = "config", .priority = 1};
const ModelUm kRootfs{.node_id = "rootfs", .priority = 2, .switches_boot = true, .with_cm = true};
const ModelUm kMcu{.node_id = "mcu", .priority = 2, .switches_boot = true};
const ModelUm kAos{.node_id = "aos", .priority = 1, .aos = true, .cm_fetches = true};
const ModelUm kFar{.node_id = "far", .priority = 1, .cm_fetches = true};

}  // namespace

std::vector<ModelConfig> AllModels() {
  return {
      {.name = "PayloadAlone", .ums = {kPayload}, .faults = 2, .people = 1},
      {.name = "RootfsAlone", .ums = {kRootfs}, .faults = 2, .people = 1},
      {.name = "AosAlone", .ums = {kAos}, .faults = 1, .people = 2},
      {.name = "PayloadAndRootfs", .ums = {kPayload, kRootfs}, .faults = 1, .people = 0},
      {.name = "TwoBoots", .ums = {kMcu, kRootfs}, .faults = 1, .people = 0, .unsafe = 0},
      {.name = "PayloadAndFarConfig", .ums = {kPayload, kFar}, .faults = 1, .people = 1, .unsafe = 0},
      {.name = "AosAndMcu", .ums = {kAos, kMcu}, .faults = 1, .people = 0, .unsafe = 0},
      {.name = "RecordLost",
       .ums = {kPayload, kRootfs},
       .faults = 1,
       .people = 1,
       .unsafe = 0,
       .habits = false,
       .loses_record = true},
      {.name = "TwoClaimOneComponent",
       .ums = {kPayload, kConfig},
       .faults = 1,
       .people = 1,
       .unsafe = 0,
       .habits = false,
       .claims = true},
      {.name = "ThreeUms", .ums = {kPayload, kConfig, kMcu}, .faults = 0, .people = 1},
      {.name = "ThreeUmsOneFault",
       .ums = {kPayload, kConfig, kMcu},
       .faults = 1,
       .people = 0,
       .unsafe = 0,
       .habits = false},
  };
}

std::vector<ModelConfig> QuickModels() {
  return {
      {.name = "QuickPeople", .ums = {kPayload, kMcu}, .faults = 0, .people = 1},
      {.name = "QuickAos", .ums = {kAos}, .faults = 1, .people = 1, .unsafe = 0},
      {.name = "QuickFaults", .ums = {kPayload, kMcu}, .faults = 1, .people = 0, .unsafe = 0},
  };
}

}  // namespace tandem::model
