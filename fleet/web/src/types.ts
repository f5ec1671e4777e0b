// What the API answers: proto3 JSON of tandem/fleet/v1/fleet.proto, field names as there. 64-bit numbers are texts; use
// num(). Messages that are not set are null or missing.

export type Int64 = string | number;
export type Time = string | null | undefined;

export interface Guards {
  auto_rollback: boolean;
  switched_on: boolean;
  streak: number;
  limit: number;
  streak_releases: string[];
  disabled_until: Time;
  storm_units: Int64;
}
export interface VersionShare {
  plane: string;
  release_id: string;
  release_digest: string;
  units: Int64;
}
export interface Overview {
  namespace: string;
  units: Int64;
  online: Int64;
  stale: Int64;
  revoked: Int64;
  versions: VersionShare[];
  active_rollouts: Rollout[];
  stops: Stop[];
  broker: { connected: boolean; endpoint: string; error: string } | null;
  unpublished: Int64;
  guards: Guards | null;
  storm_units: Int64;
  held_units: Int64;
  failed_releases: Release[];
}

export interface PlaneState {
  plane: string;
  desired: string;
  current: string;
  previous: string;
  verified: string;
}
export interface Unit {
  unit_id: string;
  hardware: string;
  group: string;
  customer: string;
  region: string;
  site: string;
  tags: Record<string, string>;
  certificate_fingerprint: string;
  revoked: boolean;
  online: boolean;
  stale: boolean;
  last_seen: Time;
  planes: PlaneState[];
  desired_sequence: Int64;
  published_sequence: Int64;
  reported_sequence: Int64;
  rollout: Int64;
  registered_at: Time;
  storm: string;
  held: string;
}
export interface UnitList {
  units: Unit[];
  next_page_token: string;
}
export interface ComponentReport {
  node_id: string;
  component_id: string;
  component_type: string;
  version: string;
  state: string;
  error: string;
  slot_running: string;
  slot_confirmed: string;
  slot_trial: string;
  attempts_left: number;
}
export interface Reported {
  boot_id: string;
  sequence: Int64;
  attempt: number;
  phase: string;
  reason: string;
  components: ComponentReport[];
  planes: { plane: string; release_digest: string; release_id: string }[];
  cm_version: string;
  hardware: string;
}
export interface UnitEvent {
  at: Time;
  sequence: Int64;
  attempt: number;
  state: string;
  reason: string;
}
export interface UnitDetail {
  unit: Unit;
  reported: Reported | null;
  attempts: Attempt[];
  events: UnitEvent[];
  runs: DiagnosticRun[];
}

export interface DiagnosticDefinition {
  name: string;
  description: string;
  run_after_ota: boolean;
  timeout_secs: number;
  planes: string[];
  target: string;
  kind: string;
}
export interface ReleaseVerification {
  state: string;
  verifying: Int64;
  verified: Int64;
  failed: Int64;
  failed_at: Time;
  failed_unit: string;
  reason: string;
  auto_rolled_back: boolean;
}
export interface ReleaseComponent {
  component_id: string;
  component_type: string;
  plane: string;
  version: string;
  size: Int64;
  sha256: string;
  hardware: string[];
  requirements: string[];
  security_version: Int64;
}
export interface Release {
  digest: string;
  release_id: string;
  planes: string[];
  components: ReleaseComponent[];
  signer_keyids: string[];
  base_urls: string[];
  frozen: boolean;
  frozen_reason: string;
  listed: boolean;
  rollback_target: boolean;
  imported_at: Time;
  imported_by: string;
  notes: string;
  diagnostics: DiagnosticDefinition[];
  rollback_order: string[];
  verification: ReleaseVerification | null;
}
export interface ReleaseList {
  releases: Release[];
  next_page_token: string;
}
export interface Keys {
  key_set_version: Int64;
  key_set_expires: Time;
  keys: { role: string; keyid: string; algorithm: string; threshold: number }[];
  release_list_version: Int64;
  release_list_expires: Time;
  releases_listed: number;
  signing_keyid: string;
  signing_key_trusted: boolean;
  warnings: string[];
}

export interface GateSpec {
  any?: { failure_threshold?: number; success_percent?: number } | null;
  statistical?: { p0?: number; p1?: number; false_abort?: number; missed_regression?: number } | null;
  min_units?: number;
  stability_window?: string | null;
  needs_promote?: boolean;
  rehearse_rollback?: number;
}
export interface RingSpec {
  name?: string;
  percent?: number;
  target?: string;
  max_units?: number;
  gate?: GateSpec | null;
  max_in_flight?: number;
}
export interface RolloutSpec {
  name: string;
  release: string;
  target?: string;
  rings?: RingSpec[];
  start?: Time;
  windows?: { from: string; until: string }[];
  max_in_flight?: number;
  units_per_minute?: number;
  score_age?: string | null;
  on_abort?: string;
  on_verification_failure?: string;
  [other: string]: unknown;
}
export interface GateEvidence {
  scored: Int64;
  required: Int64;
  passed: Int64;
  failed: Int64;
  log_likelihood_ratio: number;
  abort_at: number;
  promote_at: number;
  control_e_value: number;
  paired_e_value: number;
  controls: Int64;
  controls_failed: Int64;
}
export interface Ring {
  name: string;
  state: string;
  members: Int64;
  counts: Record<string, Int64>;
  verdict: string;
  reason: string;
  evidence: GateEvidence | null;
  started_at: Time;
  ended_at: Time;
}
export interface Rollout {
  id: Int64;
  spec: RolloutSpec;
  release_id: string;
  release_digest: string;
  state: string;
  paused: boolean;
  reason: string;
  ring: number;
  rings: Ring[];
  created_at: Time;
  created_by: string;
  changed_at: Time;
  revision: Int64;
  change: Int64;
  superseded_by: Int64;
}
export interface RolloutList {
  rollouts: Rollout[];
  next_page_token: string;
}
export interface Attempt {
  id: Int64;
  rollout: Int64;
  unit_id: string;
  ring: string;
  kind: string;
  state: string;
  reason: string;
  sequence: Int64;
  tries: number;
  score: string;
  created_at: Time;
  changed_at: Time;
  score_at: Time;
  rolled_back_by: Int64;
  run_id: string;
}
export interface AttemptList {
  attempts: Attempt[];
  next_page_token: string;
}
export interface RolloutPlan {
  release_id: string;
  release_digest: string;
  rings: {
    name: string;
    units: Int64;
    examples: string[];
    expected_duration: string | null;
    bounded_by: string;
    smallest_detectable: number;
    warnings: string[];
    strata: { hardware: string; region: string; units: Int64 }[];
  }[];
  units: Int64;
  excluded: { reason: string; units: Int64; examples: string[] }[];
  expected_duration: string | null;
  warnings: string[];
}

export interface Measurement {
  name: string;
  value: number;
  unit: string;
  min?: number | null;
  max?: number | null;
}
export interface DiagnosticRun {
  run_id: string;
  diagnostic: string;
  state: string;
  reason: string;
  triggered_by: string;
  release_id: string;
  unit_id: string;
  attempt: Int64;
  created_at: Time;
  deadline: Time;
  finished_at: Time;
  duration_ms: number;
  measurements: Measurement[];
  log_excerpt: string;
  late_outcome: string;
}
export interface UnitVerification {
  unit_id: string;
  attempt: Attempt | null;
  run_id: string;
  runs: DiagnosticRun[];
  deadline: Time;
}
export interface Verification {
  diagnostics: string[];
  units: UnitVerification[];
  next_page_token: string;
  release: ReleaseVerification | null;
}

export interface Stop {
  id: Int64;
  target: string;
  reason: string;
  by: string;
  at: Time;
}
export interface AuditEntry {
  id: Int64;
  at: Time;
  actor: string;
  event: string;
  severity: number;
  object: string;
  before: string;
  after: string;
}
export interface AuditList {
  entries: AuditEntry[];
  next_page_token: string;
}
export type Role = "VIEWER" | "OPERATOR" | "RELEASE_MANAGER";
export interface Principal {
  actor: string;
  role: Role;
}
