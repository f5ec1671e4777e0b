// tandem-cm: the Communication Manager of a unit.
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cm/config.h"
#include "cm/service.h"
#include "common/log/log.h"
#include "common/process/shutdown.h"
#include "common/status/status.h"

namespace {

constexpr char kExamples[] = R"(
Examples:
  tandem-cm --config /etc/tandem/cm.yaml
  tandem-cm --config /etc/tandem/cm.yaml --check-config     says what is wrong, with file and line

Operate it with tandemctl. Exit codes: 0 ended in order, 1 failed, 2 usage or configuration.)";

}  // namespace

int main(int argc, char** argv) {
  tandem::NeverEndSilently(argv[0]);
  CLI::App app("Updates every part of this unit as one transaction, through its Update Managers.", "tandem-cm");
  app.set_version_flag("--version", absl::StrCat("tandem-cm ", TANDEM_VERSION));
  app.footer(kExamples);
  std::string path = "/etc/tandem/cm.yaml";
  bool check_only = false;
  bool without_files = false;
  app.add_option("--config", path, "YAML file; docs/config-cm.md explains every key")->capture_default_str();
  CLI::Option* const check = app.add_flag("--check-config", check_only, "check the configuration and end");
  app.add_flag("--without-files", without_files,
               "check no keys and certificates: it is another computer's configuration")
      ->needs(check);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  tandem::ConfigLines lines;
  const absl::StatusOr<tandem::config::v1::CmConfig> config = tandem::cm::LoadCmConfig(path, &lines);
  const absl::Status files = config.ok() && !without_files ? tandem::cm::CheckFiles(*config, lines) : absl::OkStatus();
  if (check_only && !files.ok()) {
    std::cerr << "tandem-cm: " << tandem::ToPersonText(files) << "\n";
    return 2;
  }
  if (!config.ok()) {
    std::cerr << "tandem-cm: " << tandem::ToPersonText(config.status()) << "\n";
    return 2;
  }
  if (check_only) {
    std::cout << path << ": good\n";
    return 0;
  }
  absl::Status status = tandem::InitLog(
      {.level = config->log().level(), .file = config->log().file(), .common_fields = {{"unit", config->unit_id()}}});
  if (status.ok() && !files.ok()) tandem::LogWarning("configuration", {{"error", tandem::ToPersonText(files)}});
  if (status.ok()) status = tandem::cm::RunCm(*config);
  if (status.ok()) return 0;
  std::cerr << "tandem-cm: " << tandem::ToPersonText(status) << "\n";
  return 1;
}
