// PrepareUpdate as a broken-into CM might send it, to a UM with a key set and to one without.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/crypto/sha256.h"
#include "tests/fuzz/check.h"
#include "tests/support/test_documents.h"
#include "um/prepare_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string* const key_set = new std::string(tandem::TestMaker("acme").KeySetEnvelope());
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  updatemanager::v2::PrepareUpdate command;
  if (!command.ParseFromString(bytes)) {
    command.Clear();
    updatemanager::v2::PrepareComponentInfo& info = *command.add_components();
    info.set_component_id("model");
    info.set_component_type("model");
    info.set_version("1.0");
    info.set_url("http://127.0.0.1/model");
    info.set_sha256(tandem::Sha256("model"));
    info.set_annotations(bytes);
  }
  const auto unchecked = tandem::um::ReadPrepare(command, {}, tandem::Clock::Real());
  if (unchecked.ok()) FUZZ_CHECK(unchecked->size() == static_cast<size_t>(command.components_size()));
  const auto checked = tandem::um::ReadPrepare(
      command, {.key_set = *key_set, .name_space = "acme", .unit_id = "unit-1"}, tandem::Clock::Real());
  if (!checked.ok()) return 0;
  // Nothing that must be fetched is taken on trust.
  for (const auto& info : command.components()) FUZZ_CHECK(info.url().empty());
  for (const tandem::um::Artifact& artifact : *checked) FUZZ_CHECK(artifact.urls.empty());
  return 0;
}
