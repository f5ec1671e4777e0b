// Configuration files: good or refused with the name of the file, never anything else.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/config/yaml_config.h"
#include "tandem/config/v1/cm.pb.h"
#include "tandem/config/v1/um.pb.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  tandem::config::v1::CmConfig cm;
  tandem::config::v1::UmProcessConfig um;
  for (google::protobuf::Message* const config : std::initializer_list<google::protobuf::Message*>{&cm, &um}) {
    const absl::Status status = tandem::LoadYamlText(text, "fuzz.yaml", *config);
    if (!status.ok()) FUZZ_CHECK(status.message().find("fuzz.yaml") != std::string::npos);
  }
  return 0;
}
