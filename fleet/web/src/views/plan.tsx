import { useState } from "preact/hooks";
import { ApiError, post } from "../api";
import { count, durationOf, num, percent, span, units } from "../format";
import { go, to } from "../route";
import type { Route } from "../route";
import { useMissingRole } from "../session";
import type { RingSpec, Rollout, RolloutPlan, RolloutSpec } from "../types";
import { Action } from "../ui/action";
import { Banner } from "../ui/banner";
import { Head, Section, Table, UnitLink } from "../ui/basics";
import { SpecForm } from "../ui/spec-form";
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
      <Head
        title="Plan"
        about="Who would get it, how long it would take, and what it would find. Nothing happens before you start it."
      >
        <div class="tabs" role="group" aria-label="Write it as">
          <button aria-pressed={!asText} onClick={() => switchTo(false)}>
            Form
          </button>
          <button aria-pressed={asText} onClick={() => switchTo(true)}>
            JSON
          </button>
        </div>
      </Head>
      <form class="plan" onSubmit={ask}>
        {asText ? (
          <label>
            Specification
            <textarea
              name="spec"
              rows={20}
              spellcheck={false}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
            <span class="hint">
              A RolloutSpec, as <code>tandem-fleetctl rollout plan --spec</code> takes it, in JSON.
            </span>
          </label>
        ) : (
          <SpecForm spec={spec} onChange={setSpec} />
        )}
        {textError && (
          <p class="form-error" role="alert">
            This is no JSON: {textError}
          </p>
        )}
        <div class="buttons">
          <button class="primary" disabled={asking || missing !== ""} title={missing ? `Plan: ${missing}` : undefined}>
            {asking ? "Planning…" : "Plan"}
          </button>
        </div>
      </form>
      {plan?.error && <Failure error={plan.error} />}
      {plan?.answer && (
        <PlanResult
          plan={plan.answer}
          spec={JSON.parse(plan.of) as RolloutSpec}
          not={changed ? "the plan is not of what stands above: plan again" : ""}
        />
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
        <Action
          label="Start"
          role="RELEASE_MANAGER"
          title="Start the rollout"
          primary
          not={num(plan.units) === 0 ? "no unit would get it" : not}
          text={`${plan.release_id} is rolled out to ${units(plan.units)}, ring by ring, beginning with ${plan.rings[0]?.name ?? "the first"}.`}
          done={`${spec.name} has begun.`}
          run={start}
        />
      }
    >
      {plan.warnings.map((warning) => (
        <Banner key={warning} tone="warn" title={warning} />
      ))}
      <dl class="inline-facts">
        <div>
          <dt>units</dt>
          <dd class="num">{count(plan.units)}</dd>
        </div>
        <div>
          <dt>left out</dt>
          <dd class="num">{count(left)}</dd>
        </div>
        <div>
          <dt>expected to take</dt>
          <dd class="num">{plan.expected_duration ? span(durationOf(plan.expected_duration)) : "–"}</dd>
        </div>
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
            <td class="num">
              {ring.smallest_detectable > 0 ? percent(ring.smallest_detectable, 1) : <span class="muted">–</span>}
            </td>
            <td class="grow">
              <span class="examples">
                {ring.examples.slice(0, 5).map((id) => (
                  <UnitLink key={id} id={id} />
                ))}
              </span>
              {ring.warnings.map((warning) => (
                <span key={warning} class="under wrap tone-warn">
                  ! {warning}
                </span>
              ))}
            </td>
          </tr>
        ))}
      </Table>
      {plan.excluded.length > 0 && (
        <Table
          label="Left out"
          head={
            <>
              <th>Left out because</th>
              <th class="right">Units</th>
              <th class="grow">Such as</th>
            </>
          }
        >
          {plan.excluded.map((each) => (
            <tr key={each.reason}>
              <td>{each.reason}</td>
              <td class="right num">{count(each.units)}</td>
              <td class="grow">
                <span class="examples">
                  {each.examples.slice(0, 5).map((id) => (
                    <UnitLink key={id} id={id} />
                  ))}
                </span>
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}
