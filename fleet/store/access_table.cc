#include "fleet/store/access_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

constexpr char kTokenColumns[] = "number, name, role, hash, created_at, expires_at, revoked";

TokenRow ReadToken(const SqlRow& row) {
  return {.number = row.Int(0),
          .name = row.Text(1),
          .role = row.Int(2),
          .hash = row.Text(3),
          .created_at = row.Int(4),
          .expires_at = row.Int(5),
          .revoked = row.Int(6) != 0};
}

}  // namespace

absl::Status AuditTable::Add(const AuditRow& entry) {
  return tx_.sql
      .Run(
          "INSERT INTO audit (at, actor, event, severity, object, old_value, new_value) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
          {entry.at, entry.actor, entry.event, entry.severity, entry.object, entry.old_value, entry.new_value})
      .status();
}

absl::StatusOr<std::vector<AuditRow>> AuditTable::List(const std::string& object, bool oldest_first, int64_t from,
                                                       int limit) {
  std::vector<AuditRow> entries;
  const std::string order =
      oldest_first ? "number > ?2 ORDER BY number" : "(?2 = 0 OR number < ?2) ORDER BY number DESC";
  RETURN_IF_ERROR(tx_.sql.Query(
      absl::StrCat(
          "SELECT number, at, actor, event, severity, object, old_value, new_value FROM audit WHERE (?1 = '' OR "
          "object = ?1) AND ",
          order, " LIMIT ?3"),
      {object, from, int64_t{limit}}, [&](const SqlRow& row) {
        entries.push_back({.number = row.Int(0),
                           .at = row.Int(1),
                           .actor = row.Text(2),
                           .event = row.Text(3),
                           .severity = row.Int(4),
                           .object = row.Text(5),
                           .old_value = row.Text(6),
                           .new_value = row.Text(7)});
      }));
  return entries;
}

absl::StatusOr<int64_t> TokenTable::Add(const TokenRow& token) {
  int64_t number = 0;
  RETURN_IF_ERROR(tx_.sql.Query(
      "INSERT INTO tokens (name, role, hash, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING number",
      {token.name, token.role, token.hash, token.created_at, token.expires_at},
      [&](const SqlRow& row) { number = row.Int(0); }));
  return number;
}

absl::StatusOr<std::optional<TokenRow>> TokenTable::Find(const std::string& hash) {
  std::optional<TokenRow> found;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kTokenColumns, " FROM tokens WHERE hash = ?1"), {hash},
                                [&](const SqlRow& row) { found = ReadToken(row); }));
  return found;
}

absl::StatusOr<std::vector<TokenRow>> TokenTable::List() {
  std::vector<TokenRow> tokens;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kTokenColumns, " FROM tokens ORDER BY number"), {},
                                [&](const SqlRow& row) { tokens.push_back(ReadToken(row)); }));
  return tokens;
}

absl::StatusOr<TokenRow> TokenTable::Revoke(int64_t number) {
  std::vector<TokenRow> tokens;
  RETURN_IF_ERROR(
      tx_.sql.Query(absl::StrCat("UPDATE tokens SET revoked = 1 WHERE number = ?1 RETURNING ", kTokenColumns), {number},
                    [&](const SqlRow& row) { tokens.push_back(ReadToken(row)); }));
  if (tokens.empty()) return absl::NotFoundError(absl::StrCat("there is no token ", number));
  return std::move(tokens[0]);
}

}  // namespace tandem::fleet
