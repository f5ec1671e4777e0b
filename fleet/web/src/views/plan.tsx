import { useEffect, useState } from "preact/hooks";
import { ApiError, post } from "../api";
import { count, durationOf, num, percent, span, units } from "../format";
import { useAnswer } from "../query";
import { go, to } from "../route";
import type { Route } from "../route";
import { useMissingRole } from "../session";
import type { GateSpec, ReleaseList, RingSpec, Rollout, RolloutPlan, RolloutSpec } from "../types";
import { Action } from "../ui/action";
import { Banner } from "../ui/banner";
import { Head, Section, Table, UnitLink } from "../ui/basics";
import { Failure } from "../ui/states";

const kRings: RingSpec[] = [
  { name: "canary", percent: 5, gate: {} },
  { name: "10 %", percent: 10, gate: {} },
  { name: "full", percent: 100, gate: {} },
];

export function PlanView({ route }: { route: Route }) {
  const [spec, setSpec] = useState<RolloutSpec>({ name: "", release: route.query.get("release") ?? "", rings: kRings });
  const [plan, setPlan] = useState<{ of: string; answer?: RolloutPlan; error?: ApiError }>();
  const [asking, setAsking] = useState(false);
  const [asText, setAsText] = useState(false);
  const [text, setText] = useState("");
  const [textError, setTextError] = useState("");
  const missing = useMissingRole()("OPERATOR");

  // What the form means, or what stands in the text.
  const wanted = (): RolloutSpec | undefined => {
    if (!asText) return spec;
    try {
      const value = JSON.parse(text) as RolloutSpec;
      setTextError("");
      return value;
    } catch (error) {
      setTextError((error as Error).message);
      return undefined;
    }
  };
  const switchTo = (textual: boolean) => {
    if (textual === asText) return;
    if (textual) setText(JSON.stringify(spec, null, 2));
    else {
      const value = wanted();
      if (!value) return;
      setSpec({ ...value, rings: value.rings ?? [] });
    }
    setTextError("");
    setAsText(textual);
  };
  const ask = async (event: Event) => {
    event.preventDefault();
    const value = wanted();
    if (!value) return;
    setAsking(true);
    const of = JSON.stringify(value);
    try {
      setPlan({ of, answer: await post<RolloutPlan>("/v1/plan", { spec: value }) });
    } catch (error) {
      setPlan({ of, error: error as ApiError });
    }
    setAsking(false);
  };
  const changed = plan !== undefined && plan.of !== (asText ? safe(text) : JSON.stringify(spec));

  return (
    <>
      <Head title="Plan" about="Who would get it, how long it would take, and what it would find. Nothing happens before you start it.">
        <div class="tabs" role="group" aria-label="Write it as">
          <button aria-pressed={!asText} onClick={() => switchTo(false)}>Form</button>
          <button aria-pressed={asText} onClick={() => switchTo(true)}>JSON</button>
        </div>
      </Head>
      <form class="plan" onSubmit={ask}>
        {asText ? (
          <label>
            Specification
            <textarea name="spec" rows={20} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
            <span class="hint">A RolloutSpec, as <code>tandem-fleetctl rollout plan --spec</code> takes it, in JSON.</span>
          </label>
        ) : (
          <SpecForm spec={spec} onChange={setSpec} />
        )}
        {textError && <p class="form-error" role="alert">This is no JSON: {textError}</p>}
        <div class="buttons">
          <button class="primary" disabled={asking || missing !== ""} title={missing ? `Plan: ${missing}` : undefined}>{asking ? "Planning…" : "Plan"}</button>
        </div>
      </form>
      {plan?.error && <Failure error={plan.error} />}
      {plan?.answer && (
        <PlanResult plan={plan.answer} spec={JSON.parse(plan.of) as RolloutSpec} not={changed ? "the plan is not of what stands above: plan again" : ""} />
      )}
    </>
  );
}

function safe(text: string) {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

function SpecForm({ spec, onChange }: { spec: RolloutSpec; onChange: (spec: RolloutSpec) => void }) {
  const releases = useAnswer<ReleaseList>("/v1/releases?page_size=100", ["release/", "keys"]).data?.releases ?? [];
  const set = (more: Partial<RolloutSpec>) => onChange({ ...spec, ...more });
  // The newest one that may be assigned.
  useEffect(() => {
    const first = releases.find((release) => release.listed && !release.frozen);
    if (!spec.release && first) set({ release: first.digest });
  }, [releases.length]);
  const rings = spec.rings ?? [];
  const setRing = (index: number, ring: RingSpec) => set({ rings: rings.map((each, i) => (i === index ? ring : each)) });
  return (
    <>
      <div class="fields">
        <label>
          Name
          <input name="name" required value={spec.name} placeholder="gateway 2026.11 to Europe" autocomplete="off" onInput={(e) => set({ name: e.currentTarget.value })} />
        </label>
        <label>
          Release
          <select name="release" required value={spec.release} onChange={(e) => set({ release: e.currentTarget.value })}>
            <option value="">choose one</option>
            {spec.release && !releases.some((each) => each.digest === spec.release) && <option value={spec.release}>{spec.release}</option>}
            {releases.map((each) => (
              <option key={each.digest} value={each.digest}>
                {each.release_id} {each.frozen ? "(frozen)" : each.listed ? "" : "(not listed)"}
              </option>
            ))}
          </select>
        </label>
        <label class="wide">
          Units
          <input name="target" value={spec.target ?? ""} placeholder='region == "eu" && !has(tag.lab)' spellcheck={false} autocomplete="off"
            onInput={(e) => set({ target: e.currentTarget.value })} />
          <span class="hint">A targeting expression. Empty: all units.</span>
        </label>
        <label>
          Scored after, minutes
          <input name="score_age" type="number" min="1" placeholder="30" value={spec.score_age ? durationOf(spec.score_age) / 60 : ""}
            onInput={(e) => set({ score_age: e.currentTarget.value ? `${60 * Number(e.currentTarget.value)}s` : undefined })} />
        </label>
        <label>
          At most at a time
          <input name="max_in_flight" type="number" min="0" placeholder="no limit" value={spec.max_in_flight || ""}
            onInput={(e) => set({ max_in_flight: Number(e.currentTarget.value) || undefined })} />
        </label>
        <label>
          Units a minute
          <input name="units_per_minute" type="number" min="0" step="any" placeholder="no limit" value={spec.units_per_minute || ""}
            onInput={(e) => set({ units_per_minute: Number(e.currentTarget.value) || undefined })} />
        </label>
        <label>
          A failed verification
          <select name="on_verification_failure" value={spec.on_verification_failure ?? "ROLL_BACK"} onChange={(e) => set({ on_verification_failure: e.currentTarget.value })}>
            <option value="ROLL_BACK">takes the release back from all</option>
            <option value="SCORE">is one failure of the gate</option>
          </select>
        </label>
        <label>
          On abort
          <select name="on_abort" value={spec.on_abort ?? "TAKE_BACK"} onChange={(e) => set({ on_abort: e.currentTarget.value })}>
            <option value="TAKE_BACK">units go back to what they had</option>
            <option value="KEEP_UPDATED">confirmed units keep it</option>
          </select>
        </label>
      </div>
      <fieldset>
        <legend>Rings, in order</legend>
        <ol class="ring-form">
          {rings.map((ring, i) => (
            <li key={i}>
              <RingForm ring={ring} onChange={(next) => setRing(i, next)} onRemove={() => set({ rings: rings.filter((_, at) => at !== i) })} />
            </li>
          ))}
        </ol>
        <button type="button" onClick={() => set({ rings: [...rings, { name: `ring ${rings.length + 1}`, percent: 100, gate: {} }] })}>Add a ring</button>
      </fieldset>
    </>
  );
}

function RingForm({ ring, onChange, onRemove }: { ring: RingSpec; onChange: (ring: RingSpec) => void; onRemove: () => void }) {
  const gate: GateSpec = ring.gate ?? {};
  const set = (more: Partial<RingSpec>) => onChange({ ...ring, ...more });
  const setGate = (more: Partial<GateSpec>) => set({ gate: { ...gate, ...more } });
  const policy = gate.statistical ? "statistical" : "any";
  return (
    <div class="ring-fields">
      <label>
        Name
        <input required value={ring.name ?? ""} autocomplete="off" onInput={(e) => set({ name: e.currentTarget.value })} />
      </label>
      <label>
        Up to %
        <input type="number" min="0" max="100" step="any" value={ring.percent ?? 100} onInput={(e) => set({ percent: Number(e.currentTarget.value) })} />
      </label>
      <label>
        Only
        <input value={ring.target ?? ""} placeholder="all of them" spellcheck={false} autocomplete="off" onInput={(e) => set({ target: e.currentTarget.value || undefined })} />
      </label>
      <label>
        Gate
        <select value={policy} onChange={(e) => {
          const { any: _any, statistical: _statistical, ...rest } = gate;
          set({ gate: e.currentTarget.value === "statistical" ? { ...rest, statistical: { p0: 0.01, p1: 0.02 } } : rest });
        }}>
          <option value="any">first failure aborts</option>
          <option value="statistical">failure rate (SPRT)</option>
        </select>
      </label>
      <label>
        Units scored
        <input type="number" min="0" placeholder="1" value={gate.min_units || ""} onInput={(e) => setGate({ min_units: Number(e.currentTarget.value) || undefined })} />
      </label>
      <label>
        Stable, minutes
        <input type="number" min="0" step="any" placeholder="0" value={gate.stability_window ? durationOf(gate.stability_window) / 60 : ""}
          onInput={(e) => setGate({ stability_window: e.currentTarget.value ? `${60 * Number(e.currentTarget.value)}s` : undefined })} />
      </label>
      <label class="check">
        <input type="checkbox" checked={gate.needs_promote ?? false} onChange={(e) => setGate({ needs_promote: e.currentTarget.checked || undefined })} />
        by hand
      </label>
      <button type="button" class="quiet" aria-label={`Remove ring ${ring.name}`} onClick={onRemove}>✕</button>
    </div>
  );
}

function PlanResult({ plan, spec, not }: { plan: RolloutPlan; spec: RolloutSpec; not: string }) {
  const left = plan.excluded.reduce((sum, each) => sum + num(each.units), 0);
  const start = async () => {
    const rollout = await post<Rollout>("/v1/rollouts", { spec });
    go(to("rollouts", String(rollout.id)));
  };
  return (
    <Section
      title={`Plan: ${plan.release_id} to ${units(plan.units)}`}
      aside={
        <Action label="Start" role="RELEASE_MANAGER" title="Start the rollout" primary not={num(plan.units) === 0 ? "no unit would get it" : not}
          text={`${plan.release_id} is rolled out to ${units(plan.units)}, ring by ring, beginning with ${plan.rings[0]?.name ?? "the first"}.`}
          done={`${spec.name} has begun.`} run={start} />
      }
    >
      {plan.warnings.map((warning) => <Banner key={warning} tone="warn" title={warning} />)}
      <dl class="inline-facts">
        <div><dt>units</dt><dd class="num">{count(plan.units)}</dd></div>
        <div><dt>left out</dt><dd class="num">{count(left)}</dd></div>
        <div><dt>expected to take</dt><dd class="num">{plan.expected_duration ? span(durationOf(plan.expected_duration)) : "–"}</dd></div>
      </dl>
      <Table
        label="Rings"
        head={
          <>
            <th>Ring</th>
            <th class="right">Units</th>
            <th class="right">Takes</th>
            <th>Bounded by</th>
            <th>Smallest regression found</th>
            <th class="grow">Such as</th>
          </>
        }
      >
        {plan.rings.map((ring) => (
          <tr key={ring.name}>
            <td>{ring.name}</td>
            <td class="right num">{count(ring.units)}</td>
            <td class="right num">{ring.expected_duration ? span(durationOf(ring.expected_duration)) : "–"}</td>
            <td>{ring.bounded_by || "–"}</td>
            <td class="num">{ring.smallest_detectable > 0 ? percent(ring.smallest_detectable, 1) : <span class="muted">–</span>}</td>
            <td class="grow">
              <span class="examples">{ring.examples.slice(0, 5).map((id) => <UnitLink key={id} id={id} />)}</span>
              {ring.warnings.map((warning) => <span key={warning} class="under wrap tone-warn">! {warning}</span>)}
            </td>
          </tr>
        ))}
      </Table>
      {plan.excluded.length > 0 && (
        <Table label="Left out" head={<><th>Left out because</th><th class="right">Units</th><th class="grow">Such as</th></>}>
          {plan.excluded.map((each) => (
            <tr key={each.reason}>
              <td>{each.reason}</td>
              <td class="right num">{count(each.units)}</td>
              <td class="grow"><span class="examples">{each.examples.slice(0, 5).map((id) => <UnitLink key={id} id={id} />)}</span></td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}
