#include "common/crypto/key_set.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"

namespace tandem {
namespace {

absl::StatusOr<RoleKeys> ParseRole(const release::v1::Role& role, KeyRole name) {
  const std::string where = absl::StrCat("role ", std::string(KeyRoleName(name)));
  if (role.keys_size() > kMaxRoleKeys) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, " has ", role.keys_size(), " keys; at most ", kMaxRoleKeys, " are taken"));
  }
  RoleKeys result;
  std::set<std::string> seen;
  for (const release::v1::PublicKey& key : role.keys()) {
    ASSIGN_OR_RETURN(PublicKey parsed, Annotate(PublicKey::FromDer(key.der()), where));
    if (!seen.insert(parsed.keyid()).second) {
      return absl::InvalidArgumentError(absl::StrCat(where, " lists key ", parsed.keyid(), " twice"));
    }
    result.keys.push_back(std::move(parsed));
  }
  result.threshold = role.threshold();
  if (result.threshold < 1 || result.threshold > result.keys.size()) {
    return absl::InvalidArgumentError(absl::StrCat(where, " has threshold ", result.threshold, " for ",
                                                   result.keys.size(), " key(s); it must be 1 to the number of keys"));
  }
  return result;
}

}  // namespace

std::string_view KeyRoleName(KeyRole role) {
  switch (role) {
    case KeyRole::kRoot:
      return "root";
    case KeyRole::kRelease:
      return "release";
    case KeyRole::kAssignment:
      return "assignment";
  }
  return "unknown";
}

const RoleKeys& TrustedKeys::role(KeyRole role) const {
  switch (role) {
    case KeyRole::kRelease:
      return release_;
    case KeyRole::kAssignment:
      return assignment_;
    case KeyRole::kRoot:
      break;
  }
  return root_;
}

bool TrustedKeys::HasInChain(std::string_view payload_digest) const {
  return std::find(chain_.begin(), chain_.end(), payload_digest) != chain_.end();
}

uint64_t TrustedKeys::AssignmentEra(uint64_t version) const {
  uint64_t era = assignment_eras_.front();
  for (const uint64_t begin : assignment_eras_) {
    if (begin <= version) era = begin;
  }
  return era;
}

absl::Time TrustedKeys::expires() const { return ExpiryOf(document_.has_expires(), document_.expires()); }

absl::StatusOr<TrustedKeys> TrustedKeys::FromPayload(std::string payload) {
  TrustedKeys result;
  if (!result.document_.ParseFromString(payload)) {
    return absl::InvalidArgumentError("the payload is not a key set");
  }
  if (result.document_.namespace_().empty() || result.document_.version() == 0) {
    return absl::InvalidArgumentError("the key set has no namespace or no version");
  }
  ASSIGN_OR_RETURN(result.root_, ParseRole(result.document_.root(), KeyRole::kRoot));
  ASSIGN_OR_RETURN(result.release_, ParseRole(result.document_.release(), KeyRole::kRelease));
  ASSIGN_OR_RETURN(result.assignment_, ParseRole(result.document_.assignment(), KeyRole::kAssignment));
  result.chain_.push_back(Sha256(payload));
  result.assignment_eras_.push_back(result.version());
  return result;
}

absl::StatusOr<TrustedKeys> TrustedKeys::Open(std::string_view envelope, const RoleKeys* signers) {
  ASSIGN_OR_RETURN(DsseEnvelope parsed, ParseDsse(envelope));
  if (signers != nullptr) {
    RETURN_IF_ERROR(Annotate(VerifyDsse(parsed, kKeySetType, signers->keys, signers->threshold),
                             "the root keys in force must sign their successor"));
  } else if (parsed.payload_type != kKeySetType) {
    return absl::InvalidArgumentError(
        absl::StrCat("the envelope holds ", parsed.payload_type, ", expected ", kKeySetType));
  }
  // The one payload that is read before it is verified is a first key set: its own keys are in it. Whoever put it on
  // the unit answers for it.
  ASSIGN_OR_RETURN(TrustedKeys result, FromPayload(parsed.payload));
  RETURN_IF_ERROR(Annotate(VerifyDsse(parsed, kKeySetType, result.root_.keys, result.root_.threshold),
                           "a key set must be signed by its own root keys"));
  result.envelope_ = std::string(envelope);
  return result;
}

absl::StatusOr<TrustedKeys> TrustedKeys::FromFirst(std::string_view envelope, std::string_view name_space) {
  ASSIGN_OR_RETURN(TrustedKeys result, Annotate(Open(envelope, nullptr), "first key set"));
  if (!name_space.empty() && result.name_space() != name_space) {
    return absl::PermissionDeniedError(absl::StrCat("the first key set is for namespace \"", result.name_space(),
                                                    "\", expected \"", std::string(name_space), "\""));
  }
  return result;
}

absl::StatusOr<TrustedKeys> TrustedKeys::Next(std::string_view envelope) const {
  const std::string where = absl::StrCat("key set after version ", version());
  ASSIGN_OR_RETURN(TrustedKeys next, Annotate(Open(envelope, &root_), where));
  if (next.name_space() != name_space()) {
    return absl::PermissionDeniedError(
        absl::StrCat(where, ": it is for namespace \"", next.name_space(), "\", expected \"", name_space(), "\""));
  }
  if (next.version() != version() + 1) {
    return absl::FailedPreconditionError(absl::StrCat(where, ": got version ", next.version(), ", expected ",
                                                      version() + 1, "; each step of the chain must be there"));
  }
  next.chain_.insert(next.chain_.begin(), chain_.begin(), chain_.end());
  next.assignment_eras_ = assignment_eras_;
  const std::vector<PublicKey>& kept = next.assignment_.keys;
  if (!std::ranges::all_of(assignment_.keys, [&](const PublicKey& key) {
        return std::find(kept.begin(), kept.end(), key) != kept.end();
      })) {
    next.assignment_eras_.push_back(next.version());
  }
  return next;
}

absl::StatusOr<KeySetWalk> WalkKeySets(const TrustedKeys& from, const std::vector<std::string>& envelopes,
                                       absl::Time now) {
  if (envelopes.size() > kMaxKeySetChain) {
    return absl::InvalidArgumentError(
        absl::StrCat("the chain has ", envelopes.size(), " key sets; at most ", kMaxKeySetChain, " are taken"));
  }
  KeySetWalk walk{.keys = from, .taken = {}};
  // Steps that led to the one in force are recognised by their digests. A list without any of them must begin with the
  // next step.
  size_t begin = 0;
  for (size_t i = 0; i < envelopes.size(); ++i) {
    ASSIGN_OR_RETURN(const DsseEnvelope parsed, Annotate(ParseDsse(envelopes[i]), absl::StrCat("key set ", i + 1)));
    if (from.HasInChain(Sha256(parsed.payload))) begin = i + 1;
  }
  for (size_t i = begin; i < envelopes.size(); ++i) {
    absl::StatusOr<TrustedKeys> next = walk.keys.Next(envelopes[i]);
    if (!next.ok()) return next.status();
    walk.keys = *std::move(next);
    walk.taken.push_back(envelopes[i]);
  }
  if (!walk.taken.empty() && walk.keys.expires() <= now) {
    return absl::FailedPreconditionError(absl::StrCat("key set version ", walk.keys.version(), " expired at ",
                                                      absl::FormatTime(walk.keys.expires(), absl::UTCTimeZone()),
                                                      "; publish a newer one"));
  }
  return walk;
}

absl::StatusOr<TrustedKeys> LoadKeySetChain(const std::vector<std::string>& envelopes, std::string_view name_space) {
  if (envelopes.empty()) return absl::InvalidArgumentError("there is no key set");
  ASSIGN_OR_RETURN(TrustedKeys keys, TrustedKeys::FromFirst(envelopes.front(), name_space));
  for (size_t i = 1; i < envelopes.size(); ++i) {
    ASSIGN_OR_RETURN(TrustedKeys next, keys.Next(envelopes[i]));
    keys = std::move(next);
  }
  return keys;
}

}  // namespace tandem
