#include "fleet/store/schema.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

// {key}: a number that counts itself up; {bytes}; {text}: compared byte by byte. Never change one that was released:
// add.
const std::vector<const char*>& Migrations() {
  static const auto& migrations = *new std::vector<const char*>{
      R"sql(
CREATE TABLE units (
  number {key},
  unit_id {text} NOT NULL UNIQUE,
  revoked BIGINT NOT NULL DEFAULT 0,
  online BIGINT NOT NULL DEFAULT 0,
  stale BIGINT NOT NULL DEFAULT 0,
  last_seen BIGINT NOT NULL DEFAULT 0,
  presence_epoch BIGINT NOT NULL DEFAULT 0,
  presence_seq BIGINT NOT NULL DEFAULT 0,
  reported_epoch BIGINT NOT NULL DEFAULT 0,
  reported_seq BIGINT NOT NULL DEFAULT 0,
  reported_hash BIGINT NOT NULL DEFAULT 0,
  reported_sequence BIGINT NOT NULL DEFAULT 0,
  run_firmware BIGINT NOT NULL DEFAULT 0,
  run_model BIGINT NOT NULL DEFAULT 0,
  run_config BIGINT NOT NULL DEFAULT 0,
  previous_firmware BIGINT NOT NULL DEFAULT 0,
  previous_model BIGINT NOT NULL DEFAULT 0,
  previous_config BIGINT NOT NULL DEFAULT 0,
  desired_firmware BIGINT NOT NULL DEFAULT 0,
  desired_model BIGINT NOT NULL DEFAULT 0,
  desired_config BIGINT NOT NULL DEFAULT 0,
  desired_sequence BIGINT NOT NULL DEFAULT 0,
  desired_attempt BIGINT NOT NULL DEFAULT 0,
  published_sequence BIGINT NOT NULL DEFAULT 0,
  published_at BIGINT NOT NULL DEFAULT 0,
  attempt BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE unit_attributes (
  unit BIGINT PRIMARY KEY,
  hardware {text} NOT NULL,
  unit_group {text} NOT NULL,
  customer {text} NOT NULL,
  region {text} NOT NULL,
  site {text} NOT NULL,
  tags TEXT NOT NULL,
  by_operator BIGINT NOT NULL,
  certificate TEXT NOT NULL,
  registered_at BIGINT NOT NULL
);
CREATE TABLE unit_reports (
  unit BIGINT PRIMARY KEY,
  reported {bytes} NOT NULL
);
CREATE TABLE unit_events (
  unit BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  sequence BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (unit, epoch, seq)
);
CREATE TABLE assignments (
  unit BIGINT PRIMARY KEY,
  sequence BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  envelope {bytes} NOT NULL
);
CREATE INDEX assignments_expires ON assignments (expires);
CREATE TABLE publish_queue (
  unit BIGINT PRIMARY KEY,
  sequence BIGINT NOT NULL,
  claimed_until BIGINT NOT NULL DEFAULT 0,
  claimed_by TEXT NOT NULL DEFAULT ''
);
CREATE TABLE releases (
  number {key},
  digest {text} NOT NULL UNIQUE,
  release_id {text} NOT NULL,
  planes BIGINT NOT NULL,
  envelope {bytes} NOT NULL,
  signers TEXT NOT NULL,
  base_urls TEXT NOT NULL,
  frozen BIGINT NOT NULL DEFAULT 0,
  frozen_reason TEXT NOT NULL DEFAULT '',
  imported_at BIGINT NOT NULL,
  imported_by TEXT NOT NULL
);
CREATE INDEX releases_id ON releases (release_id);
CREATE TABLE key_sets (
  version BIGINT PRIMARY KEY,
  envelope {bytes} NOT NULL
);
CREATE TABLE release_lists (
  version BIGINT PRIMARY KEY,
  envelope {bytes} NOT NULL
);
CREATE TABLE rollouts (
  number {key},
  spec {bytes} NOT NULL,
  release BIGINT NOT NULL,
  planes BIGINT NOT NULL,
  state BIGINT NOT NULL,
  paused BIGINT NOT NULL DEFAULT 0,
  promote_asked BIGINT NOT NULL DEFAULT 0,
  ring BIGINT NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  on_abort BIGINT NOT NULL,
  tokens_at BIGINT NOT NULL DEFAULT 0,
  tokens_milli BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  revision BIGINT NOT NULL DEFAULT 1,
  superseded_by BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX rollouts_state ON rollouts (state);
CREATE TABLE rings (
  rollout BIGINT NOT NULL,
  ring BIGINT NOT NULL,
  state BIGINT NOT NULL DEFAULT 0,
  members BIGINT NOT NULL DEFAULT 0,
  verdict TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  evidence {bytes} NOT NULL,
  started_at BIGINT NOT NULL DEFAULT 0,
  scored_at BIGINT NOT NULL DEFAULT 0,
  ended_at BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (rollout, ring)
);
CREATE TABLE attempts (
  number {key},
  rollout BIGINT NOT NULL,
  ring BIGINT NOT NULL,
  unit BIGINT NOT NULL,
  kind BIGINT NOT NULL,
  state BIGINT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  sequence BIGINT NOT NULL DEFAULT 0,
  tries BIGINT NOT NULL DEFAULT 0,
  score BIGINT NOT NULL DEFAULT 0,
  score_at BIGINT NOT NULL DEFAULT 0,
  epoch BIGINT NOT NULL DEFAULT 0,
  seq BIGINT NOT NULL DEFAULT 0,
  before_firmware BIGINT NOT NULL DEFAULT 0,
  before_model BIGINT NOT NULL DEFAULT 0,
  before_config BIGINT NOT NULL DEFAULT 0,
  control BIGINT NOT NULL DEFAULT 0,
  control_score BIGINT NOT NULL DEFAULT 0,
  rolled_back_by BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  UNIQUE (rollout, unit, kind, tries)
);
CREATE INDEX attempts_ring ON attempts (rollout, ring, state, number);
CREATE INDEX attempts_unit ON attempts (unit, number);
CREATE INDEX attempts_due ON attempts (score_at) WHERE score_at > 0;
CREATE TABLE counters (
  name {text} PRIMARY KEY,
  value BIGINT NOT NULL
);
CREATE TABLE stops (
  number {key},
  target TEXT NOT NULL,
  reason TEXT NOT NULL,
  actor TEXT NOT NULL,
  at BIGINT NOT NULL,
  lifted BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE audit (
  number {key},
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  event TEXT NOT NULL,
  severity BIGINT NOT NULL,
  object {text} NOT NULL,
  old_value TEXT NOT NULL,
  new_value TEXT NOT NULL
);
CREATE INDEX audit_object ON audit (object, number);
CREATE TABLE tokens (
  number {key},
  name TEXT NOT NULL,
  role BIGINT NOT NULL,
  hash {text} NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked BIGINT NOT NULL DEFAULT 0
);
)sql",
      // 2: verification.
      R"sql(
ALTER TABLE units ADD COLUMN good_firmware BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN good_model BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN good_config BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN storm TEXT NOT NULL DEFAULT '';
ALTER TABLE units ADD COLUMN held TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN good_firmware BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN good_model BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN good_config BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN run_id TEXT NOT NULL DEFAULT '';
ALTER TABLE releases ADD COLUMN verdict BIGINT NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN failed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN failed_unit BIGINT NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN failed_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE releases ADD COLUMN auto_rolled_back BIGINT NOT NULL DEFAULT 0;
CREATE INDEX rollouts_release ON rollouts (release);
CREATE INDEX attempts_verified ON attempts (rollout, number) WHERE run_id <> '';
CREATE TABLE diagnostic_runs (
  number {key},
  run_id {text} NOT NULL,
  unit BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  release BIGINT NOT NULL,
  diagnostic {text} NOT NULL,
  triggered_by TEXT NOT NULL,
  state BIGINT NOT NULL DEFAULT 0,
  timeout_secs BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  deadline BIGINT NOT NULL,
  extended BIGINT NOT NULL DEFAULT 0,
  publish_at BIGINT NOT NULL,
  finished_at BIGINT NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  result {bytes} NOT NULL,
  late_outcome TEXT NOT NULL DEFAULT '',
  UNIQUE (run_id, diagnostic)
);
CREATE INDEX diagnostic_runs_unit ON diagnostic_runs (unit, number);
CREATE INDEX diagnostic_runs_due ON diagnostic_runs (deadline) WHERE state = 0;
CREATE INDEX diagnostic_runs_publish ON diagnostic_runs (publish_at) WHERE publish_at > 0;
CREATE TABLE verification_failures (
  attempt BIGINT PRIMARY KEY
);
CREATE TABLE project (
  number BIGINT PRIMARY KEY,
  auto_rollback BIGINT NOT NULL,
  streak TEXT NOT NULL,
  disabled_until BIGINT NOT NULL
);
)sql",
  };
  return migrations;
}

}  // namespace

int NewestSchemaVersion() { return static_cast<int>(Migrations().size()); }

absl::Status Migrate(SqlDatabase& database, SqlConnection& connection) {
  RETURN_IF_ERROR(connection.Begin(/*write=*/true));
  const absl::Status status = [&]() -> absl::Status {
    RETURN_IF_ERROR(connection.Execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)"));
    int64_t version = 0;
    RETURN_IF_ERROR(connection.Query("SELECT COALESCE(MAX(version), 0) FROM schema_version", {},
                                     [&](const SqlRow& row) { version = row.Int(0); }));
    if (version > NewestSchemaVersion()) {
      return absl::FailedPreconditionError(absl::StrCat(database.about(), " has schema version ", version,
                                                        "; this program knows ", NewestSchemaVersion(),
                                                        ". Use the newer tandem-fleet that made it."));
    }
    for (; version < NewestSchemaVersion(); ++version) {
      RETURN_IF_ERROR(
          connection.Execute(absl::StrReplaceAll(Migrations()[version], {{"{key}", database.number_key_type()},
                                                                         {"{bytes}", database.bytes_type()},
                                                                         {"{text}", database.ordered_text_type()}})));
      RETURN_IF_ERROR(connection.Run("INSERT INTO schema_version (version) VALUES (?1)", {version + 1}).status());
    }
    return connection.Commit();
  }();
  if (!status.ok()) connection.Rollback();
  return Annotate(status, "bring the database up to date");
}

}  // namespace tandem::fleet
