// Answers of the API as a busy fleet would give them; times are relative to now.
export const ago = (seconds) => new Date(Date.now() - 1000 * seconds).toISOString();
export const ahead = (seconds) => ago(-seconds);

const digest = (letter) => letter.repeat(2) + "4be1c70f5d2a9e8b36".repeat(4).slice(0, 62);

export function release(id, more = {}) {
  const version = id.replace(/^gw-/, "");
  return {
    digest: digest(id.slice(-1)),
    release_id: id,
    planes: ["firmware", "model"],
    components: [
      {
        component_id: "rootfs",
        component_type: "rootfs",
        plane: "firmware",
        version,
        size: "734003200",
        sha256: digest("b"),
        hardware: ["gw-2"],
        requirements: ["bootloader >= 2024.4"],
        security_version: "3",
      },
      {
        component_id: "detector",
        component_type: "model",
        plane: "model",
        version: "7.2.0",
        size: "52428800",
        sha256: digest("c"),
        hardware: [],
        requirements: ["rootfs >= 2026.9"],
        security_version: "0",
      },
    ],
    signer_keyids: [digest("d"), digest("e")],
    base_urls: ["https://updates.example.com/site/"],
    frozen: false,
    frozen_reason: "",
    listed: true,
    rollback_target: false,
    imported_at: ago(7200),
    imported_by: "token:ci",
    notes: "Camera pipeline on the new driver",
    diagnostics: [
      {
        name: "inference",
        description: "One frame through the detector; slow or wrong means the model does not fit the driver.",
        run_after_ota: true,
        timeout_secs: 120,
        planes: ["firmware", "model"],
        target: "",
        kind: "exec",
      },
      {
        name: "camera",
        description: "The stream is there.",
        run_after_ota: true,
        timeout_secs: 30,
        planes: [],
        target: 'hardware == "gw-2"',
        kind: "exec",
      },
      {
        name: "disk",
        description: "",
        run_after_ota: true,
        timeout_secs: 60,
        planes: [],
        target: "",
        kind: "free_disk",
      },
      { name: "uplink", description: "", run_after_ota: false, timeout_secs: 60, planes: [], target: "", kind: "tcp" },
    ],
    rollback_order: ["config", "model", "firmware"],
    verification: {
      state: "verifying",
      verifying: "34",
      verified: "412",
      failed: "0",
      failed_at: null,
      failed_unit: "",
      reason: "",
      auto_rolled_back: false,
    },
    ...more,
  };
}

export const takenBack = () =>
  release("gw-2026.12", {
    verification: {
      state: "verification_failed",
      verifying: "0",
      verified: "3",
      failed: "1",
      failed_at: ago(540),
      failed_unit: "gw-00017",
      reason: "inference: 412 ms, at most 80 ms",
      auto_rolled_back: true,
    },
  });

const evidence = (more = {}) => ({
  scored: "0",
  required: "1",
  passed: "0",
  failed: "0",
  log_likelihood_ratio: 0,
  abort_at: 0,
  promote_at: 0,
  control_e_value: 0,
  paired_e_value: 0,
  controls: "0",
  controls_failed: "0",
  ...more,
});

const ring = (name, state, members, counts, more = {}) => ({
  name,
  state,
  members: String(members),
  counts,
  verdict: "",
  reason: "",
  evidence: null,
  started_at: state === "pending" ? null : ago(3600),
  ended_at: null,
  ...more,
});

export function rollout(id, more = {}) {
  return {
    id: String(id),
    spec: {
      name: "gateway 2026.11 to Europe",
      release: digest("1"),
      target: 'region == "eu"',
      score_age: "1800s",
      max_in_flight: 500,
      units_per_minute: 100,
      on_abort: "TAKE_BACK",
      on_verification_failure: "ROLL_BACK",
      windows: [{ from: "22:00", until: "05:30" }],
      rings: [
        { name: "canary", percent: 5, gate: { any: { failure_threshold: 1 } } },
        {
          name: "10 %",
          percent: 10,
          gate: { statistical: { p0: 0.01, p1: 0.02, false_abort: 0.05, missed_regression: 0.05 } },
        },
        { name: "full", percent: 100, gate: {} },
      ],
    },
    release_id: "gw-2026.11",
    release_digest: digest("1"),
    state: "rolling",
    paused: false,
    reason: "",
    ring: 1,
    rings: [
      ring(
        "canary",
        "promoted",
        50,
        { verified: "50" },
        {
          verdict: "Promote",
          reason: "50 of 50 units passed",
          evidence: evidence({ scored: "50", required: "50", passed: "50" }),
          ended_at: ago(1900),
        },
      ),
      ring(
        "10 %",
        "rolling",
        950,
        {
          verified: "362",
          applied: "60",
          verifying: "34",
          updating: "120",
          asked: "43",
          offline: "19",
          queued: "306",
          failed: "6",
        },
        {
          verdict: "Hold",
          reason: "10 %: the test has not decided yet; 428 of 950 units are scored",
          evidence: evidence({
            scored: "428",
            required: "950",
            passed: "422",
            failed: "6",
            log_likelihood_ratio: -0.12,
            abort_at: 2.944,
            promote_at: -2.944,
            control_e_value: 0.41,
            paired_e_value: 0.22,
            controls: "210",
            controls_failed: "2",
          }),
        },
      ),
      ring("full", "pending", 0, {}),
    ],
    created_at: ago(7200),
    created_by: "token:rita",
    changed_at: ago(4),
    revision: "12",
    change: "99",
    superseded_by: "0",
    ...more,
  };
}

export const attempt = (id, unit, more = {}) => ({
  id: String(id),
  rollout: "7",
  unit_id: unit,
  ring: "10 %",
  kind: "forward",
  state: "updating",
  reason: "",
  sequence: "12",
  tries: 1,
  score: "",
  created_at: ago(900),
  changed_at: ago(30),
  score_at: ahead(700),
  rolled_back_by: "0",
  run_id: "",
  ...more,
});

export const unit = (id, more = {}) => ({
  unit_id: id,
  hardware: "gw-2",
  group: "field",
  customer: "acme",
  region: "eu",
  site: "berlin",
  tags: { track: "beta" },
  certificate_fingerprint: digest("f"),
  revoked: false,
  online: true,
  stale: false,
  last_seen: ago(12),
  planes: [
    { plane: "firmware", desired: "gw-2026.11", current: "gw-2026.10", previous: "gw-2026.9", verified: "gw-2026.10" },
    { plane: "model", desired: "gw-2026.10", current: "gw-2026.10", previous: "", verified: "gw-2026.10" },
    { plane: "config", desired: "", current: "", previous: "", verified: "" },
  ],
  desired_sequence: "12",
  published_sequence: "12",
  reported_sequence: "11",
  rollout: "7",
  registered_at: ago(864000),
  storm: "",
  held: "",
  ...more,
});

export const run = (unit_id, diagnostic, state, more = {}) => ({
  run_id: "5d1c0f9a2b7e4c38",
  diagnostic,
  state,
  reason: "",
  triggered_by: "ota_verify",
  release_id: "gw-2026.11",
  unit_id,
  attempt: "31",
  created_at: ago(20),
  deadline: state === "pending" ? ahead(130) : null,
  finished_at: state === "pending" ? null : ago(4),
  duration_ms: state === "pending" ? 0 : 41.7,
  measurements: [],
  log_excerpt: "",
  late_outcome: "",
  ...more,
});

const measured = [
  { name: "latency", value: 412, unit: "ms", min: null, max: 80 },
  { name: "objects", value: 4, unit: "", min: 4, max: 4 },
];

export function verification() {
  const names = ["inference", "camera", "disk"];
  const row = (id, state, states, more = {}) => ({
    unit_id: id,
    attempt: attempt(31, id, { state }),
    run_id: "5d1c0f9a2b7e4c38",
    deadline: states.includes("pending") ? ahead(130) : null,
    runs: names.map((name, i) => (states[i] ? run(id, name, states[i]) : null)).filter(Boolean),
    ...more,
  });
  const failed = row("gw-00017", "verification_failed", ["failed", "passed", "passed"]);
  failed.runs[0] = run("gw-00017", "inference", "failed", {
    reason: "412 ms, at most 80 ms",
    measurements: measured,
    duration_ms: 418.2,
    log_excerpt: "loading detector 7.2.0\nfalling back to CPU: no device /dev/npu0\nframe 0: 412 ms\n",
  });
  const late = row("gw-00021", "verification_failed", ["timeout", "passed", "error"]);
  late.runs[0] = run("gw-00021", "inference", "timeout", {
    reason: "nothing was heard for 450 s",
    late_outcome: "passed",
  });
  return {
    diagnostics: names,
    units: [
      failed,
      late,
      row("gw-00018", "verifying", ["pending", "passed", "pending"]),
      row("gw-00019", "verified", ["passed", "passed", "passed"]),
      row("gw-00020", "superseded", ["superseded", "superseded", "superseded"]),
      row("gw-00022", "verified", ["passed", "", "passed"]),
    ],
    next_page_token: "",
    release: {
      state: "verifying",
      verifying: "34",
      verified: "412",
      failed: "2",
      failed_at: ago(60),
      failed_unit: "gw-00017",
      reason: "inference: 412 ms, at most 80 ms",
      auto_rolled_back: false,
    },
  };
}

export const guards = (more = {}) => ({
  auto_rollback: true,
  switched_on: true,
  streak: 0,
  limit: 3,
  streak_releases: [],
  disabled_until: null,
  storm_units: "0",
  ...more,
});

export const overview = (more = {}) => ({
  namespace: "acme",
  units: "100000",
  online: "98231",
  stale: "214",
  revoked: "3",
  versions: [
    { plane: "firmware", release_id: "gw-2026.10", release_digest: digest("0"), units: "96120" },
    { plane: "firmware", release_id: "gw-2026.11", release_digest: digest("1"), units: "3210" },
    { plane: "firmware", release_id: "gw-2026.9", release_digest: digest("9"), units: "540" },
    { plane: "firmware", release_id: "", release_digest: "", units: "130" },
    { plane: "model", release_id: "detector-7.1", release_digest: digest("7"), units: "88000" },
    { plane: "model", release_id: "", release_digest: "", units: "12000" },
    { plane: "config", release_id: "", release_digest: "", units: "100000" },
  ],
  active_rollouts: [rollout(7)],
  stops: [{ id: "2", target: 'customer == "globex"', reason: "their audit week", by: "token:otto", at: ago(86000) }],
  broker: { connected: true, endpoint: "mqtt://broker:1883", error: "" },
  unpublished: "0",
  guards: guards(),
  storm_units: "0",
  held_units: "2",
  failed_releases: [],
  ...more,
});

export const audit = (id, more = {}) => ({
  id: String(id),
  at: ago(60 * id),
  actor: "token:rita",
  event: "rollout.paused",
  severity: 1,
  object: "rollout/7",
  before: '{"paused":false}',
  after: '{"paused":true,"reason":"lab"}',
  ...more,
});

export const keys = (more = {}) => ({
  key_set_version: "3",
  key_set_expires: ahead(86400 * 200),
  keys: [
    { role: "root", keyid: digest("a"), algorithm: "ed25519", threshold: 2 },
    { role: "release", keyid: digest("d"), algorithm: "ed25519", threshold: 2 },
    { role: "assignment", keyid: digest("9"), algorithm: "ed25519", threshold: 1 },
  ],
  release_list_version: "14",
  release_list_expires: ahead(86400 * 30),
  releases_listed: 9,
  signing_keyid: digest("9"),
  signing_key_trusted: true,
  warnings: [],
  ...more,
});

export const plan = (more = {}) => ({
  release_id: "gw-2026.11",
  release_digest: digest("1"),
  units: "1000",
  expected_duration: "14400s",
  warnings: [],
  rings: [
    {
      name: "canary",
      units: "50",
      examples: ["gw-00001", "gw-00002"],
      expected_duration: "2400s",
      bounded_by: "score age",
      smallest_detectable: 0.045,
      warnings: ["a ring of 50 cannot promote by the statistical gate"],
      strata: [],
    },
    {
      name: "full",
      units: "950",
      examples: ["gw-00003"],
      expected_duration: "12000s",
      bounded_by: "rate",
      smallest_detectable: 0.002,
      warnings: [],
      strata: [],
    },
  ],
  excluded: [{ reason: "component rootfs needs bootloader >= 2024.4", units: "12", examples: ["gw-00999"] }],
  ...more,
});

// `more`: of the unit itself.
export function unitDetail(id, more = {}) {
  return {
    unit: unit(id, more),
    reported: {
      boot_id: "a8c1e5f0",
      sequence: "11",
      attempt: 1,
      phase: "trial",
      reason: "healthy for 12 s",
      cm_version: "0.1.0",
      hardware: "gw-2",
      planes: [],
      components: [
        {
          node_id: "main",
          component_id: "rootfs",
          component_type: "rootfs",
          version: "2026.11",
          state: "installed",
          error: "",
          slot_running: "b",
          slot_confirmed: "a",
          slot_trial: "b",
          attempts_left: 2,
        },
        {
          node_id: "mcu",
          component_id: "mcu",
          component_type: "mcu",
          version: "4.1",
          state: "installed",
          error: "",
          slot_running: "a",
          slot_confirmed: "a",
          slot_trial: "",
          attempts_left: 0,
        },
      ],
    },
    attempts: [
      attempt(44, id, { kind: "rollback", state: "verified", reason: "", rollout: "6", ring: "canary" }),
      attempt(31, id, {
        state: "verification_failed",
        reason: "inference: 412 ms, at most 80 ms",
        rolled_back_by: "44",
        score: "fail",
        rollout: "6",
        ring: "canary",
      }),
    ],
    events: [
      { at: ago(40), sequence: "12", attempt: 1, state: "trial", reason: "" },
      { at: ago(80), sequence: "12", attempt: 1, state: "preparing", reason: "412 MiB of 700 MiB" },
    ],
    runs: verification().units[0].runs,
  };
}

export function everything() {
  return {
    "GET /v1/fleet": overview(),
    "GET /v1/keys": keys(),
    "GET /v1/guards": guards(),
    "GET /v1/rollouts": {
      rollouts: [
        rollout(7),
        rollout(6, {
          state: "aborted",
          release_id: "gw-2026.12",
          reason: "canary: gw-00017 failed: inference: 412 ms, at most 80 ms",
          ring: 0,
          rings: [
            ring(
              "canary",
              "aborted",
              50,
              {
                verification_failed: "1",
                verified: "3",
                cancelled: "46",
                "rollback/verified": "3",
                "rollback/verifying": "1",
              },
              { verdict: "Abort", reason: "gw-00017 failed" },
            ),
          ],
        }),
        rollout(5, {
          state: "complete",
          ring: 2,
          rings: [
            ring("canary", "promoted", 50, { verified: "50" }),
            ring("full", "promoted", 950, { verified: "948", excluded: "2" }),
          ],
        }),
      ],
      next_page_token: "",
    },
    "GET /v1/rollouts/*": ({ url }) => rollout(Number(url.pathname.split("/").pop())),
    "GET /v1/rollouts/7/attempts": {
      attempts: [
        attempt(31, "gw-00017", {
          state: "failed",
          reason: "went back by itself: camera-pipeline is not healthy",
          score: "fail",
          rolled_back_by: "44",
        }),
        attempt(32, "gw-00018", { state: "verifying" }),
        attempt(33, "gw-00019", { state: "verified", score: "pass" }),
        attempt(34, "gw-00020", { state: "offline", score_at: null }),
      ],
      next_page_token: "",
    },
    "GET /v1/releases": {
      releases: [
        release("gw-2026.11"),
        takenBack(),
        release("gw-2026.10", { verification: { state: "verified", verified: "96120", verifying: "0", failed: "0" } }),
        release("gw-2026.9", { frozen: true, frozen_reason: "CVE-2026-1234", verification: null, diagnostics: [] }),
      ],
      next_page_token: "",
    },
    "GET /v1/releases/*": ({ url }) => (url.pathname.endsWith("2026.12") ? takenBack() : release("gw-2026.11")),
    "GET /v1/verification": verification(),
    "GET /v1/units": {
      units: Array.from({ length: 100 }, (_, i) =>
        unit(`gw-${String(i).padStart(5, "0")}`, { online: i % 7 !== 3, stale: i % 31 === 5 }),
      ),
      next_page_token: "page2",
    },
    "GET /v1/units/*": ({ url }) => unitDetail(decodeURIComponent(url.pathname.split("/").pop())),
    "GET /v1/stops": {
      stops: [
        { id: "2", target: 'customer == "globex"', reason: "their audit week", by: "token:otto", at: ago(86000) },
        { id: "3", target: "", reason: "broker maintenance", by: "token:rita", at: ago(300) },
      ],
    },
    "GET /v1/audit": {
      entries: [
        audit(1),
        audit(2, {
          actor: "controller",
          event: "unit.release.auto_rolled_back",
          severity: 3,
          object: "unit/gw-00017",
          before: '{"release":"gw-2026.12"}',
          after: '{"release":"gw-2026.10"}',
        }),
        audit(3, {
          event: "release.frozen",
          severity: 2,
          object: "release/gw-2026.9",
          before: "",
          after: '{"reason":"CVE-2026-1234"}',
        }),
      ],
      next_page_token: "",
    },
    "GET /v1/audit/export": '{"id":"1"}\n',
    "POST /v1/plan": plan(),
    "POST /v1/rollouts": rollout(8),
  };
}
