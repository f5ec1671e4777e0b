#include "fleet/store/release_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

constexpr char kReleaseColumns[] =
    "number, digest, release_id, planes, envelope, signers, base_urls, frozen, frozen_reason, imported_at, "
    "imported_by, "
    "verdict, failed_at, failed_unit, failed_reason, auto_rolled_back";

constexpr char kHeadColumns[] =
    "number, digest, release_id, planes, '', signers, base_urls, frozen, frozen_reason, imported_at, imported_by, "
    "verdict, failed_at, failed_unit, failed_reason, auto_rolled_back";

// Neither keyids nor URLs hold a line feed.
std::string ToLines(const std::vector<std::string>& items) { return absl::StrJoin(items, "\n"); }
std::vector<std::string> FromLines(const std::string& text) { return absl::StrSplit(text, '\n', absl::SkipEmpty()); }

ReleaseRow ReadRelease(const SqlRow& row) {
  return {.number = row.Int(0),
          .digest = row.Text(1),
          .release_id = row.Text(2),
          .planes = row.Int(3),
          .envelope = row.Bytes(4),
          .signers = FromLines(row.Text(5)),
          .base_urls = FromLines(row.Text(6)),
          .frozen = row.Int(7) != 0,
          .frozen_reason = row.Text(8),
          .imported_at = row.Int(9),
          .imported_by = row.Text(10),
          .verdict = static_cast<ReleaseVerdict>(row.Int(11)),
          .failed_at = row.Int(12),
          .failed_unit = row.Int(13),
          .failed_reason = row.Text(14),
          .auto_rolled_back = row.Int(15) != 0};
}

}  // namespace

absl::StatusOr<std::vector<ReleaseRow>> ReleaseTable::Select(const std::string& where,
                                                             std::initializer_list<SqlValue> values) {
  std::vector<ReleaseRow> releases;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kReleaseColumns, " FROM releases WHERE ", where), values,
                                [&](const SqlRow& row) { releases.push_back(ReadRelease(row)); }));
  return releases;
}

absl::StatusOr<int64_t> ReleaseTable::Add(const ReleaseRow& r) {
  std::optional<int64_t> number;
  RETURN_IF_ERROR(
      tx_.sql.Query("INSERT INTO releases (digest, release_id, planes, envelope, signers, base_urls, imported_at, "
                    "imported_by) VALUES "
                    "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (digest) DO NOTHING RETURNING number",
                    {r.digest, r.release_id, r.planes, SqlBytes{r.envelope}, ToLines(r.signers), ToLines(r.base_urls),
                     r.imported_at, r.imported_by},
                    [&](const SqlRow& row) { number = row.Int(0); }));
  if (!number.has_value()) {
    return absl::AlreadyExistsError(absl::StrCat("release ", r.release_id, " (", r.digest, ") is imported already"));
  }
  return *number;
}

absl::StatusOr<ReleaseRow> ReleaseTable::Get(int64_t number) {
  ASSIGN_OR_RETURN(std::vector<ReleaseRow> found, Select("number = ?1", {number}));
  if (found.empty()) return absl::NotFoundError(absl::StrCat("there is no release number ", number));
  return std::move(found[0]);
}

absl::StatusOr<ReleaseRow> ReleaseTable::Head(int64_t number, bool lock) {
  std::optional<ReleaseRow> found;
  RETURN_IF_ERROR(tx_.sql.Query(
      absl::StrCat("SELECT ", kHeadColumns, " FROM releases WHERE number = ?1", lock ? tx_.sql.ForUpdate() : ""),
      {number}, [&](const SqlRow& row) { found = ReadRelease(row); }));
  if (!found.has_value()) return absl::NotFoundError(absl::StrCat("there is no release number ", number));
  return *std::move(found);
}

absl::StatusOr<ReleaseRow> ReleaseTable::Find(const std::string& digest_or_id) {
  ASSIGN_OR_RETURN(std::vector<ReleaseRow> found,
                   Select("digest = ?1 OR release_id = ?1 ORDER BY number DESC LIMIT 10", {digest_or_id}));
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no release \"", digest_or_id, "\"; import it first"));
  }
  if (found.size() > 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "several releases are called \"", digest_or_id, "\"; say which by its digest: ",
        absl::StrJoin(found, ", ", [](std::string* out, const ReleaseRow& row) { out->append(row.digest); })));
  }
  return std::move(found[0]);
}

absl::Status ReleaseTable::SetFrozen(int64_t number, bool frozen, const std::string& reason) {
  return tx_.sql
      .Run("UPDATE releases SET frozen = ?2, frozen_reason = ?3 WHERE number = ?1", {number, int64_t{frozen}, reason})
      .status();
}

absl::Status ReleaseTable::SaveVerdict(const ReleaseRow& release) {
  return tx_.sql
      .Run(
          "UPDATE releases SET verdict = ?2, failed_at = ?3, failed_unit = ?4, failed_reason = ?5, auto_rolled_back = "
          "?6 "
          "WHERE number = ?1",
          {release.number, static_cast<int64_t>(release.verdict), release.failed_at, release.failed_unit,
           release.failed_reason, int64_t{release.auto_rolled_back}})
      .status();
}

absl::StatusOr<std::vector<ReleaseRow>> ReleaseTable::FailedSince(int64_t time, int limit) {
  std::vector<ReleaseRow> found;
  RETURN_IF_ERROR(tx_.sql.Query(
      absl::StrCat("SELECT ", kHeadColumns, " FROM releases WHERE failed_at >= ?1 ORDER BY failed_at DESC LIMIT ?2"),
      {time, int64_t{limit}}, [&](const SqlRow& row) { found.push_back(ReadRelease(row)); }));
  return found;
}

absl::Status ReleaseTable::SetBaseUrls(int64_t number, const std::vector<std::string>& base_urls) {
  return tx_.sql.Run("UPDATE releases SET base_urls = ?2 WHERE number = ?1", {number, ToLines(base_urls)}).status();
}

absl::StatusOr<std::vector<ReleaseRow>> ReleaseTable::List(int64_t before, int limit) {
  return Select("(?1 = 0 OR number < ?1) ORDER BY number DESC LIMIT ?2", {before, int64_t{limit}});
}

absl::StatusOr<std::vector<std::string>> DocumentTable::KeySets() {
  std::vector<std::string> envelopes;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT envelope FROM key_sets ORDER BY version", {},
                                [&](const SqlRow& row) { envelopes.push_back(row.Bytes(0)); }));
  return envelopes;
}

absl::Status DocumentTable::AddKeySet(int64_t version, const std::string& envelope) {
  return tx_.sql.Run("INSERT INTO key_sets (version, envelope) VALUES (?1, ?2)", {version, SqlBytes{envelope}})
      .status();
}

absl::StatusOr<std::string> DocumentTable::ReleaseList() {
  std::string envelope;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT envelope FROM release_lists ORDER BY version DESC LIMIT 1", {},
                                [&](const SqlRow& row) { envelope = row.Bytes(0); }));
  return envelope;
}

absl::Status DocumentTable::SetReleaseList(int64_t version, const std::string& envelope) {
  return tx_.sql
      .Run(
          "INSERT INTO release_lists (version, envelope) VALUES (?1, ?2) "
          "ON CONFLICT (version) DO UPDATE SET envelope = excluded.envelope",
          {version, SqlBytes{envelope}})
      .status();
}

}  // namespace tandem::fleet
