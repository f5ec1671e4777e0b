import { useEffect, useState } from "preact/hooks";
import { withQuery } from "../api";
import { num } from "../format";
import { useAnswer, usePages } from "../query";
import { setQuery, to } from "../route";
import type { Route } from "../route";
import type { Unit, UnitList } from "../types";
import { Head, Pager, State, Table, UnitLink } from "../ui/basics";
import { Filter } from "../ui/filter";
import { Empty, Shown } from "../ui/states";
import { Ago } from "../ui/time";

const kPresences = ["online", "offline", "stale", "storm", "held", "revoked"];
const kPage = 100;
// Units that the controller looks at for one page, and pages that are skipped before a person is asked.
const kLookedAt = 10_000;
const kMostSkipped = 20;
// So a narrowed list is asked for less often.
const kNarrowedMs = 3000;

export function UnitsView({ route }: { route: Route }) {
  const filter = route.query.get("filter") ?? "";
  const presence = route.query.get("presence") ?? "";
  const pages = usePages(`${presence}/${filter}`);
  const answer = useAnswer<UnitList>(
    withQuery("/v1/units", { filter, presence, page_size: kPage, page_token: pages.token }),
    ["fleet"],
    undefined,
    filter + presence === "" ? undefined : kNarrowedMs,
  );
  // With a filter the controller looks at so many units for each page that a page may hold none of them: go on.
  const [skipped, setSkipped] = useState(0);
  useEffect(() => setSkipped(0), [filter, presence]);
  const next = answer.data?.units.length === 0 ? answer.data.next_page_token : "";
  const goesOn = next !== "" && skipped < kMostSkipped;
  useEffect(() => {
    if (!goesOn) return;
    setSkipped((n) => n + 1);
    pages.skip(next);
  }, [goesOn, next]);
  const looked = (skipped * kLookedAt).toLocaleString("en-US");
  return (
    <>
      <Head title="Units" />
      <div class="filters">
        <Filter
          name="filter"
          label="Filter"
          placeholder='a name, or region == "eu" && hardware =~ "gw-*"'
          value={filter}
          onApply={(text) => setQuery({ filter: expressionOf(text) })}
        />
        <div class="tabs" role="group" aria-label="Presence">
          <button aria-pressed={presence === ""} onClick={() => setQuery({ presence: undefined })}>
            All
          </button>
          {kPresences.map((each) => (
            <button key={each} aria-pressed={presence === each} onClick={() => setQuery({ presence: each })}>
              {each[0].toUpperCase() + each.slice(1)}
            </button>
          ))}
        </div>
      </div>
      <Shown answer={answer}>
        {(data) => (
          <>
            {data.units.length > 0 ? (
              <UnitTable units={data.units} />
            ) : goesOn ? (
              <p class="muted" role="status">
                Looking… {looked} units so far
              </p>
            ) : next ? (
              <Empty title={`None among the first ${looked} units`}>
                <button onClick={() => setSkipped(0)}>Go on</button>
              </Empty>
            ) : (
              <NoUnits narrowed={filter + presence !== ""} />
            )}
            <Pager page={pages.page} next={data.next_page_token} onNext={pages.next} onBack={pages.back} what="units" />
          </>
        )}
      </Shown>
    </>
  );
}

// The beginning of a name stands for the expression that finds it.
const expressionOf = (text: string) => (/^[A-Za-z0-9._-]{1,64}$/.test(text) ? `unit_id =~ "${text}*"` : text);

function NoUnits({ narrowed }: { narrowed: boolean }) {
  if (!narrowed)
    return (
      <Empty title="No unit is registered yet">
        <code>tandem-fleetctl units register units.csv</code>
      </Empty>
    );
  return (
    <Empty title="No unit is like that">
      <button onClick={() => setQuery({ filter: undefined, presence: undefined })}>Show all units</button>
    </Empty>
  );
}

export function Presence({ unit }: { unit: Unit }) {
  if (unit.revoked) return <State state="revoked" />;
  if (unit.stale) return <State state="stale" title="silent for three heartbeats, without a goodbye" />;
  return unit.online ? <State state="online" /> : <State state="offline" />;
}

function UnitTable({ units }: { units: Unit[] }) {
  return (
    <Table
      label="Units"
      cards
      head={
        <>
          <th>Unit</th>
          <th>Presence</th>
          <th class="grow">Runs</th>
          <th>Rollout</th>
          <th class="wide-only">Hardware</th>
          <th class="wide-only">Region</th>
          <th class="wide-only">Customer</th>
          <th class="right">Last heard</th>
        </>
      }
    >
      {units.map((unit) => (
        <tr key={unit.unit_id}>
          <td>
            <UnitLink id={unit.unit_id} row />
          </td>
          <td>
            <Presence unit={unit} /> {unit.storm && <State state="storm" title={unit.storm} />}{" "}
            {unit.held && <State state="held" title={unit.held} />}
          </td>
          <td class="grow">
            {unit.planes
              .filter((plane) => plane.current || plane.desired)
              .map((plane) => (
                <span key={plane.plane} class="version">
                  {plane.current || <span class="muted">?</span>}
                  {plane.desired && plane.desired !== plane.current && (
                    <span class="tone-busy"> → {plane.desired}</span>
                  )}
                </span>
              ))}
            {!unit.planes.some((plane) => plane.current || plane.desired) && <span class="muted">none known</span>}
          </td>
          <td>
            {num(unit.rollout) > 0 ? (
              <a href={to("rollouts", String(unit.rollout))}>{String(unit.rollout)}</a>
            ) : (
              <span class="muted">–</span>
            )}
          </td>
          <td class="wide-only">{unit.hardware}</td>
          <td class="wide-only">{unit.region}</td>
          <td class="wide-only">{unit.customer}</td>
          <td class="right">
            <Ago time={unit.last_seen} />
          </td>
        </tr>
      ))}
    </Table>
  );
}
