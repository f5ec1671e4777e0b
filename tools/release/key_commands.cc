// key new, key show
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "common/crypto/keys.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tools/release/command.h"

namespace tandem::release_tool {
namespace {

struct NewOptions {
  std::string out;
  std::string algorithm = "ed25519";
};

struct ShowOptions {
  std::string path;
  bool json = false;
  bool pem = false;
};

absl::Status New(const NewOptions& options) {
  ASSIGN_OR_RETURN(const KeyAlgorithm algorithm, ParseKeyAlgorithm(options.algorithm));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(algorithm));
  RETURN_IF_ERROR(SavePrivateKey(key, options.out));
  const std::string public_file = options.out + ".pub";
  RETURN_IF_ERROR(WriteShared(public_file, key.public_key().ToPem()));
  std::cout << "keyid " << key.public_key().keyid() << "\n"
            << options.out << "      private: keep it, and keep it secret\n"
            << public_file << "  public: for key sets\n";
  return absl::OkStatus();
}

absl::Status Show(const ShowOptions& options) {
  ASSIGN_OR_RETURN(const PublicKey key, LoadPublicKey(options.path));
  const std::string algorithm(KeyAlgorithmName(key.algorithm()));
  if (options.pem) {
    std::cout << key.ToPem();
  } else if (options.json) {
    std::cout << nlohmann::ordered_json{{"keyid", key.keyid()}, {"algorithm", algorithm}, {"pem", key.ToPem()}}.dump(2)
              << "\n";
  } else {
    std::cout << "keyid      " << key.keyid() << "\nalgorithm  " << algorithm << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddKeyCommands(CLI::App& app) {
  CLI::App* key = app.add_subcommand("key", "Makes and shows signing keys");
  key->require_subcommand(1);

  auto& made = Own<NewOptions>();
  CLI::App* create = AddCommand(*key, "new", "Makes a private key (mode 0600) and its public half beside it",
                                "\nExample:\n  tandem-release key new --out release-1.pem --algorithm ed25519",
                                [&made] { return New(made); });
  create->add_option("--out", made.out, "new PEM file; an existing one is never overwritten")->required();
  create->add_option("--algorithm", made.algorithm, "ed25519 or ecdsa-p256")->capture_default_str();

  auto& shown = Own<ShowOptions>();
  CLI::App* show =
      AddCommand(*key, "show", "Shows the keyid of a private or public key",
                 "\nExample:\n  tandem-release key show release-1.pem.pub --json", [&shown] { return Show(shown); });
  show->add_option("file", shown.path, "PEM file")->required();
  show->add_flag("--json", shown.json, "for programs");
  show->add_flag("--pem", shown.pem, "the public key as PEM");
}

}  // namespace tandem::release_tool
