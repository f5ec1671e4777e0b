import { count, num, percent, units } from "../format";
import { post } from "../api";
import { useAnswer } from "../query";

import type { Overview, ReleaseList, VersionShare } from "../types";
import { Action } from "../ui/action";
import { Bar, Legend } from "../ui/bar";
import type { Part } from "../ui/bar";
import { Head, ReleaseLink, Section } from "../ui/basics";
import { Empty, Shown } from "../ui/states";
import { Ago } from "../ui/time";
import { RolloutTable } from "./rollouts";

const kPlanes = ["firmware", "model", "config"];
const kShownVersions = 4;

export function FleetView() {
  const fleet = useAnswer<Overview>("/v1/fleet", ["fleet", "audit", "rollout/"]);
  // The newest ones; what is older hardly runs anywhere.
  const releases = useAnswer<ReleaseList>("/v1/releases?page_size=100", ["release/"]).data?.releases ?? [];
  const frozen = new Set(releases.filter((release) => release.frozen).map((release) => release.digest));
  return (
    <>
      <Head title="Fleet" about={fleet.data && `${units(fleet.data.units)} in ${fleet.data.namespace}`} />
      <Shown answer={fleet}>
        {(data) => (num(data.units) === 0 ? <NoUnits /> : <Numbers fleet={data} frozen={frozen} />)}
      </Shown>
    </>
  );
}

function NoUnits() {
  return (
    <Empty title="No unit is registered yet">
      Register them from a file: <code>tandem-fleetctl units register units.csv</code>. They appear here as soon as they
      are.
    </Empty>
  );
}

function Numbers({ fleet, frozen }: { fleet: Overview; frozen: Set<string> }) {
  const all = num(fleet.units);
  const offline = all - num(fleet.online);
  return (
    <>
      <ul class="figures">
        <Figure
          name="Online"
          value={percent(num(fleet.online), all)}
          about={`${count(fleet.online)} of ${count(all)}`}
          href="#/units?presence=online"
        />
        <Figure name="Offline" value={count(offline)} href="#/units?presence=offline" quiet={offline === 0} />
        <Figure
          name="Stale"
          value={count(fleet.stale)}
          about="silent, without a goodbye"
          href="#/units?presence=stale"
          tone="warn"
        />
        <Figure
          name="Storm"
          value={count(fleet.storm_units)}
          about="failed again after the way back"
          href="#/units?presence=storm"
          tone="bad"
        />
        <Figure
          name="Held"
          value={count(fleet.held_units)}
          about="by operators"
          href="#/units?presence=held"
          tone="warn"
        />
        <Figure name="Frozen" value={count(frozen.size)} about="releases" href="#/releases" tone="warn" />
        <Figure name="Revoked" value={count(fleet.revoked)} href="#/units?presence=revoked" />
        <Figure name="Unpublished" value={count(fleet.unpublished)} about="orders on their way out" />
      </ul>
      <Section title="What runs">
        <div class="planes">
          {kPlanes.map((plane) => (
            <Plane
              key={plane}
              plane={plane}
              shares={fleet.versions.filter((share) => share.plane === plane)}
              all={all}
              frozen={frozen}
            />
          ))}
        </div>
      </Section>
      <Section title="Rollouts under way" aside={<a href="#/rollouts">All rollouts</a>}>
        {fleet.active_rollouts.length === 0 ? (
          <Empty title="Nothing is being rolled out">
            <a href="#/plan">Plan a rollout</a>
          </Empty>
        ) : (
          <RolloutTable rollouts={fleet.active_rollouts} />
        )}
      </Section>
      {fleet.stops.length > 0 && (
        <Section title="Stops in force" aside={<a href="#/stops">All stops</a>}>
          <ul class="lines">
            {fleet.stops.map((stop) => (
              <li key={String(stop.id)}>
                <code>{stop.target || "all units"}</code>
                <span>{stop.reason}</span>
                <span class="muted">
                  {stop.by}, <Ago time={stop.at} />
                </span>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <p class="foot muted">
        Broker {fleet.broker?.endpoint || "unknown"}: {fleet.broker?.connected ? "connected" : "away"}.
      </p>
      {fleet.guards?.auto_rollback && (
        <p class="foot muted">
          Automatic rollback is on.{" "}
          <Action
            label="Switch off"
            title="Switch automatic rollback off"
            role="OPERATOR"
            reason="needed"
            danger
            text="Releases that fail their verification stay on their units, and their rollouts are paused, until somebody switches it on again."
            done="Automatic rollback is off."
            run={(reason) => post("/v1/guards/auto-rollback", { on: false, reason })}
          />
        </p>
      )}
    </>
  );
}

function Figure(props: {
  name: string;
  value: string;
  about?: string;
  href?: string;
  tone?: "warn" | "bad";
  quiet?: boolean;
}) {
  const zero = props.value === "0";
  const body = (
    <>
      <span class="figure-name">{props.name}</span>
      <span class={`figure-value ${zero ? "zero" : (props.tone ?? "")}`}>{props.value}</span>
      {props.about && <span class="figure-about">{props.about}</span>}
    </>
  );
  return <li>{props.href ? <a href={props.href}>{body}</a> : <div>{body}</div>}</li>;
}

function Plane(props: { plane: string; shares: VersionShare[]; all: number; frozen: Set<string> }) {
  const { plane, shares, all, frozen } = props;
  const sorted = [...shares].sort((a, b) => num(b.units) - num(a.units));
  const known = sorted.filter((share) => share.release_id);
  const shown = known.slice(0, kShownVersions);
  const rest = known.slice(kShownVersions).reduce((sum, share) => sum + num(share.units), 0);
  const unknown = sorted.filter((share) => !share.release_id).reduce((sum, share) => sum + num(share.units), 0);
  const parts: Part[] = shown.map((share, i) => ({
    name: share.release_id,
    units: num(share.units),
    look: `shade-${i}`,
    label: (
      <>
        <ReleaseLink id={share.release_id} digest={share.release_digest} />
        {frozen.has(share.release_digest) && (
          <span class="tone-warn" title="frozen: never assigned again">
            {" "}
            ❄
          </span>
        )}
      </>
    ),
  }));
  if (rest > 0) parts.push({ name: `${known.length - shown.length} others`, units: rest, look: "shade-4" });
  if (unknown > 0) parts.push({ name: "none known", units: unknown, look: "out" });
  return (
    <div class="plane">
      <h3>{plane}</h3>
      {known.length === 0 ? (
        <p class="muted">No unit runs a known release here.</p>
      ) : (
        <>
          <Bar parts={parts} whole={all} label={plane} />
          <Legend parts={parts} whole={all} />
        </>
      )}
    </div>
  );
}
