#include "fleet/store/unit_table.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

#define TANDEM_UNIT_COLUMNS                                                                                  \
  "units.number, unit_id, revoked, online, stale, last_seen, presence_epoch, presence_seq, reported_epoch, " \
  "reported_seq, reported_hash, reported_sequence, run_firmware, run_model, run_config, previous_firmware, " \
  "previous_model, previous_config, desired_firmware, desired_model, desired_config, desired_sequence, "     \
  "desired_attempt, published_sequence, published_at, attempt, good_firmware, good_model, good_config, "     \
  "storm, held"
constexpr int kUnitColumns = 31;
#define TANDEM_UNIT_ATTRIBUTES "hardware, unit_group, customer, region, site, tags, certificate, registered_at"

PlaneReleases ReadPlanes(const SqlRow& row, int column) {
  return {row.Int(column), row.Int(column + 1), row.Int(column + 2)};
}

UnitRow ReadUnit(const SqlRow& row) {
  return {.number = row.Int(0),
          .unit_id = row.Text(1),
          .revoked = row.Int(2) != 0,
          .online = row.Int(3) != 0,
          .stale = row.Int(4) != 0,
          .last_seen = row.Int(5),
          .presence = {row.Int(6), row.Int(7)},
          .reported = {row.Int(8), row.Int(9)},
          .reported_hash = row.Int(10),
          .reported_sequence = row.Int(11),
          .runs = ReadPlanes(row, 12),
          .previous = ReadPlanes(row, 15),
          .desired = ReadPlanes(row, 18),
          .desired_sequence = row.Int(21),
          .desired_attempt = row.Int(22),
          .published_sequence = row.Int(23),
          .published_at = row.Int(24),
          .attempt = row.Int(25),
          .good = ReadPlanes(row, 26),
          .storm = row.Text(29),
          .held = row.Text(30)};
}

UnitRecord ReadRecord(const SqlRow& row) {
  UnitRecord record{.row = ReadUnit(row)};
  int column = kUnitColumns;
  record.attributes.unit_id = record.row.unit_id;
  record.attributes.hardware = row.Text(column++);
  record.attributes.group = row.Text(column++);
  record.attributes.customer = row.Text(column++);
  record.attributes.region = row.Text(column++);
  record.attributes.site = row.Text(column++);
  record.attributes.tags = TagsFromJson(row.Text(column++));
  record.certificate_fingerprint = row.Text(column++);
  record.registered_at = row.Int(column);
  return record;
}

std::string RunCounter(int plane, int64_t release) {
  return absl::StrCat("run/", std::string(kPlaneNames[plane]), "/", release);
}

constexpr char kSelectRecord[] =
    "SELECT " TANDEM_UNIT_COLUMNS ", " TANDEM_UNIT_ATTRIBUTES " FROM units JOIN unit_attributes ON unit = units.number";

template <typename T>
absl::StatusOr<T> Found(std::optional<T> found, const std::string& what) {
  if (found.has_value()) return *std::move(found);
  return absl::NotFoundError(absl::StrCat("there is no unit ", what));
}

}  // namespace

std::string TagsToJson(const std::map<std::string, std::string>& tags) { return nlohmann::json(tags).dump(); }

std::map<std::string, std::string> TagsFromJson(const std::string& json) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  std::map<std::string, std::string> tags;
  if (!object.is_object()) return tags;
  for (const auto& [name, value] : object.items()) {
    if (value.is_string()) tags[name] = value.get<std::string>();
  }
  return tags;
}

absl::StatusOr<bool> UnitTable::Register(const UnitRegistration& registration, int64_t now) {
  const UnitAttributes& attributes = registration.attributes;
  ASSIGN_OR_RETURN(
      const int64_t made,
      tx_.sql.Run("INSERT INTO units (unit_id) VALUES (?1) ON CONFLICT (unit_id) DO NOTHING", {attributes.unit_id}));
  ASSIGN_OR_RETURN(const UnitRow unit, Get(attributes.unit_id, /*lock=*/true));
  if (made != 0) {
    tx_.Count("units", 1);
    for (int plane = 0; plane < kPlanes; ++plane) tx_.Count(RunCounter(plane, 0), 1);
  }
  RETURN_IF_ERROR(
      tx_.sql
          .Run("INSERT INTO unit_attributes (unit, hardware, unit_group, customer, region, site, tags, by_operator, "
               "certificate, registered_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (unit) DO "
               "UPDATE "
               "SET hardware = excluded.hardware, unit_group = excluded.unit_group, customer = excluded.customer, "
               "region "
               "= excluded.region, site = excluded.site, tags = excluded.tags, by_operator = excluded.by_operator, "
               "certificate = CASE WHEN excluded.certificate = '' THEN unit_attributes.certificate ELSE "
               "excluded.certificate END WHERE excluded.by_operator >= unit_attributes.by_operator",
               {unit.number, attributes.hardware, attributes.group, attributes.customer, attributes.region,
                attributes.site, TagsToJson(attributes.tags), int64_t{registration.by_operator},
                registration.certificate_fingerprint, now})
          .status());
  return made != 0;
}

absl::StatusOr<UnitRow> UnitTable::Get(const std::string& unit_id, bool lock) {
  std::optional<UnitRow> found;
  RETURN_IF_ERROR(tx_.sql.Query(
      absl::StrCat("SELECT " TANDEM_UNIT_COLUMNS " FROM units WHERE unit_id = ?1", lock ? tx_.sql.ForUpdate() : ""),
      {unit_id}, [&](const SqlRow& row) { found = ReadUnit(row); }));
  return Found(std::move(found), unit_id);
}

absl::StatusOr<UnitRow> UnitTable::Get(int64_t number, bool lock) {
  std::optional<UnitRow> found;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT " TANDEM_UNIT_COLUMNS " FROM units WHERE units.number = ?1",
                                             lock ? tx_.sql.ForUpdate() : ""),
                                {number}, [&](const SqlRow& row) { found = ReadUnit(row); }));
  return Found(std::move(found), absl::StrCat("number ", number));
}

absl::StatusOr<UnitRecord> UnitTable::GetRecord(const std::string& unit_id) {
  std::optional<UnitRecord> found;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat(kSelectRecord, " WHERE unit_id = ?1"), {unit_id},
                                [&](const SqlRow& row) { found = ReadRecord(row); }));
  return Found(std::move(found), unit_id);
}

absl::StatusOr<UnitRecord> UnitTable::GetRecord(int64_t number) {
  std::optional<UnitRecord> found;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat(kSelectRecord, " WHERE units.number = ?1"), {number},
                                [&](const SqlRow& row) { found = ReadRecord(row); }));
  return Found(std::move(found), absl::StrCat("number ", number));
}

absl::Status UnitTable::Save(const UnitRow& before, const UnitRow& after) {
  if (before == after) return absl::OkStatus();
  // A heartbeat, the commonest message of all: one number.
  UnitRow heartbeat = before;
  heartbeat.last_seen = after.last_seen;
  heartbeat.reported = after.reported;
  if (heartbeat == after) {
    return tx_.sql
        .Run("UPDATE units SET last_seen = ?2, reported_epoch = ?3, reported_seq = ?4 WHERE number = ?1",
             {after.number, after.last_seen, after.reported.epoch, after.reported.seq})
        .status();
  }
  tx_.Count("online", int64_t{after.online} - int64_t{before.online});
  tx_.Count("stale", int64_t{after.stale} - int64_t{before.stale});
  tx_.Count("revoked", int64_t{after.revoked} - int64_t{before.revoked});
  tx_.Count("storm", int64_t{!after.storm.empty()} - int64_t{!before.storm.empty()});
  tx_.Count("held", int64_t{!after.held.empty()} - int64_t{!before.held.empty()});
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (before.runs[plane] == after.runs[plane]) continue;
    tx_.Count(RunCounter(plane, before.runs[plane]), -1);
    tx_.Count(RunCounter(plane, after.runs[plane]), 1);
  }
  return tx_.sql
      .Run(
          "UPDATE units SET revoked = ?2, online = ?3, stale = ?4, last_seen = ?5, presence_epoch = ?6, presence_seq = "
          "?7, reported_epoch = ?8, reported_seq = ?9, reported_hash = ?10, reported_sequence = ?11, run_firmware = "
          "?12, run_model = ?13, run_config = ?14, previous_firmware = ?15, previous_model = ?16, previous_config = "
          "?17, desired_firmware = ?18, desired_model = ?19, desired_config = ?20, desired_sequence = ?21, "
          "desired_attempt = ?22, published_sequence = ?23, published_at = ?24, attempt = ?25, good_firmware = ?26, "
          "good_model = ?27, "
          "good_config = ?28, storm = ?29, held = ?30 WHERE number = ?1",
          {after.number,
           int64_t{after.revoked},
           int64_t{after.online},
           int64_t{after.stale},
           after.last_seen,
           after.presence.epoch,
           after.presence.seq,
           after.reported.epoch,
           after.reported.seq,
           after.reported_hash,
           after.reported_sequence,
           after.runs[0],
           after.runs[1],
           after.runs[2],
           after.previous[0],
           after.previous[1],
           after.previous[2],
           after.desired[0],
           after.desired[1],
           after.desired[2],
           after.desired_sequence,
           after.desired_attempt,
           after.published_sequence,
           after.published_at,
           after.attempt,
           after.good[0],
           after.good[1],
           after.good[2],
           after.storm,
           after.held})
      .status();
}

absl::Status UnitTable::SetGood(int64_t number, PlaneSet planes, int64_t except) {
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (!Has(planes, plane)) continue;
    const std::string name(kPlaneNames[plane]);
    const std::string sql = absl::StrCat("UPDATE units SET good_", name, " = run_", name, " WHERE number = ?1 AND run_",
                                         name, " > 0 AND run_", name, " <> ?2 AND run_", name, " = desired_", name,
                                         " AND good_", name, " <> run_", name);
    RETURN_IF_ERROR(tx_.sql.Run(sql, {number, except}).status());
  }
  return absl::OkStatus();
}

absl::Status UnitTable::List(const std::string& after, int limit, const std::function<void(UnitRecord&&)>& each) {
  return tx_.sql.Query(absl::StrCat(kSelectRecord, " WHERE unit_id > ?1 ORDER BY unit_id LIMIT ?2"),
                       {after, int64_t{limit}}, [&](const SqlRow& row) { each(ReadRecord(row)); });
}

absl::Status UnitTable::Scan(int64_t after, int limit, const std::function<void(UnitRecord&&)>& each) {
  return tx_.sql.Query(absl::StrCat(kSelectRecord, " WHERE units.number > ?1 ORDER BY units.number LIMIT ?2"),
                       {after, int64_t{limit}}, [&](const SqlRow& row) { each(ReadRecord(row)); });
}

absl::StatusOr<std::string> UnitTable::Reported(int64_t unit) {
  std::string reported;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT reported FROM unit_reports WHERE unit = ?1", {unit},
                                [&](const SqlRow& row) { reported = row.Bytes(0); }));
  return reported;
}

absl::Status UnitTable::SaveReported(int64_t unit, const std::string& reported) {
  return tx_.sql
      .Run(
          "INSERT INTO unit_reports (unit, reported) VALUES (?1, ?2) "
          "ON CONFLICT (unit) DO UPDATE SET reported = excluded.reported",
          {unit, SqlBytes{reported}})
      .status();
}

absl::StatusOr<bool> UnitTable::AddEvent(int64_t unit, const UnitEventRow& event) {
  ASSIGN_OR_RETURN(const int64_t added,
                   tx_.sql.Run("INSERT INTO unit_events (unit, epoch, seq, at, sequence, attempt, state, reason) "
                               "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (unit, epoch, seq) DO NOTHING",
                               {unit, event.order.epoch, event.order.seq, event.at, event.sequence, event.attempt,
                                event.state, event.reason}));
  return added != 0;
}

absl::Status UnitTable::Events(int64_t unit, int limit, const std::function<void(UnitEventRow&&)>& each) {
  return tx_.sql.Query(
      "SELECT epoch, seq, at, sequence, attempt, state, reason FROM unit_events WHERE unit = ?1 "
      "ORDER BY epoch DESC, seq DESC LIMIT ?2",
      {unit, int64_t{limit}}, [&](const SqlRow& row) {
        each({.order = {row.Int(0), row.Int(1)},
              .at = row.Int(2),
              .sequence = row.Int(3),
              .attempt = row.Int(4),
              .state = row.Text(5),
              .reason = row.Text(6)});
      });
}

absl::Status UnitTable::PruneEvents(int64_t unit, int64_t before) {
  return tx_.sql.Run("DELETE FROM unit_events WHERE unit = ?1 AND at < ?2", {unit, before}).status();
}

}  // namespace tandem::fleet
