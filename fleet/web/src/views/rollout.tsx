import { post, segment, withQuery } from "../api";
import { count, durationOf, num, plain, seconds, span, units } from "../format";
import { useAnswer, usePages } from "../query";
import { setQuery, to } from "../route";
import type { Route } from "../route";
import type { Attempt, AttemptList, Ring, RingSpec, Rollout } from "../types";
import { Action } from "../ui/action";
import { Bar, Legend, attemptParts } from "../ui/bar";
import { Facts, Head, Id, Pager, ReleaseLink, Section, State, Table, UnitLink } from "../ui/basics";
import { GateChart } from "../ui/gate-chart";
import { Empty, Shown } from "../ui/states";
import { Ago, Countdown, useNow } from "../ui/time";
import { RolloutActions } from "./rollout-actions";
import { kOver, rateOf, rateText, ringOf, stateOf } from "./rollouts";

export function RolloutView({ route }: { route: Route }) {
  const id = route.path[1];
  const answer = useAnswer<Rollout>(`/v1/rollouts/${segment(id)}`, [`rollout/${id}`], `rollout/${id}`);
  return (
    <Shown answer={answer}>
      {(rollout) => (
        <>
          <Head
            title={rollout.spec.name || `Rollout ${id}`}
            about={
              <>
                Rollout {id} of <ReleaseLink id={rollout.release_id} digest={rollout.release_digest} /> to{" "}
                {rollout.spec.target ? <code>{rollout.spec.target}</code> : "all units"}, by {rollout.created_by},{" "}
                <Ago time={rollout.created_at} />
              </>
            }
          >
            <RolloutActions rollout={rollout} />
          </Head>
          <Summary rollout={rollout} />
          <Section title="Rings" aside={<a href={`#/verification?rollout=${id}`}>Verification</a>}>
            <ol class="tree">
              {rollout.rings.map((ring, i) => (
                <RingBranch
                  key={ring.name}
                  rollout={rollout}
                  ring={ring}
                  spec={rollout.spec.rings?.[i]}
                  index={i}
                  route={route}
                />
              ))}
            </ol>
          </Section>
          <Section title="How it was asked for" aside={<a href={`#/audit?object=rollout/${id}`}>Audit</a>}>
            <SpecFacts rollout={rollout} />
          </Section>
        </>
      )}
    </Shown>
  );
}

function Summary({ rollout }: { rollout: Rollout }) {
  const now = useNow(10);
  const forward = attemptParts(rollout.rings.map((ring) => ring.counts));
  const back = attemptParts(
    rollout.rings.map((ring) => ring.counts),
    "rollback",
  );
  const members = rollout.rings.reduce((sum, ring) => sum + num(ring.members), 0);
  const over = kOver.includes(rollout.state);
  const reason = rollout.reason || ringOf(rollout)?.reason;
  return (
    <div class="summary">
      <p class="verdict">
        <State state={stateOf(rollout)} />
        {reason && <span>{reason}</span>}
        {num(rollout.superseded_by) > 0 && (
          <a href={to("rollouts", String(rollout.superseded_by))}>by rollout {String(rollout.superseded_by)}</a>
        )}
      </p>
      <Bar parts={forward} whole={members} label="Units of all rings" />
      <Legend parts={forward} whole={members} />
      {back.length > 0 && (
        <>
          <p class="muted bar-name">On the way back</p>
          <Bar parts={back} whole={members} label="Units on the way back" thin />
          <Legend parts={back} />
        </>
      )}
      <dl class="inline-facts">
        <div>
          <dt>ring</dt>
          <dd class="num">
            {Math.min(rollout.ring + 1, rollout.rings.length)} of {rollout.rings.length}
          </dd>
        </div>
        <div>
          <dt>units</dt>
          <dd class="num">{count(members)}</dd>
        </div>
        <div>
          <dt>rate</dt>
          <dd class="num">{rateText(rateOf(rollout, now))}</dd>
        </div>
        <div>
          <dt>{over ? "took" : "age"}</dt>
          <dd class="num">{span((over ? seconds(rollout.changed_at) : now) - seconds(rollout.created_at))}</dd>
        </div>
      </dl>
    </div>
  );
}

function RingBranch({
  rollout,
  ring,
  spec,
  index,
  route,
}: {
  rollout: Rollout;
  ring: Ring;
  spec: RingSpec | undefined;
  index: number;
  route: Route;
}) {
  const chosen = route.query.get("ring");
  const current = index === Math.min(rollout.ring, rollout.rings.length - 1);
  const open = chosen === null ? current : chosen === ring.name;
  const parts = attemptParts([ring.counts]);
  return (
    <li class={open ? "ring open" : "ring"}>
      <button
        class="ring-head"
        data-row
        aria-expanded={open}
        onClick={() => setQuery({ ring: open ? "-" : ring.name, state: undefined })}
      >
        <span class="twist" aria-hidden="true">
          {open ? "▾" : "▸"}
        </span>
        <span class="ring-name">{ring.name}</span>
        {/* A run that is pending is under way; a ring is not. */}
        {ring.state === "pending" ? <State state="queued" name="pending" /> : <State state={ring.state} />}
        <span class="ring-bar">
          <Bar parts={parts} whole={num(ring.members)} label={ring.name} thin />
        </span>
        <span class="num muted">{units(ring.members)}</span>
      </button>
      {open && (
        <div class="ring-body">
          <div class="ring-gate">
            <h3>Gate {ring.verdict && <State state={ring.verdict} />}</h3>
            {ring.reason && <p>{ring.reason}</p>}
            <GateChart ring={ring} spec={spec?.gate} />
          </div>
          <Attempts rollout={rollout} ring={ring} route={route} />
        </div>
      )}
    </li>
  );
}

const kStates = [
  "queued",
  "offline",
  "asked",
  "updating",
  "provisional",
  "applied",
  "verifying",
  "verifying_trial",
  "cleared",
  "verified",
  "passed",
  "failed",
  "verification_failed",
  "verification_storm",
  "excluded",
  "superseded",
  "cancelled",
];

function Attempts({ rollout, ring, route }: { rollout: Rollout; ring: Ring; route: Route }) {
  const state = route.query.get("state") ?? "";
  const id = String(rollout.id);
  const pages = usePages(`${ring.name}/${state}`);
  const answer = useAnswer<AttemptList>(
    withQuery(`/v1/rollouts/${segment(id)}/attempts`, {
      ring: ring.name,
      state,
      page_size: 50,
      page_token: pages.token,
    }),
    [`rollout/${id}`],
  );
  return (
    <div class="attempts">
      <div class="section-head">
        <h3>Units</h3>
        <label class="inline">
          State{" "}
          <select
            name="state"
            data-filter
            value={state}
            onChange={(event) => setQuery({ ring: ring.name, state: event.currentTarget.value })}
          >
            <option value="">all</option>
            {kStates.map((each) => (
              <option key={each} value={each}>
                {plain(each)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Shown answer={answer}>
        {(data) =>
          data.attempts.length === 0 ? (
            <Empty title={state ? `No unit of this ring is ${plain(state)}` : "This ring has no units yet"}>
              {!state && "It is filled when its turn comes."}
            </Empty>
          ) : (
            <>
              <AttemptTable attempts={data.attempts} rollout={rollout} />
              <Pager
                page={pages.page}
                next={data.next_page_token}
                onNext={pages.next}
                onBack={pages.back}
                what="units"
              />
            </>
          )
        }
      </Shown>
    </div>
  );
}

// The attempts of a unit below its first one, units in the order of theirs.
function byUnit(attempts: Attempt[]): [attempt: Attempt, further: boolean][] {
  const units = new Map<string, Attempt[]>();
  for (const attempt of attempts) units.set(attempt.unit_id, [...(units.get(attempt.unit_id) ?? []), attempt]);
  return [...units.values()].flatMap((list) => list.map((attempt, i): [Attempt, boolean] => [attempt, i > 0]));
}

function AttemptTable({ attempts, rollout }: { attempts: Attempt[]; rollout: Rollout }) {
  const over = kOver.includes(rollout.state);
  return (
    <Table
      label="Attempts"
      cards
      head={
        <>
          <th>Unit</th>
          <th>State</th>
          <th class="wide-only">Kind</th>
          <th>Score</th>
          <th class="grow">Reason</th>
          <th class="right">Changed</th>
          <th></th>
        </>
      }
    >
      {byUnit(attempts).map(([attempt, further]) => (
        <tr key={String(attempt.id)} class={further ? "further" : ""}>
          <td>{further ? <span class="muted">↳ {attempt.unit_id}</span> : <UnitLink id={attempt.unit_id} row />}</td>
          <td>
            <State state={attempt.state} />
          </td>
          <td class="wide-only">
            {plain(attempt.kind)}
            {attempt.tries > 1 && <span class="muted"> try {attempt.tries}</span>}
          </td>
          <td>
            {attempt.score ? (
              <State state={attempt.score} />
            ) : attempt.score_at ? (
              <span class="muted">
                in <Countdown time={attempt.score_at} />
              </span>
            ) : (
              <span class="muted">–</span>
            )}
          </td>
          <td class="grow">
            {attempt.reason}
            {num(attempt.rolled_back_by) > 0 && (
              <span class="muted"> taken back by attempt {String(attempt.rolled_back_by)}</span>
            )}
          </td>
          <td class="right">
            <Ago time={attempt.changed_at} />
          </td>
          <td class="right">
            {["failed", "verification_failed"].includes(attempt.state) && attempt.kind === "forward" && !over && (
              <Action
                label="Retry"
                role="OPERATOR"
                title={`Try ${attempt.unit_id} again`}
                text="It is ordered once more."
                reason="welcome"
                done={`${attempt.unit_id} is tried again.`}
                run={(reason) =>
                  post(`/v1/rollouts/${segment(String(rollout.id))}/change`, {
                    verb: "retry",
                    reason,
                    unit_id: attempt.unit_id,
                  })
                }
              />
            )}
          </td>
        </tr>
      ))}
    </Table>
  );
}

function SpecFacts({ rollout }: { rollout: Rollout }) {
  const { spec } = rollout;
  return (
    <Facts
      rows={[
        [
          "Release",
          <>
            <ReleaseLink id={rollout.release_id} digest={rollout.release_digest} />{" "}
            <Id text={rollout.release_digest} short={12} />
          </>,
        ],
        ["Target", spec.target ? <code>{spec.target}</code> : "all units"],
        ["Scored", spec.score_age ? `${span(durationOf(spec.score_age))} after it was asked` : ""],
        ["At most at a time", spec.max_in_flight ? units(spec.max_in_flight) : "no limit"],
        ["Rate", spec.units_per_minute ? `${spec.units_per_minute} a minute` : "no limit"],
        [
          "On abort",
          spec.on_abort === "KEEP_UPDATED" ? "units that have it confirmed keep it" : "units go back to what they had",
        ],
        [
          "On failed verification",
          spec.on_verification_failure === "SCORE" ? "one failure of the gate" : "taken back from all",
        ],
        ["Hours (UTC)", (spec.windows ?? []).map((window) => `${window.from}–${window.until}`).join(", ")],
        ["Starts", spec.start ? <Ago time={spec.start} /> : ""],
      ]}
    />
  );
}
