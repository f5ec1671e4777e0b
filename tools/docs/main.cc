// tandem-docs: prints the pages of docs/ that come from code. Not installed; the target `docs` runs it.
#include <fstream>
#include <iostream>
#include <sstream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "tools/docs/config_reference.h"
#include "tools/docs/fleet_api.h"
#include "tools/docs/state_tables.h"

namespace {

using namespace tandem;  // NOLINT(google-build-using-namespace): this file only joins the printers

constexpr char kExamples[] = R"(
Examples:
  tandem-docs state-tables
  tandem-docs config --descriptors protos.bin --message tandem.config.v1.CmConfig --title "tandem-cm" \
      --example packaging/cm.yaml

Exit codes: 0 printed, 1 failed, 2 usage.)";

absl::StatusOr<std::string> Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  if (!file || !(content << file.rdbuf())) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return content.str();
}

absl::Status PrintConfig(const std::string& descriptors, const std::string& example, docs::ConfigPage page) {
  ASSIGN_OR_RETURN(const std::string bytes, Read(descriptors));
  google::protobuf::FileDescriptorSet files;
  if (!files.ParseFromString(bytes)) return absl::InvalidArgumentError(absl::StrCat(descriptors, " is damaged"));
  if (!example.empty()) {
    ASSIGN_OR_RETURN(page.example, Read(example));
  }
  return tandem::docs::PrintConfigReference(files, page, std::cout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Prints the pages of docs/ that come from code.", "tandem-docs");
  app.footer(kExamples);
  app.require_subcommand(1);
  const CLI::App* tables = app.add_subcommand("state-tables", "every declared table that decides something");
  const CLI::App* fleet_api = app.add_subcommand("fleet-api", "the methods of the fleet's API");
  CLI::App* config = app.add_subcommand("config", "the reference of a configuration file");
  std::string descriptors;
  std::string example;
  docs::ConfigPage page;
  config->add_option("--descriptors", descriptors, "what protoc --include_source_info wrote")->required();
  config->add_option("--message", page.message, "full name of the schema's message")->required();
  config->add_option("--title", page.title, "heading of the page")->required();
  config->add_option("--introduction", page.introduction, "Markdown below the heading");
  config->add_option("--example", example, "file to show on top");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  absl::Status status;
  if (*tables) {
    tandem::docs::PrintStateTables(std::cout);
  } else if (*fleet_api) {
    tandem::docs::PrintFleetApi(std::cout);
  } else {
    status = PrintConfig(descriptors, example, page);
  }
  if (status.ok()) return 0;
  std::cerr << "tandem-docs: " << ToPersonText(status) << "\n";
  return 1;
}
