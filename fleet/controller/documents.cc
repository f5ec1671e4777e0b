#include "fleet/controller/documents.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/controller/audit.h"
#include "fleet/rollout/targeting.h"
#include "fleet/store/release_table.h"

namespace tandem::fleet {
namespace {

// Releases that are kept open. A fleet has some dozens that matter at a time.
constexpr size_t kMaxOpenReleases = 256;

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone()); }

absl::StatusOr<std::shared_ptr<const OpenedRelease>> OpenStored(ReleaseRow row) {
  // Verified when it was imported; whoever can write the store could replace the check as well.
  ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(row.envelope));
  auto opened = std::make_shared<OpenedRelease>();
  if (!opened->document.ParseFromString(envelope.payload)) {
    return absl::DataLossError(absl::StrCat("the stored release ", row.release_id, " cannot be read"));
  }
  opened->digest = Sha256(envelope.payload);
  opened->row = std::move(row);
  return opened;
}

absl::StatusOr<std::vector<std::string>> Signers(const std::string& envelope) {
  ASSIGN_OR_RETURN(const DsseEnvelope parsed, ParseDsse(envelope));
  std::vector<std::string> signers;
  for (const DsseSignature& signature : parsed.signatures) signers.push_back(signature.keyid);
  return signers;
}

}  // namespace

PlaneSet PlanesOf(const release::v1::Release& release) {
  PlaneSet planes = 0;
  for (const int plane : release.planes()) planes |= PlaneSet{1} << (plane - 1);
  return planes;
}

absl::Status Documents::Refresh(StoreTransaction& tx) {
  DocumentTable table(tx);
  ASSIGN_OR_RETURN(std::vector<std::string> key_sets, table.KeySets());
  ASSIGN_OR_RETURN(const std::string list, table.ReleaseList());
  const std::shared_ptr<const TrustedDocuments> known = trusted();
  if (key_sets == known->key_set_envelopes && list == (known->list.has_value() ? known->list->envelope : "")) {
    return absl::OkStatus();
  }
  auto fresh = std::make_shared<TrustedDocuments>();
  if (!key_sets.empty()) {
    ASSIGN_OR_RETURN(fresh->keys, Annotate(LoadKeySetChain(key_sets, name_space_), "the stored key sets"));
  }
  if (!list.empty() && fresh->keys.has_value()) {
    absl::StatusOr<Signed<release::v1::ReleaseList>> opened = OpenReleaseList(list, *fresh->keys);
    if (opened.ok()) {
      fresh->list = *std::move(opened);
    } else {
      // The keys went on, and it was signed by one that is no more.
      LogWarning("the stored release list is not signed by today's keys; import a new one",
                 {{"reason", ToPersonText(opened.status())}});
    }
  }
  fresh->key_set_envelopes = std::move(key_sets);
  std::lock_guard lock(mutex_);
  trusted_ = std::move(fresh);
  return absl::OkStatus();
}

std::shared_ptr<const TrustedDocuments> Documents::trusted() const {
  std::lock_guard lock(mutex_);
  return trusted_;
}

absl::StatusOr<TrustedKeys> Documents::RequireKeys() const {
  const std::shared_ptr<const TrustedDocuments> now = trusted();
  if (now->keys.has_value()) return *now->keys;
  return absl::FailedPreconditionError("there is no key set yet: `tandem-fleetctl keys import KEYSET.json` first");
}

absl::Status Documents::ImportKeySets(StoreTransaction& tx, const std::vector<std::string>& envelopes,
                                      const std::string& actor, int64_t now) {
  RETURN_IF_ERROR(Refresh(tx));
  if (envelopes.empty()) return absl::InvalidArgumentError("no key set is given");
  std::vector<std::string> chain = envelopes;
  std::optional<TrustedKeys> from = trusted()->keys;
  const uint64_t before = from.has_value() ? from->version() : 0;
  DocumentTable table(tx);
  if (!from.has_value()) {
    ASSIGN_OR_RETURN(from, TrustedKeys::FromFirst(chain[0], name_space_));
    RETURN_IF_ERROR(table.AddKeySet(static_cast<int64_t>(from->version()), chain[0]));
    chain.erase(chain.begin());
  }
  ASSIGN_OR_RETURN(const KeySetWalk walk, WalkKeySets(*from, chain, absl::FromUnixSeconds(now)));
  uint64_t version = from->version();
  for (const std::string& taken : walk.taken) {
    RETURN_IF_ERROR(table.AddKeySet(static_cast<int64_t>(++version), taken));
  }
  if (before != 0 && walk.keys.AssignmentEra(walk.keys.version()) > before) {
    // What a dropped key signed is refused by units that know of it: everything is signed anew.
    RETURN_IF_ERROR(tx.sql.Run("UPDATE assignments SET expires = 0", {}).status());
  }
  return Audit(tx, {.at = now,
                    .actor = actor,
                    .event = "keys.imported",
                    .object = "keys",
                    .old_value = AuditJson({{"version", absl::StrCat(before)}}),
                    .new_value = AuditJson({{"version", absl::StrCat(walk.keys.version())}})});
}

absl::Status Documents::ImportReleaseList(StoreTransaction& tx, const std::string& envelope, const std::string& actor,
                                          int64_t now) {
  RETURN_IF_ERROR(Refresh(tx));
  ASSIGN_OR_RETURN(const TrustedKeys keys, RequireKeys());
  ASSIGN_OR_RETURN(const Signed<release::v1::ReleaseList> list, OpenReleaseList(envelope, keys));
  const std::shared_ptr<const TrustedDocuments> known = trusted();
  const uint64_t version = list.document.version();
  const uint64_t before = known->list.has_value() ? known->list->document.version() : 0;
  if (version < before) {
    return absl::FailedPreconditionError(
        absl::StrCat("release list version ", version, " is older than the stored one, ", before));
  }
  if (version == before && known->list->digest != list.digest) {
    return absl::FailedPreconditionError(
        absl::StrCat("another release list has version ", version, " already; sign this one with a higher version"));
  }
  const absl::Time expires = ExpiryOf(list.document.has_expires(), list.document.expires());
  if (expires <= absl::FromUnixSeconds(now)) {
    return absl::FailedPreconditionError(absl::StrCat("the release list expired ", TimeText(expires)));
  }
  RETURN_IF_ERROR(DocumentTable(tx).SetReleaseList(static_cast<int64_t>(version), envelope));
  return Audit(tx, {.at = now,
                    .actor = actor,
                    .event = "release_list.imported",
                    .object = "keys",
                    .old_value = AuditJson({{"version", absl::StrCat(before)}}),
                    .new_value = AuditJson({{"version", absl::StrCat(version)},
                                            {"releases", absl::StrCat(list.document.release_digests_size())}})});
}

absl::StatusOr<ReleaseRow> Documents::ImportRelease(StoreTransaction& tx, const std::string& envelope,
                                                    const std::vector<std::string>& base_urls, const std::string& actor,
                                                    int64_t now) {
  RETURN_IF_ERROR(Refresh(tx));
  ASSIGN_OR_RETURN(const TrustedKeys keys, RequireKeys());
  ASSIGN_OR_RETURN(const Signed<release::v1::Release> opened, OpenRelease(envelope, keys));
  for (const release::v1::Diagnostic& diagnostic : opened.document.diagnostics()) {
    RETURN_IF_ERROR(Annotate(TargetExpression::Parse(diagnostic.target()).status(),
                             absl::StrCat("diagnostic \"", diagnostic.name(), "\", target")));
  }
  ReleaseRow row{.digest = HexEncode(opened.digest),
                 .release_id = opened.document.release_id(),
                 .planes = PlanesOf(opened.document),
                 .envelope = envelope,
                 .base_urls = base_urls,
                 .imported_at = now,
                 .imported_by = actor};
  ASSIGN_OR_RETURN(row.signers, Signers(envelope));
  ASSIGN_OR_RETURN(row.number, ReleaseTable(tx).Add(row));
  RETURN_IF_ERROR(Audit(tx, {.at = now,
                             .actor = actor,
                             .event = "release.imported",
                             .object = absl::StrCat("release/", row.release_id),
                             .new_value = AuditJson({{"digest", row.digest}})}));
  return row;
}

absl::StatusOr<std::shared_ptr<const OpenedRelease>> Documents::Release(StoreTransaction& tx, int64_t number) {
  {
    std::lock_guard lock(mutex_);
    if (const auto found = releases_.find(number); found != releases_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(ReleaseRow row, ReleaseTable(tx).Get(number));
  ASSIGN_OR_RETURN(std::shared_ptr<const OpenedRelease> opened, OpenStored(std::move(row)));
  std::lock_guard lock(mutex_);
  if (releases_.size() >= kMaxOpenReleases) releases_.clear();
  return releases_[number] = std::move(opened);
}

absl::StatusOr<int64_t> Documents::NumberOf(StoreTransaction& tx, const std::string& digest_hex) {
  if (digest_hex.empty()) return 0;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = numbers_.find(digest_hex); found != numbers_.end()) return found->second;
  }
  int64_t number = 0;
  RETURN_IF_ERROR(tx.sql.Query("SELECT number FROM releases WHERE digest = ?1", {digest_hex},
                               [&](const SqlRow& row) { number = row.Int(0); }));
  // An unknown one may be imported later.
  if (number == 0) return 0;
  std::lock_guard lock(mutex_);
  if (numbers_.size() >= kMaxOpenReleases) numbers_.clear();
  return numbers_[digest_hex] = number;
}

absl::Status Documents::CheckCanSign(int64_t now) const {
  ASSIGN_OR_RETURN(const TrustedKeys keys, RequireKeys());
  const absl::Time time = absl::FromUnixSeconds(now);
  if (keys.expires() <= time) {
    return absl::FailedPreconditionError(absl::StrCat("the key set expired ", TimeText(keys.expires()),
                                                      ": units refuse everything until a new one is imported"));
  }
  const RoleKeys& role = keys.role(KeyRole::kAssignment);
  if (std::ranges::find(role.keys, signer_.public_key()) == role.keys.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("this controller's assignment key ", signer_.public_key().keyid(), " is not in key set ",
                     keys.version(), ": units would refuse it. Import a key set that has it, or use its key"));
  }
  if (role.threshold != 1) {
    return absl::FailedPreconditionError(absl::StrCat("key set ", keys.version(), " wants ", role.threshold,
                                                      " signatures on an assignment; the fleet signs with one key"));
  }
  const std::shared_ptr<const TrustedDocuments> trusted_now = trusted();
  if (!trusted_now->list.has_value()) {
    return absl::FailedPreconditionError("there is no release list; import one that names the release");
  }
  const release::v1::ReleaseList& list = trusted_now->list->document;
  const absl::Time expires = ExpiryOf(list.has_expires(), list.expires());
  if (expires <= time) {
    return absl::FailedPreconditionError(absl::StrCat("release list ", list.version(), " expired ", TimeText(expires),
                                                      ": units refuse it; import a new one"));
  }
  return absl::OkStatus();
}

absl::Status Documents::CheckAssignable(const OpenedRelease& release, int64_t now) const {
  RETURN_IF_ERROR(CheckCanSign(now));
  const std::shared_ptr<const TrustedDocuments> trusted_now = trusted();
  const release::v1::ReleaseList& list = trusted_now->list->document;
  if (std::ranges::find(list.release_digests(), release.digest) == list.release_digests().end()) {
    return absl::FailedPreconditionError(absl::StrCat("release ", release.row.release_id, " is not in release list ",
                                                      list.version(),
                                                      ": it was withdrawn, or the list that has it is not imported"));
  }
  {
    std::lock_guard lock(mutex_);
    const auto found = signed_under_.find(release.row.number);
    if (found != signed_under_.end() && found->second == trusted_now) return absl::OkStatus();
  }
  // A key that signed it may have been revoked since. Reading a large release takes a while: once for what is trusted.
  RETURN_IF_ERROR(OpenRelease(release.row.envelope, *trusted_now->keys).status());
  std::lock_guard lock(mutex_);
  if (signed_under_.size() >= kMaxOpenReleases) signed_under_.clear();
  signed_under_[release.row.number] = trusted_now;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Documents::DesiredJson(StoreTransaction& tx, const std::string& assignment,
                                                   const PlaneReleases& planes) {
  const std::shared_ptr<const TrustedDocuments> trusted_now = trusted();
  // Envelopes are JSON objects already: joined as they are, a thousand desired states cost what copying them costs.
  std::string json = absl::StrCat("{\"assignment\":", assignment, ",\"releases\":[");
  std::vector<int64_t> added;
  for (const int64_t number : planes) {
    if (number == 0 || std::ranges::find(added, number) != added.end()) continue;
    ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> release, Release(tx, number));
    absl::StrAppend(&json, added.empty() ? "" : ",", release->row.envelope);
    added.push_back(number);
  }
  json.append("]");
  if (trusted_now->list.has_value()) absl::StrAppend(&json, ",\"release_list\":", trusted_now->list->envelope);
  json.append(",\"key_sets\":[");
  for (const std::string& envelope : trusted_now->key_set_envelopes) {
    absl::StrAppend(&json, &envelope == trusted_now->key_set_envelopes.data() ? "" : ",", envelope);
  }
  json.append("]}");
  return json;
}

absl::StatusOr<std::string> Documents::KeySetsJson() const { return SerializeKeySets(trusted()->key_set_envelopes); }

}  // namespace tandem::fleet
