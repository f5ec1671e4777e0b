import { num, seconds, span, units } from "../format";
import { useAnswer, usePages } from "../query";
import { setQuery, to } from "../route";
import type { Route } from "../route";
import { withQuery } from "../api";
import type { Ring, Rollout, RolloutList } from "../types";
import { Bar, attemptParts } from "../ui/bar";
import { Head, Pager, ReleaseLink, State, Table } from "../ui/basics";
import { Empty, Shown } from "../ui/states";
import { Ago, useNow } from "../ui/time";

export const kOver = ["complete", "aborted", "superseded"];

export function RolloutsView({ route }: { route: Route }) {
  const active = route.query.get("show") === "active";
  const pages = usePages(active ? "active" : "all");
  const path = withQuery("/v1/rollouts", { active, page_size: 50, page_token: pages.token });
  const answer = useAnswer<RolloutList>(path, ["rollout/"]);
  return (
    <>
      <Head title="Rollouts">
        <div class="tabs" role="group" aria-label="Which">
          <button aria-pressed={!active} onClick={() => setQuery({ show: undefined })}>
            All
          </button>
          <button aria-pressed={active} onClick={() => setQuery({ show: "active" })}>
            Under way
          </button>
        </div>
        <a class="button primary" href="#/plan">
          Plan a rollout
        </a>
      </Head>
      <Shown answer={answer}>
        {(data) =>
          data.rollouts.length === 0 ? (
            <Empty title={active ? "Nothing is being rolled out" : "There was no rollout yet"}>
              <a href="#/plan">Plan one</a>: who gets it, how long it takes, and what it would find, before anything
              happens.
            </Empty>
          ) : (
            <>
              <RolloutTable rollouts={data.rollouts} />
              <Pager
                page={pages.page}
                next={data.next_page_token}
                onNext={pages.next}
                onBack={pages.back}
                what="rollouts"
              />
            </>
          )
        }
      </Shown>
    </>
  );
}

// Where it is: the ring that is under way, or the last one.
export const ringOf = (rollout: Rollout): Ring | undefined =>
  rollout.rings[Math.min(rollout.ring, rollout.rings.length - 1)];

const kDone = ["verified", "passed", "cleared", "applied", "failed", "verification_failed", "verification_storm"];

// Units that have got it since its first ring began, a minute; 0: nothing to say yet.
export function rateOf(rollout: Rollout, now: number): number {
  const began = Math.min(...rollout.rings.map((ring) => seconds(ring.started_at)).filter((at) => at > 0));
  if (!Number.isFinite(began)) return 0;
  const ended = kOver.includes(rollout.state) ? seconds(rollout.changed_at) : now;
  const done = rollout.rings.reduce((sum, ring) => sum + kDone.reduce((n, state) => n + num(ring.counts[state]), 0), 0);
  return ended > began ? (60 * done) / (ended - began) : 0;
}

export const rateText = (rate: number) =>
  rate === 0 ? "–" : rate < 1 ? "< 1 / min" : `${Math.round(rate).toLocaleString("en-US")} / min`;

export const stateOf = (rollout: Rollout) =>
  rollout.paused && !kOver.includes(rollout.state) ? "paused" : rollout.state;

export function RolloutTable({ rollouts }: { rollouts: Rollout[] }) {
  const now = useNow(15);
  return (
    <Table
      label="Rollouts"
      cards
      head={
        <>
          <th>Rollout</th>
          <th>Release</th>
          <th>State</th>
          <th>Ring</th>
          <th class="grow">Units</th>
          <th>Gate</th>
          <th class="wide-only right">Rate</th>
          <th class="right">Age</th>
        </>
      }
    >
      {rollouts.map((rollout) => (
        <Row key={String(rollout.id)} rollout={rollout} now={now} />
      ))}
    </Table>
  );
}

function Row({ rollout, now }: { rollout: Rollout; now: number }) {
  const ring = ringOf(rollout);
  const parts = attemptParts(rollout.rings.map((each) => each.counts));
  const members = rollout.rings.reduce((sum, each) => sum + num(each.members), 0);
  const over = kOver.includes(rollout.state);
  return (
    <tr>
      <td class="name">
        <a href={to("rollouts", String(rollout.id))} data-row>
          <span class="muted num">{String(rollout.id)}</span> {rollout.spec.name}
        </a>
      </td>
      <td>
        <ReleaseLink id={rollout.release_id} digest={rollout.release_digest} />
      </td>
      <td>
        <State state={stateOf(rollout)} />
      </td>
      <td>
        {ring?.name}{" "}
        <span class="muted num">{`${Math.min(rollout.ring + 1, rollout.rings.length)}/${rollout.rings.length}`}</span>
      </td>
      <td class="grow">
        <Bar parts={parts} whole={members} label="Units" thin />
        <span class="under">
          {members ? parts.map((part) => `${part.units.toLocaleString("en-US")} ${part.name}`).join(", ") : units(0)}
        </span>
      </td>
      <td class="reason">
        {!over && ring?.verdict && <State state={ring.verdict} />}
        <span class="under" title={rollout.reason || ring?.reason}>
          {rollout.reason || ring?.reason}
        </span>
      </td>
      <td class="wide-only right num">{rateText(rateOf(rollout, now))}</td>
      <td class="right">
        <Ago time={rollout.created_at} />
        {over && (
          <span class="under">took {span(Math.max(0, seconds(rollout.changed_at) - seconds(rollout.created_at)))}</span>
        )}
      </td>
    </tr>
  );
}
