// Releases and keys.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/assigned_terms.h"
#include "common/status/status.h"
#include "fleet/api/operations.h"
#include "fleet/api/page_token.h"
#include "fleet/api/routes.h"
#include "fleet/api/views.h"
#include "fleet/controller/audit.h"
#include "fleet/store/release_table.h"

namespace tandem::fleet {
namespace {

// Each is opened for its components.
constexpr int kMaxReleases = 100;
constexpr absl::Duration kWarnBefore = absl::Hours(24 * 30);

std::string DateOf(absl::Time time) { return absl::FormatTime("%Y-%m-%d", time, absl::UTCTimeZone()); }

// "key set 3 expires on 2027-01-01": when that is near, or past.
void WarnOfExpiry(const std::string& what, absl::Time expires, absl::Time now, v1::Keys& keys) {
  if (expires > now + kWarnBefore) return;
  keys.add_warnings(expires <= now ? absl::StrCat(what, " expired on ", DateOf(expires),
                                                  ": units refuse everything; import a new one")
                                   : absl::StrCat(what, " expires on ", DateOf(expires), "; import a new one before"));
}

void AddRole(KeyRole name, const RoleKeys& role, v1::Keys& keys) {
  for (const PublicKey& key : role.keys) {
    v1::RoleKey& shown = *keys.add_keys();
    shown.set_role(std::string(KeyRoleName(name)));
    shown.set_keyid(key.keyid());
    shown.set_algorithm(std::string(KeyAlgorithmName(key.algorithm())));
    shown.set_threshold(role.threshold);
  }
}

void AddKeySet(const TrustedKeys& trusted, const PublicKey& signer, absl::Time now, v1::Keys& keys) {
  keys.set_key_set_version(trusted.version());
  if (trusted.expires() != absl::InfiniteFuture()) {
    *keys.mutable_key_set_expires() = ToTimestamp(absl::ToUnixSeconds(trusted.expires()));
  }
  for (const KeyRole role : {KeyRole::kRoot, KeyRole::kRelease, KeyRole::kAssignment}) {
    AddRole(role, trusted.role(role), keys);
  }
  const RoleKeys& assignment = trusted.role(KeyRole::kAssignment);
  keys.set_signing_key_trusted(std::ranges::find(assignment.keys, signer) != assignment.keys.end());
  WarnOfExpiry(absl::StrCat("key set ", trusted.version()), trusted.expires(), now, keys);
  if (!keys.signing_key_trusted()) {
    keys.add_warnings(absl::StrCat("key set ", trusted.version(), " does not have this controller's key ",
                                   signer.keyid(), " for assignments: units would refuse what it signs"));
  }
  if (assignment.threshold > 1) {
    keys.add_warnings(absl::StrCat("key set ", trusted.version(), " wants ", assignment.threshold,
                                   " signatures on an assignment; the fleet signs with one key"));
  }
}

v1::Keys ViewOfKeys(const TrustedDocuments& trusted, const PublicKey& signer, int64_t seconds) {
  const absl::Time now = absl::FromUnixSeconds(seconds);
  v1::Keys keys;
  keys.set_signing_keyid(signer.keyid());
  if (trusted.keys.has_value()) {
    AddKeySet(*trusted.keys, signer, now, keys);
  } else {
    keys.add_warnings("there is no key set; `tandem-fleetctl keys import KEYSET.json`");
  }
  if (trusted.list.has_value()) {
    const release::v1::ReleaseList& list = trusted.list->document;
    keys.set_release_list_version(list.version());
    keys.set_releases_listed(static_cast<uint32_t>(list.release_digests_size()));
    const absl::Time expires = ExpiryOf(list.has_expires(), list.expires());
    if (list.has_expires()) *keys.mutable_release_list_expires() = list.expires();
    WarnOfExpiry(absl::StrCat("release list ", list.version()), expires, now, keys);
  } else {
    keys.add_warnings(
        "there is no release list that today's keys have signed; `tandem-fleetctl keys release-list FILE`");
  }
  return keys;
}

}  // namespace

absl::StatusOr<v1::Release> Operations::ReleaseView(StoreTransaction& tx, const ReleaseRow& row) {
  ASSIGN_OR_RETURN(const auto opened, parts_.documents.Release(tx, row.number));
  v1::Release view = ViewOf(*opened, row, *parts_.documents.trusted());
  ASSIGN_OR_RETURN(*view.mutable_verification(), ViewOfVerification(tx, row));
  return view;
}

absl::StatusOr<v1::Release> Operations::ImportRelease(const Caller& caller, const v1::ImportReleaseRequest& request) {
  if (request.envelope().empty()) return absl::InvalidArgumentError("envelope is needed: the file of tandem-release");
  RETURN_IF_ERROR(CheckBaseUrls(request.base_urls()));
  const int64_t now = parts_.time.Now();
  v1::Release view;
  const absl::Status written = parts_.store.Write("import release", [&](StoreTransaction& tx) -> absl::Status {
    const std::vector<std::string> urls(request.base_urls().begin(), request.base_urls().end());
    ASSIGN_OR_RETURN(const ReleaseRow row,
                     parts_.documents.ImportRelease(tx, request.envelope(), urls, caller.actor, now));
    // Opened below, when its number is for ever: a transaction that is tried again may get another.
    view.set_digest(row.digest);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  v1::GetReleaseRequest get;
  get.set_release(view.digest());
  return GetRelease(caller, get);
}

absl::StatusOr<v1::ListReleasesResponse> Operations::ListReleases(const Caller&,
                                                                  const v1::ListReleasesRequest& request) {
  constexpr char kQuery[] = "releases";
  ASSIGN_OR_RETURN(const int64_t before, NumberPositionOf(request.page_token(), kQuery));
  const int size = PageSize(request.page_size(), 50, kMaxReleases);
  v1::ListReleasesResponse response;
  const absl::Status read = parts_.store.Read("releases", [&](StoreTransaction& tx) -> absl::Status {
    response.Clear();
    RETURN_IF_ERROR(parts_.documents.Refresh(tx));
    ASSIGN_OR_RETURN(const auto rows, ReleaseTable(tx).List(before, size + 1));
    for (const ReleaseRow& row : rows) {
      if (response.releases_size() == size) {
        response.set_next_page_token(MakePageToken(kQuery, absl::StrCat(rows[static_cast<size_t>(size) - 1].number)));
        break;
      }
      ASSIGN_OR_RETURN(*response.add_releases(), ReleaseView(tx, row));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return response;
}

absl::StatusOr<v1::Release> Operations::GetRelease(const Caller&, const v1::GetReleaseRequest& request) {
  v1::Release view;
  const absl::Status read = parts_.store.Read("release", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(parts_.documents.Refresh(tx));
    ASSIGN_OR_RETURN(const ReleaseRow row, ReleaseTable(tx).Find(request.release()));
    ASSIGN_OR_RETURN(view, ReleaseView(tx, row));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return view;
}

absl::StatusOr<v1::Release> Operations::FreezeRelease(const Caller& caller, const v1::FreezeReleaseRequest& request) {
  if (!request.frozen() && caller.role < v1::RELEASE_MANAGER) {
    return absl::PermissionDeniedError(absl::StrCat("to let a frozen release go needs the role ",
                                                    std::string(RoleName(v1::RELEASE_MANAGER)), "; ", caller.actor,
                                                    " is ", std::string(RoleName(caller.role))));
  }
  if (request.reason().empty()) return absl::InvalidArgumentError("reason is needed: it is for the audit log");
  const int64_t now = parts_.time.Now();
  v1::Release view;
  const absl::Status written = parts_.store.Write("freeze release", [&](StoreTransaction& tx) -> absl::Status {
    ReleaseTable releases(tx);
    ASSIGN_OR_RETURN(ReleaseRow row, releases.Find(request.release()));
    if (row.frozen != request.frozen()) {
      const auto state = [](const ReleaseRow& release) {
        return AuditJson({{"frozen", release.frozen ? "true" : "false"}, {"reason", release.frozen_reason}});
      };
      const std::string before = state(row);
      row.frozen = request.frozen();
      row.frozen_reason = request.reason();
      RETURN_IF_ERROR(Audit(tx, {.at = now,
                                 .actor = caller.actor,
                                 .event = row.frozen ? "release.frozen" : "release.unfrozen",
                                 .severity = 2,
                                 .object = absl::StrCat("release/", row.release_id),
                                 .old_value = before,
                                 .new_value = state(row)}));
      if (!row.frozen) row.frozen_reason.clear();
      RETURN_IF_ERROR(releases.SetFrozen(row.number, row.frozen, row.frozen_reason));
      if (!row.frozen && row.verdict == ReleaseVerdict::kFailed) {
        // It gets another chance: its verification begins anew.
        row.verdict = ReleaseVerdict::kNone;
        row.failed_at = 0;
        row.failed_unit = 0;
        row.failed_reason.clear();
        row.auto_rolled_back = false;
        RETURN_IF_ERROR(releases.SaveVerdict(row));
      }
    }
    ASSIGN_OR_RETURN(view, ReleaseView(tx, row));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return view;
}

absl::StatusOr<v1::Keys> Operations::ImportReleaseList(const Caller& caller, const v1::ImportDocumentRequest& request) {
  if (request.envelopes_size() != 1) return absl::InvalidArgumentError("envelopes must be one release list");
  const int64_t now = parts_.time.Now();
  const absl::Status written = parts_.store.Write("import release list", [&](StoreTransaction& tx) {
    return parts_.documents.ImportReleaseList(tx, request.envelopes(0), caller.actor, now);
  });
  RETURN_IF_ERROR(written);
  return ReadKeys();
}

absl::StatusOr<v1::Keys> Operations::ImportKeySets(const Caller& caller, const v1::ImportDocumentRequest& request) {
  const int64_t now = parts_.time.Now();
  const std::vector<std::string> envelopes(request.envelopes().begin(), request.envelopes().end());
  const absl::Status written = parts_.store.Write("import key sets", [&](StoreTransaction& tx) {
    return parts_.documents.ImportKeySets(tx, envelopes, caller.actor, now);
  });
  RETURN_IF_ERROR(written);
  return ReadKeys();
}

absl::StatusOr<v1::Keys> Operations::GetKeys(const Caller&, const v1::GetKeysRequest&) { return ReadKeys(); }

absl::StatusOr<v1::Keys> Operations::ReadKeys() {
  const absl::Status read =
      parts_.store.Read("keys", [&](StoreTransaction& tx) { return parts_.documents.Refresh(tx); });
  RETURN_IF_ERROR(read);
  return ViewOfKeys(*parts_.documents.trusted(), parts_.documents.signer().public_key(), parts_.time.Now());
}

}  // namespace tandem::fleet
