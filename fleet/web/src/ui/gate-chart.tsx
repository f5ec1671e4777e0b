// The evidence of a ring's gate. Statistical: Wald's test as it goes, between the line that aborts and the one that
// promotes; else what has passed of what must.
import { useRef } from "preact/hooks";
import { count, decimal, num } from "../format";
import type { GateEvidence, GateSpec, Ring } from "../types";
import { Bar, Legend } from "./bar";
import type { Part } from "./bar";

const kDefaults = { p0: 0.01, p1: 0.02, error: 0.05 };

export function GateChart({ ring, spec }: { ring: Ring; spec: GateSpec | null | undefined }) {
  const evidence = ring.evidence;
  if (!evidence) return <p class="muted">No unit has been scored yet.</p>;
  return spec?.statistical ? (
    <Sprt name={ring.name} evidence={evidence} policy={spec.statistical} />
  ) : (
    <Tally evidence={evidence} spec={spec} ring={ring} />
  );
}

function Tally({ evidence, spec, ring }: { evidence: GateEvidence; spec: GateSpec | null | undefined; ring: Ring }) {
  const told = Math.max(num(evidence.scored), num(evidence.passed) + num(evidence.failed));
  const waiting = Math.max(0, Math.max(num(evidence.required), num(ring.members)) - told);
  const parts: Part[] = [
    { name: "passed", units: num(evidence.passed), look: "good", sign: "✓" },
    { name: "failed", units: num(evidence.failed), look: "bad", sign: "✕" },
    { name: "not scored yet", units: waiting, look: "wait", sign: "·" },
  ];
  const limit = spec?.any?.failure_threshold || 1;
  return (
    <div class="gate">
      <Bar parts={parts} whole={told + waiting} label="Scores" />
      <Legend parts={parts} />
      <p class="muted">
        {count(evidence.scored)} scored, {count(evidence.required)} needed.{" "}
        {limit === 1 ? "The first failure aborts" : `${limit} failures abort`}.
      </p>
    </div>
  );
}

type Point = { x: number; y: number };
const kWidth = 560;
const kHeight = 180;
const kLeft = 44;
const kRight = 116;
const kTop = 14;
const kBottom = 26;

function Sprt({
  name,
  evidence,
  policy,
}: {
  name: string;
  evidence: GateEvidence;
  policy: NonNullable<GateSpec["statistical"]>;
}) {
  // The way here since this page was opened; before that a straight line stands for it.
  const way = useRef<{ name: string; points: Point[] }>({ name, points: [] });
  if (way.current.name !== name) way.current = { name, points: [] };
  const here = { x: num(evidence.passed) + num(evidence.failed), y: evidence.log_likelihood_ratio };
  const points = way.current.points;
  const last = points[points.length - 1];
  if (!last || last.x !== here.x || last.y !== here.y) points.push(here);
  if (points.length > 500) points.splice(1, 1);

  const p0 = policy.p0 || kDefaults.p0;
  const p1 = policy.p1 || kDefaults.p1;
  const step = Math.log((1 - p1) / (1 - p0));
  // Before the first look the evidence does not say them.
  const [a, b] = [policy.false_abort || kDefaults.error, policy.missed_regression || kDefaults.error];
  const abort = evidence.abort_at || Math.log((1 - b) / a);
  const promote = evidence.promote_at || Math.log(b / (1 - a));
  const clean = here.y > promote ? Math.ceil((promote - here.y) / step) : 0;
  const most = Math.max(10, here.x + clean) * 1.04;
  const high = Math.max(abort, here.y) * 1.15;
  const low = Math.min(promote, here.y) * 1.15;
  const x = (value: number) => kLeft + ((kWidth - kLeft - kRight) * value) / most;
  const y = (value: number) => kTop + ((kHeight - kTop - kBottom) * (high - value)) / (high - low);
  const path = [{ x: 0, y: 0 }, ...points]
    .map((p, i) => `${i ? "L" : "M"}${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}`)
    .join("");
  const summary = `${count(here.x)} units scored, log likelihood ratio ${decimal(here.y)}; aborts at ${decimal(abort)}, promotes at ${decimal(promote)}`;
  return (
    <div class="gate">
      <svg class="chart" viewBox={`0 0 ${kWidth} ${kHeight}`} role="img" aria-label={summary}>
        <rect
          class="zone-bad"
          x={kLeft}
          y={kTop}
          width={kWidth - kLeft - kRight}
          height={Math.max(0, y(abort) - kTop)}
        />
        <rect
          class="zone-good"
          x={kLeft}
          y={y(promote)}
          width={kWidth - kLeft - kRight}
          height={Math.max(0, kHeight - kBottom - y(promote))}
        />
        <line class="bound-bad" x1={kLeft} x2={kWidth - kRight} y1={y(abort)} y2={y(abort)} />
        <line class="bound-good" x1={kLeft} x2={kWidth - kRight} y1={y(promote)} y2={y(promote)} />
        <line class="axis" x1={kLeft} x2={kWidth - kRight} y1={y(0)} y2={y(0)} />
        {clean > 0 && <line class="clean" x1={x(here.x)} y1={y(here.y)} x2={x(here.x + clean)} y2={y(promote)} />}
        <path class="way" d={path} />
        <circle class="here" cx={x(here.x)} cy={y(here.y)} r="4" />
        {[abort, 0, promote].map((value) => (
          <text key={value} x={kLeft - 6} y={y(value) + 4} text-anchor="end">
            {decimal(value)}
          </text>
        ))}
        <text class="bad" x={kWidth - kRight + 6} y={y(abort) + 4}>
          ✕ abort
        </text>
        <text class="good" x={kWidth - kRight + 6} y={y(promote) + 4}>
          ✓ promote
        </text>
        <text x={x(here.x)} y={kHeight - 8} text-anchor="middle">
          {count(here.x)}
        </text>
        <text x={kWidth - kRight + 6} y={kHeight - 8}>
          units scored
        </text>
      </svg>
      <p>
        <span class="tone-good">✓ {count(evidence.passed)} passed</span>,{" "}
        <span class={num(evidence.failed) ? "tone-bad" : "muted"}>✕ {count(evidence.failed)} failed</span>
        {clean > 0 && <span class="muted">; {count(clean)} more clean passes promote</span>}
      </p>
      <dl class="inline-facts">
        <div>
          <dt>log likelihood ratio</dt>
          <dd class="num">{decimal(here.y)}</dd>
        </div>
        <div>
          <dt>failure rates compared</dt>
          <dd class="num">
            {decimal(100 * p0)} % and {decimal(100 * p1)} %
          </dd>
        </div>
        {num(evidence.controls) > 0 && (
          <div>
            <dt>controls failed</dt>
            <dd class="num">
              {count(evidence.controls_failed)} of {count(evidence.controls)}
            </dd>
          </div>
        )}
        {evidence.control_e_value > 0 && (
          <div title="How strongly the failures are the release's and not the fleet's">
            <dt>control e-value</dt>
            <dd class="num">{decimal(evidence.control_e_value)}</dd>
          </div>
        )}
        {evidence.paired_e_value > 0 && (
          <div title="The same, unit by unit with its control">
            <dt>paired e-value</dt>
            <dd class="num">{decimal(evidence.paired_e_value)}</dd>
          </div>
        )}
      </dl>
    </div>
  );
}
