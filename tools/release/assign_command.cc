// assign
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cm/health/probe.h"
#include "common/config/yaml_config.h"
#include "common/crypto/assigned_terms.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "tandem/config/v1/release_spec.pb.h"
#include "tandem/release/v1/release.pb.h"
#include "tools/release/command.h"

namespace tandem::release_tool {
namespace {

using release::v1::Assignment;
using release::v1::Release;

struct AssignOptions {
  std::string name_space;
  std::string unit;
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  std::vector<std::string> releases;
  std::vector<std::string> base_urls;
  std::string commit_on = "health";
  std::string verdict_timeout;
  std::string not_before;
  std::string not_after;
  std::string preconditions;
  std::vector<std::string> conditions;
  bool needs_approval = false;
  std::string rollback_of;
  std::string correlation_id;
  ExpiryOptions expiry;
  std::vector<std::string> keys;
  std::string out;
};

// Every plane of every release is assigned.
absl::Status AddRelease(const std::string& path, Assignment& assignment) {
  ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
  ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(text));
  Release release;
  if (envelope.payload_type != kReleaseType || !release.ParseFromString(envelope.payload)) {
    return absl::InvalidArgumentError("it is not a release");
  }
  if (release.namespace_() != assignment.namespace_()) {
    return absl::InvalidArgumentError(absl::StrCat("it is for namespace \"", release.namespace_(), "\""));
  }
  for (const int plane : release.planes()) {
    release::v1::PlaneRelease* added = assignment.add_planes();
    added->set_plane(static_cast<release::v1::Plane>(plane));
    added->set_release_digest(Sha256(envelope.payload));
  }
  return absl::OkStatus();
}

absl::Status AddPolicy(const AssignOptions& options, Assignment& assignment) {
  if (options.commit_on == "verified") assignment.set_commit_on(release::v1::VERIFIED);
  if (!options.verdict_timeout.empty()) {
    ASSIGN_OR_RETURN(const absl::Duration timeout, ParseDurationText(options.verdict_timeout));
    assignment.mutable_verdict_timeout()->set_seconds(absl::ToInt64Seconds(timeout));
  }
  if (!options.not_before.empty()) {
    ASSIGN_OR_RETURN(const absl::Time time, ParseTimeText(options.not_before));
    SetTime(assignment.mutable_window()->mutable_not_before(), time);
  }
  if (!options.not_after.empty()) {
    ASSIGN_OR_RETURN(const absl::Time time, ParseTimeText(options.not_after));
    SetTime(assignment.mutable_window()->mutable_not_after(), time);
  }
  if (!options.preconditions.empty()) {
    config::v1::PreconditionSpec spec;
    RETURN_IF_ERROR(LoadYamlFile(options.preconditions, spec));
    RETURN_IF_ERROR(
        Annotate(cm::CheckProbes({spec.preconditions().begin(), spec.preconditions().end()}), options.preconditions));
    *assignment.mutable_preconditions() = spec.preconditions();
  }
  *assignment.mutable_conditions() = {options.conditions.begin(), options.conditions.end()};
  RETURN_IF_ERROR(CheckAssignedConditions(assignment.preconditions(), assignment.conditions()));
  RETURN_IF_ERROR(CheckBaseUrls(assignment.base_urls()));
  if (!options.rollback_of.empty()) {
    ASSIGN_OR_RETURN(*assignment.mutable_rollback_of(), DigestOfText(options.rollback_of));
  }
  assignment.set_needs_approval(options.needs_approval);
  return absl::OkStatus();
}

absl::Status Assign(const AssignOptions& options) {
  RETURN_IF_ERROR(CheckTopicLevel(options.name_space, "namespace"));
  RETURN_IF_ERROR(CheckTopicLevel(options.unit, "unit"));
  Assignment assignment;
  assignment.set_namespace_(options.name_space);
  assignment.set_unit_id(options.unit);
  assignment.set_sequence(options.sequence);
  assignment.set_attempt(options.attempt);
  SetTime(assignment.mutable_issued_at(), absl::Now());
  ASSIGN_OR_RETURN(const absl::Time expires, ExpiryTime(options.expiry));
  SetTime(assignment.mutable_expires(), expires);
  for (const std::string& release : options.releases) {
    RETURN_IF_ERROR(Annotate(AddRelease(release, assignment), release));
  }
  *assignment.mutable_base_urls() = {options.base_urls.begin(), options.base_urls.end()};
  assignment.set_correlation_id(options.correlation_id.empty() ? NewMessageId() : options.correlation_id);
  RETURN_IF_ERROR(AddPolicy(options, assignment));
  RETURN_IF_ERROR(CheckAssignment(assignment));
  ASSIGN_OR_RETURN(const std::vector<PrivateKey> keys, LoadPrivateKeys(options.keys));
  ASSIGN_OR_RETURN(const std::string envelope, SealDocument(assignment, kAssignmentType, keys));
  return WriteOutput(options.out, envelope);
}

}  // namespace

void AddAssignCommand(CLI::App& app) {
  auto& options = Own<AssignOptions>();
  CLI::App* assign = AddCommand(app, "assign", "Orders one unit to one release per plane", R"(
Examples:
  tandem-release assign --namespace acme --unit gw-17 --sequence 8 --release site/releases/gw-2.json \
      --base-url https://updates.example.com/site/ --key online.pem --out assignment.json
  tandem-release assign --namespace acme --unit gw-17 --sequence 9 --release site/releases/gw-1.json \
      --rollback-of site/releases/gw-2.json --base-url https://updates.example.com/site/ --key online.pem
A unit refuses a lower sequence; a release that failed there is tried again only by a higher attempt.)",
                                [&options] { return Assign(options); });
  assign->add_option("--namespace", options.name_space, "as in the key set")->required();
  assign->add_option("--unit", options.unit, "unit_id of the unit")->required();
  assign->add_option("--sequence", options.sequence, "higher than any before for this unit; 1 to 2^53")
      ->required()
      ->check(WholeNumber(1));
  assign->add_option("--attempt", options.attempt, "higher to try the same again")
      ->capture_default_str()
      ->check(WholeNumber(0, std::numeric_limits<uint32_t>::max()));
  assign->add_option("--release", options.releases, "releases, for all of their planes")->required();
  assign->add_option("--base-url", options.base_urls, "http(s) URLs, in order of preference");
  assign->add_option("--commit-on", options.commit_on, "health, or verified: by the fleet's verdict")
      ->check(CLI::IsMember({"health", "verified"}))
      ->capture_default_str();
  assign->add_option("--verdict-timeout", options.verdict_timeout, "how long to wait for the verdict, such as 10m");
  assign->add_option("--not-before", options.not_before, "begin of the install window");
  assign->add_option("--not-after", options.not_after, "end of the install window");
  assign->add_option("--preconditions", options.preconditions, "YAML file with a list `preconditions` of probes");
  assign->add_option("--condition", options.conditions,
                     "names of conditions of the unit or the release, to hold as well");
  assign->add_flag("--needs-approval", options.needs_approval, "somebody at the unit must approve");
  assign->add_option("--rollback-of", options.rollback_of, "the release that is taken back: a digest or a file");
  assign->add_option("--correlation-id", options.correlation_id, "in every log line; default: a random one");
  AddExpiryOptions(*assign, options.expiry, "7d");
  assign->add_option("--key", options.keys, "private assignment keys")->required();
  assign->add_option("--out", options.out, "file to write; default: standard output");
}

}  // namespace tandem::release_tool
