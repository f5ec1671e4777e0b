// create, sign, list
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cm/health/probe.h"
#include "common/config/yaml_config.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/image/chunk_index.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "fleet/rollout/targeting.h"
#include "tandem/config/v1/release_spec.pb.h"
#include "tandem/release/v1/release.pb.h"
#include "tools/release/command.h"

namespace tandem::release_tool {
namespace {

using config::v1::ReleaseSpec;
using config::v1::SpecComponent;
using release::v1::Release;
using release::v1::ReleaseList;

struct CreateOptions {
  std::string spec;
  std::string out;
  std::vector<std::string> keys;
};

struct SignOptions {
  std::string file;
  std::vector<std::string> keys;
  std::vector<std::string> key_sets;
  std::string out;
};

struct ListOptions {
  std::string name_space;
  std::string from;
  uint64_t version = 0;
  std::vector<std::string> releases;
  std::vector<std::string> withdrawn;
  ExpiryOptions expiry;
  std::vector<std::string> keys;
  std::string out;
};

// Into the folder a web server serves, under its digest: there before the release that names it is written.
absl::Status PublishArtifact(const std::string& file, const std::string& sha256, const std::string& folder) {
  const std::string target = JoinPath(folder, HexEncode(sha256));
  std::error_code error;
  if (std::filesystem::exists(target, error)) return absl::OkStatus();
  const std::string partial = target + ".part";
  std::filesystem::copy_file(file, partial, std::filesystem::copy_options::overwrite_existing, error);
  if (!error) RETURN_IF_ERROR(FileSystem::Real().ShareWithAll(partial));
  if (!error) std::filesystem::rename(partial, target, error);
  if (!error) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat("copy ", file, " to ", target, ": ", error.message()));
}

absl::Status AddComponent(const SpecComponent& spec, const std::string& spec_folder, uint32_t chunk_size,
                          const std::string& artifacts, Release& release) {
  const std::string file =
      std::filesystem::path(spec.file()).is_absolute() ? spec.file() : JoinPath(spec_folder, spec.file());
  ASSIGN_OR_RETURN(ImageIndex index, IndexImage(FileSystem::Real(), file, chunk_size));
  RETURN_IF_ERROR(PublishArtifact(file, index.sha256, artifacts));
  release::v1::ReleaseComponent* component = release.add_components();
  component->set_component_id(spec.component_id());
  component->set_component_type(spec.component_type());
  component->set_plane(spec.plane() == release::v1::PLANE_UNSPECIFIED ? release::v1::FIRMWARE : spec.plane());
  component->set_version(spec.version());
  component->set_path(absl::StrCat("artifacts/", HexEncode(index.sha256)));
  component->set_sha256(index.sha256);
  component->set_size(index.size);
  if (index.size > 0) {
    component->mutable_chunks()->set_chunk_size(chunk_size);
    component->mutable_chunks()->set_digests(std::move(index.chunk_digests));
  }
  component->set_annotations(spec.annotations());
  *component->mutable_hardware() = spec.hardware();
  *component->mutable_requirements() = spec.requirements();
  component->set_security_version(spec.security_version());
  return absl::OkStatus();
}

// A number that is told by its name cannot be taken for another one.
void WarnOfNamelessNumbers(const release::v1::Probe& probe) {
  if (!probe.exec().has_threshold() || !probe.exec().measurement().empty()) return;
  std::cerr << "warning: probe \"" << probe.name()
            << "\" has a threshold and no measurement: it fails unless its command prints "
            << "exactly one number; print \"measure NAME VALUE\" and name the measurement\n";
}

// With the line of the one that is wrong.
absl::Status AddDiagnostics(const ReleaseSpec& spec, const ConfigLines& lines, Release& release) {
  for (int i = 0; i < spec.diagnostics_size(); ++i) {
    const release::v1::Diagnostic& diagnostic = spec.diagnostics(i);
    const std::string path = absl::StrCat("diagnostics[", i, "]");
    *release.add_diagnostics() = diagnostic;
    RETURN_IF_ERROR(Annotate(CheckRelease(release), lines.Of(path)));
    const std::string where = absl::StrCat(lines.Of(path + ".check"), ": diagnostic \"", diagnostic.name(), "\"");
    release::v1::Probe named = diagnostic.check();
    named.set_name(diagnostic.name());
    RETURN_IF_ERROR(Annotate(cm::CheckProbes({named}), where));
    WarnOfNamelessNumbers(named);
    if (diagnostic.target().empty()) continue;
    RETURN_IF_ERROR(Annotate(fleet::TargetExpression::Parse(diagnostic.target()).status(), lines.Of(path + ".target")));
  }
  *release.mutable_rollback() = spec.rollback();
  return Annotate(CheckRelease(release), lines.Of("rollback"));
}

absl::Status Create(const CreateOptions& options) {
  ReleaseSpec spec;
  ConfigLines lines;
  RETURN_IF_ERROR(LoadYamlFile(options.spec, spec, &lines));
  RETURN_IF_ERROR(Require(options.spec, spec, {"namespace", "release_id", "components"}));
  RETURN_IF_ERROR(Annotate(CheckTopicLevel(spec.release_id(), "release_id"), options.spec));
  ASSIGN_OR_RETURN(const std::vector<PrivateKey> keys, LoadPrivateKeys(options.keys));
  const std::string artifacts = JoinPath(options.out, "artifacts");
  const std::string releases = JoinPath(options.out, "releases");
  RETURN_IF_ERROR(FileSystem::Real().MakeSharedFolders(artifacts));
  RETURN_IF_ERROR(FileSystem::Real().MakeSharedFolders(releases));

  Release release;
  release.set_namespace_(spec.namespace_());
  release.set_release_id(spec.release_id());
  release.set_rollback_target(spec.rollback_target());
  release.set_notes(spec.notes());
  SetTime(release.mutable_created_at(), absl::Now());
  const uint32_t chunk_size = spec.chunk_size() == 0 ? kDefaultChunkSize : spec.chunk_size();
  for (const SpecComponent& component : spec.components()) {
    RETURN_IF_ERROR(Annotate(AddComponent(component, ParentFolder(options.spec), chunk_size, artifacts, release),
                             absl::StrCat(options.spec, ": component type \"", component.component_type(), "\"")));
  }
  std::set<release::v1::Plane> planes;
  for (const auto& component : release.components()) {
    if (planes.insert(component.plane()).second) release.add_planes(component.plane());
  }
  *release.mutable_health()->mutable_probes() = spec.probes();
  *release.mutable_conditions() = spec.conditions();
  RETURN_IF_ERROR(Annotate(CheckRelease(release), options.spec));
  RETURN_IF_ERROR(AddDiagnostics(spec, lines, release));
  // What a unit could not run is refused here, not there.
  RETURN_IF_ERROR(Annotate(cm::CheckProbes({spec.probes().begin(), spec.probes().end()}), options.spec));
  for (const release::v1::Probe& probe : spec.probes()) WarnOfNamelessNumbers(probe);
  for (const release::v1::Probe& probe : spec.conditions()) WarnOfNamelessNumbers(probe);
  RETURN_IF_ERROR(Annotate(cm::CheckProbes({spec.conditions().begin(), spec.conditions().end()}), options.spec));
  ASSIGN_OR_RETURN(const std::string envelope, SealDocument(release, kReleaseType, keys));
  const std::string file = JoinPath(releases, spec.release_id() + ".json");
  if (FileSystem::Real().Exists(file)) {
    return absl::AlreadyExistsError(absl::StrCat(file, " exists; a release is immutable: choose another release_id"));
  }
  RETURN_IF_ERROR(WriteOutput(file, envelope));
  std::cout << "release  " << spec.release_id() << "\ndigest   " << HexEncode(Sha256(release.SerializeAsString()))
            << "\nfile     " << file << "\n";
  if (keys.empty()) std::cerr << "not signed yet: tandem-release sign " << file << " --key KEY\n";
  return absl::OkStatus();
}

// The role whose keys sign documents of this type.
absl::StatusOr<KeyRole> RoleFor(const std::string& payload_type) {
  if (payload_type == kReleaseType || payload_type == kReleaseListType) return KeyRole::kRelease;
  if (payload_type == kAssignmentType) return KeyRole::kAssignment;
  if (payload_type == kKeySetType) return KeyRole::kRoot;
  return absl::InvalidArgumentError(absl::StrCat("nobody signs documents of type ", payload_type));
}

bool HasKey(const RoleKeys& role, const PublicKey& key) {
  return std::find(role.keys.begin(), role.keys.end(), key) != role.keys.end();
}

// A root key of the next key set is in that document only.
bool IsOwnRootKey(const DsseEnvelope& envelope, const PublicKey& key) {
  release::v1::KeySet key_set;
  if (envelope.payload_type != kKeySetType || !key_set.ParseFromString(envelope.payload)) return false;
  const auto& keys = key_set.root().keys();
  return std::any_of(keys.begin(), keys.end(), [&](const auto& own) { return own.der() == key.der(); });
}

absl::Status CheckRoles(const DsseEnvelope& envelope, const std::vector<PrivateKey>& keys,
                        const std::vector<std::string>& key_files, const TrustedKeys& trusted) {
  ASSIGN_OR_RETURN(const KeyRole wanted, RoleFor(envelope.payload_type));
  for (size_t i = 0; i < keys.size(); ++i) {
    const PublicKey& key = keys[i].public_key();
    if (HasKey(trusted.role(wanted), key) || IsOwnRootKey(envelope, key)) continue;
    std::vector<std::string> roles;
    for (const KeyRole role : {KeyRole::kRoot, KeyRole::kRelease, KeyRole::kAssignment}) {
      if (HasKey(trusted.role(role), key)) roles.emplace_back(KeyRoleName(role));
    }
    return absl::PermissionDeniedError(absl::StrCat(
        key_files[i], roles.empty() ? " is in no role of the key set" : " is a key of role ",
        absl::StrJoin(roles, " and "), "; this document is signed by role ", std::string(KeyRoleName(wanted))));
  }
  return absl::OkStatus();
}

absl::Status Sign(const SignOptions& options) {
  ASSIGN_OR_RETURN(const std::string text, ReadInput(options.file));
  ASSIGN_OR_RETURN(DsseEnvelope envelope, Annotate(ParseDsse(text), options.file));
  ASSIGN_OR_RETURN(const std::vector<PrivateKey> keys, LoadPrivateKeys(options.keys));
  if (!options.key_sets.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> chain, ReadInputs(options.key_sets));
    ASSIGN_OR_RETURN(const TrustedKeys trusted, Annotate(LoadKeySetChain(chain, ""), "--key-set"));
    RETURN_IF_ERROR(CheckRoles(envelope, keys, options.keys, trusted));
  }
  for (const PrivateKey& key : keys) RETURN_IF_ERROR(SignDsse(envelope, key));
  RETURN_IF_ERROR(WriteOutput(options.out.empty() ? options.file : options.out, SerializeDsse(envelope)));
  std::cerr << envelope.signatures.size() << " signature(s)\n";
  return absl::OkStatus();
}

absl::Status List(const ListOptions& options) {
  ReleaseList list;
  if (!options.from.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadInput(options.from));
    ASSIGN_OR_RETURN(const DsseEnvelope envelope, Annotate(ParseDsse(text), options.from));
    if (envelope.payload_type != kReleaseListType || !list.ParseFromString(envelope.payload)) {
      return absl::InvalidArgumentError(absl::StrCat(options.from, " is not a release list"));
    }
  }
  if (!options.name_space.empty()) list.set_namespace_(options.name_space);
  if (list.namespace_().empty()) return absl::InvalidArgumentError("give --namespace, or --from");
  list.set_version(options.version != 0 ? options.version : list.version() + 1);
  std::vector<std::string> digests(list.release_digests().begin(), list.release_digests().end());
  for (const std::string& release : options.releases) {
    ASSIGN_OR_RETURN(const std::string digest, DigestOfText(release));
    if (std::find(digests.begin(), digests.end(), digest) == digests.end()) digests.push_back(digest);
  }
  for (const std::string& withdrawn : options.withdrawn) {
    ASSIGN_OR_RETURN(const std::string digest, DigestOfText(withdrawn));
    if (std::erase(digests, digest) == 0) {
      return absl::NotFoundError(absl::StrCat("release ", HexEncode(digest), " is not in the list"));
    }
  }
  *list.mutable_release_digests() = {digests.begin(), digests.end()};
  ASSIGN_OR_RETURN(const absl::Time expires, ExpiryTime(options.expiry));
  SetTime(list.mutable_expires(), expires);
  ASSIGN_OR_RETURN(const std::vector<PrivateKey> keys, LoadPrivateKeys(options.keys));
  ASSIGN_OR_RETURN(const std::string envelope, SealDocument(list, kReleaseListType, keys));
  RETURN_IF_ERROR(WriteOutput(options.out, envelope));
  std::cerr << "release list version " << list.version() << " with " << digests.size() << " release(s)\n";
  return absl::OkStatus();
}

}  // namespace

void AddReleaseCommands(CLI::App& app) {
  auto& created = Own<CreateOptions>();
  CLI::App* create = AddCommand(app, "create", "Makes a release from a YAML spec, and a folder for any web server", R"(
Example spec (gateway.yaml):
  namespace: acme
  release_id: gw-2026.11.2
  components:
    - component_type: gateway-rootfs
      component_id: rootfs
      version: 2026.11.2
      file: rootfs.squashfs
      hardware: [rev-b]
      requirements: [{component_type: stm32, min_version: 3.1.0}]
    - {component_type: maps, plane: model, version: "8", file: maps.tar.zst}
  probes:
    - {name: web, http: {url: "http://127.0.0.1/health"}, grace: 10s, successes_needed: 3}
  diagnostics:
    - {name: inference, run_after_ota: true, check: {exec: {command: [/usr/lib/acme/check-inference]}}}
Example:
  tandem-release create --spec gateway.yaml --out site --key release-1.pem
Writes site/artifacts/<sha256> and site/releases/<release_id>.json; base URL of the assignment: where `site` is served.)",
                                [&created] { return Create(created); });
  create->add_option("--spec", created.spec, "YAML file; `file` entries are relative to it")->required();
  create->add_option("--out", created.out, "folder to serve")->required();
  create->add_option("--key", created.keys, "private release keys; more can sign later with `sign`");

  auto& signing = Own<SignOptions>();
  CLI::App* sign = AddCommand(app, "sign", "Adds signatures to a document, for a threshold of several keys",
                              "\nExample:\n  tandem-release sign site/releases/gw-1.json --key release-2.pem "
                              "--key-set keys-1.json",
                              [&signing] { return Sign(signing); });
  sign->add_option("file", signing.file, "any signed document; changed in place")->required();
  sign->add_option("--key", signing.keys, "private keys")->required();
  sign->add_option("--key-set", signing.key_sets, "the key sets, oldest first: refuses a key of another role");
  sign->add_option("--out", signing.out, "write here instead");

  auto& listing = Own<ListOptions>();
  CLI::App* list = AddCommand(app, "list", "Makes the list of releases that may be installed now", R"(
Examples:
  tandem-release list --namespace acme --release site/releases/gw-1.json --key release-1.pem --out list.json
  tandem-release list --from list.json --release site/releases/gw-2.json --key release-1.pem --out list.json
  tandem-release list --from list.json --withdraw site/releases/gw-1.json --key release-1.pem --out list.json)",
                              [&listing] { return List(listing); });
  list->add_option("--namespace", listing.name_space, "as in the key set");
  list->add_option("--from", listing.from, "the list so far; its version rises by one");
  list->add_option("--version", listing.version, "must not fall: units refuse an older one")->check(WholeNumber(1));
  list->add_option("--release", listing.releases, "releases to add: files or digests");
  list->add_option("--withdraw", listing.withdrawn, "releases to take out: units refuse them from now on");
  AddExpiryOptions(*list, listing.expiry, "30d");
  list->add_option("--key", listing.keys, "private release keys");
  list->add_option("--out", listing.out, "file to write; default: standard output");
}

}  // namespace tandem::release_tool
