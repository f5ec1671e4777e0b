// tandem-release: keys, releases, assignments and bundles, from the command line.
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "tools/release/command.h"

namespace {

constexpr char kExamples[] = R"(
From nothing to an updated unit:
  tandem-release key new --out root.pem
  tandem-release key new --out release.pem
  tandem-release key new --out online.pem --algorithm ecdsa-p256
  tandem-release keyset new --namespace acme --root root.pem --release release.pem --assignment online.pem --out keys.json
  tandem-release create --spec gateway.yaml --out site --key release.pem
  tandem-release list --namespace acme --release site/releases/gw-1.json --key release.pem --out list.json
  tandem-release assign --namespace acme --unit gw-17 --sequence 1 --release site/releases/gw-1.json \
      --base-url https://updates.example.com/site/ --key online.pem --out assignment.json
  tandem-release deploy --broker mqtts://broker:8883 --assignment assignment.json \
      --release site/releases/gw-1.json --list list.json --key-set keys.json
Every command has --help with its own examples. Exit codes: 0 done, 1 failed, 2 usage.)";

}  // namespace

int main(int argc, char** argv) {
  using namespace tandem::release_tool;  // NOLINT(google-build-using-namespace): this file only joins its commands
  CLI::App app("Makes, signs, checks and deploys releases.", "tandem-release");
  app.footer(kExamples);
  app.set_version_flag("--version", absl::StrCat("tandem-release ", TANDEM_VERSION));
  app.require_subcommand(1);
  AddKeyCommands(app);
  AddKeySetCommands(app);
  AddReleaseCommands(app);
  AddAssignCommand(app);
  AddBundleCommands(app);
  AddInspectCommands(app);
  AddDeployCommand(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (CommandStatus().ok()) return 0;
  std::cerr << "tandem-release: " << tandem::ToPersonText(CommandStatus()) << "\n";
  return 1;
}
