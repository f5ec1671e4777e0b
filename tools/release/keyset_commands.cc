// keyset new, keyset rotate, keyset show
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/signed_metadata.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "tandem/release/v1/release.pb.h"
#include "tools/release/command.h"
#include "tools/release/describe.h"

namespace tandem::release_tool {
namespace {

using release::v1::KeySet;
using release::v1::Role;

struct RoleOptions {
  std::vector<std::string> keys;
  uint32_t threshold = 0;
};

struct KeySetOptions {
  std::string name_space;
  std::string from;
  RoleOptions root;
  RoleOptions release;
  RoleOptions assignment;
  ExpiryOptions expiry;
  std::vector<std::string> sign;
  std::string out;
};

// Keys given replace the role's; a threshold alone changes just that.
absl::Status SetRole(const RoleOptions& options, Role& role) {
  if (!options.keys.empty()) {
    role.clear_keys();
    for (const std::string& path : options.keys) {
      ASSIGN_OR_RETURN(const PublicKey key, LoadPublicKey(path));
      release::v1::PublicKey* added = role.add_keys();
      added->set_keyid(key.keyid());
      added->set_der(key.der());
    }
    if (options.threshold == 0) role.set_threshold(1);
  }
  if (options.threshold != 0) role.set_threshold(options.threshold);
  return absl::OkStatus();
}

absl::Status FillRoles(const KeySetOptions& options, KeySet& key_set) {
  RETURN_IF_ERROR(SetRole(options.root, *key_set.mutable_root()));
  RETURN_IF_ERROR(SetRole(options.release, *key_set.mutable_release()));
  RETURN_IF_ERROR(SetRole(options.assignment, *key_set.mutable_assignment()));
  ASSIGN_OR_RETURN(const absl::Time expires, ExpiryTime(options.expiry));
  SetTime(key_set.mutable_expires(), expires);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PrivateKey>> SigningKeys(const KeySetOptions& options) {
  if (!options.sign.empty()) return LoadPrivateKeys(options.sign);
  // Convenient with few keys: root keys that were given as private ones.
  std::vector<PrivateKey> keys;
  for (const std::string& path : options.root.keys) {
    if (absl::StatusOr<PrivateKey> key = LoadPrivateKey(path); key.ok()) keys.push_back(*std::move(key));
  }
  if (keys.empty()) return absl::InvalidArgumentError("no key to sign with: give --sign with private root keys");
  return keys;
}

absl::Status Finish(const KeySet& key_set, const KeySetOptions& options, const TrustedKeys* from) {
  ASSIGN_OR_RETURN(const std::vector<PrivateKey> keys, SigningKeys(options));
  ASSIGN_OR_RETURN(const std::string envelope, SealDocument(key_set, kKeySetType, keys));
  const absl::Status complete =
      from == nullptr ? TrustedKeys::FromFirst(envelope, "").status() : from->Next(envelope).status();
  // Signatures may still be missing, because root keys live with different people; anything else is a mistake.
  if (!complete.ok() && !absl::IsPermissionDenied(complete)) return complete;
  RETURN_IF_ERROR(WriteOutput(options.out, envelope));
  if (!complete.ok())
    std::cerr << "not complete yet, add signatures with `tandem-release sign`: " << complete.message() << "\n";
  return absl::OkStatus();
}

absl::Status New(const KeySetOptions& options) {
  RETURN_IF_ERROR(CheckTopicLevel(options.name_space, "namespace"));
  KeySet key_set;
  key_set.set_namespace_(options.name_space);
  key_set.set_version(1);
  RETURN_IF_ERROR(FillRoles(options, key_set));
  return Finish(key_set, options, nullptr);
}

absl::Status Rotate(const KeySetOptions& options) {
  ASSIGN_OR_RETURN(const std::string envelope, ReadInput(options.from));
  ASSIGN_OR_RETURN(const TrustedKeys from, Annotate(TrustedKeys::FromFirst(envelope, ""), options.from));
  KeySet key_set = from.document();
  key_set.set_version(from.version() + 1);
  RETURN_IF_ERROR(FillRoles(options, key_set));
  return Finish(key_set, options, &from);
}

void AddRoleOptions(CLI::App& command, const std::string& name, RoleOptions& options, bool required) {
  command.add_option("--" + name, options.keys, "PEM files of the " + name + " keys, public or private")
      ->required(required);
  command.add_option("--" + name + "-threshold", options.threshold, "how many of them must sign")
      ->check(WholeNumber(1, kMaxRoleKeys));
}

}  // namespace

void AddKeySetCommands(CLI::App& app) {
  CLI::App* key_set = app.add_subcommand("keyset", "Makes, changes and shows the root of trust");
  key_set->require_subcommand(1);

  auto& made = Own<KeySetOptions>();
  CLI::App* create =
      AddCommand(*key_set, "new", "Makes the first key set, which is put on units by their maker",
                 "\nExample:\n  tandem-release keyset new --namespace acme --root r1.pem r2.pem "
                 "--root-threshold 2 \\\n      --release rel.pem.pub --assignment online.pem.pub --out keys-1.json",
                 [&made] { return New(made); });
  create->add_option("--namespace", made.name_space, "first level of the topics; in every document")->required();

  auto& rotated = Own<KeySetOptions>();
  CLI::App* rotate = AddCommand(
      *key_set, "rotate", "Makes the next key set: what is not given stays",
      "\nExample:\n  tandem-release keyset rotate --from keys-1.json --assignment new.pem.pub --sign r1.pem r2.pem "
      "--out keys-2.json\nIt needs the thresholds of the old root keys and of the new ones.",
      [&rotated] { return Rotate(rotated); });
  rotate->add_option("--from", rotated.from, "the key set in force")->required();

  for (auto& [command, options, first] : {std::tuple<CLI::App*, KeySetOptions&, bool>{create, made, true},
                                          std::tuple<CLI::App*, KeySetOptions&, bool>{rotate, rotated, false}}) {
    AddRoleOptions(*command, "root", options.root, first);
    AddRoleOptions(*command, "release", options.release, first);
    AddRoleOptions(*command, "assignment", options.assignment, first);
    AddExpiryOptions(*command, options.expiry, "365d");
    command->add_option("--sign", options.sign, "private root keys; default: those among --root");
    command->add_option("--out", options.out, "file to write; default: standard output");
  }

  auto& shown = Own<std::pair<std::string, bool>>();
  CLI::App* show = AddCommand(*key_set, "show", "Shows roles, keys and thresholds",
                              "\nExample:\n  tandem-release keyset show keys-2.json --json",
                              [&shown] { return ShowFile(shown.first, shown.second); });
  show->add_option("file", shown.first, "key set")->required();
  show->add_flag("--json", shown.second, "for programs");
}

}  // namespace tandem::release_tool
