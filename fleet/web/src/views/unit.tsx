import { StormBanner } from "../banners";
import { segment } from "../api";
import { num, plain } from "../format";
import { useAnswer } from "../query";
import { to } from "../route";
import type { Route } from "../route";
import type { Attempt, DiagnosticRun, Unit, UnitDetail } from "../types";
import { Facts, Head, Id, ReleaseLink, Section, State, Table } from "../ui/basics";
import { RunCell } from "../ui/runs";
import { Empty, Shown } from "../ui/states";
import { Ago, Countdown, Exact } from "../ui/time";
import { UnitActions } from "./unit-actions";
import { Presence } from "./units";

export function UnitView({ route }: { route: Route }) {
  const id = route.path[1];
  const answer = useAnswer<UnitDetail>(`/v1/units/${segment(id)}`, [`unit/${id}`], `unit/${id}`);
  return (
    <Shown answer={answer}>
      {(detail) => (
        <>
          <Head
            title={id}
            about={
              <>
                <Presence unit={detail.unit} /> heard <Ago time={detail.unit.last_seen} />
                {detail.unit.held && (
                  <>
                    {" "}
                    <State state="held" title={detail.unit.held} />
                  </>
                )}
              </>
            }
          >
            <UnitActions unit={detail.unit} />
          </Head>
          {detail.unit.storm && <StormBanner unit={id} why={detail.unit.storm} />}
          <Planes detail={detail} />
          <Attempts attempts={detail.attempts} />
          <Runs runs={detail.runs ?? []} unit={id} />
          <Slots detail={detail} />
          <Events detail={detail} />
          <About unit={detail.unit} />
        </>
      )}
    </Shown>
  );
}

function Planes({ detail: { unit, reported } }: { detail: UnitDetail }) {
  const known = unit.planes.filter((plane) => plane.desired || plane.current || plane.previous || plane.verified);
  const waits = num(unit.desired_sequence) > num(unit.reported_sequence);
  return (
    <Section
      title="Ordered and reported"
      aside={
        <span class="muted">
          order {String(unit.desired_sequence)}
          {num(unit.published_sequence) < num(unit.desired_sequence)
            ? ", not published yet"
            : waits
              ? ", not taken yet"
              : ", taken"}
        </span>
      }
    >
      {known.length === 0 ? (
        <Empty title="It was not ordered to anything, and runs nothing that this fleet knows">
          {num(unit.rollout) > 0
            ? "A rollout has it in its list."
            : "The next rollout whose target it matches brings it a release."}
        </Empty>
      ) : (
        <Table
          label="Planes"
          head={
            <>
              <th>Plane</th>
              <th>Ordered</th>
              <th>Runs</th>
              <th></th>
              <th>Before</th>
              <th>Last verified</th>
            </>
          }
        >
          {known.map((plane) => (
            <tr key={plane.plane}>
              <td>{plane.plane}</td>
              <td>
                <ReleaseLink id={plane.desired} />
              </td>
              <td>
                <ReleaseLink id={plane.current} />
              </td>
              <td>
                {plane.desired &&
                  (plane.desired === plane.current ? (
                    <State state="passed" name="as ordered" />
                  ) : (
                    <State state="updating" name="differs" />
                  ))}
              </td>
              <td>{plane.previous ? <ReleaseLink id={plane.previous} /> : <span class="muted">–</span>}</td>
              <td>{plane.verified ? <ReleaseLink id={plane.verified} /> : <span class="muted">–</span>}</td>
            </tr>
          ))}
        </Table>
      )}
      {reported?.phase && (
        <p>
          It says: <strong>{plain(reported.phase).toLowerCase()}</strong>
          {reported.reason && `, ${reported.reason}`}{" "}
          <span class="muted">
            (order {String(reported.sequence)}, attempt {reported.attempt})
          </span>
        </p>
      )}
    </Section>
  );
}

function Attempts({ attempts }: { attempts: Attempt[] }) {
  const links = new Set(attempts.map((attempt) => String(attempt.id)));
  return (
    <Section title="Attempts">
      {attempts.length === 0 ? (
        <Empty title="No rollout has asked it for anything yet" />
      ) : (
        <Table
          label="Attempts"
          cards
          head={
            <>
              <th>Attempt</th>
              <th>Rollout</th>
              <th>Kind</th>
              <th>State</th>
              <th class="grow">Reason</th>
              <th class="right">Changed</th>
            </>
          }
        >
          {attempts.map((attempt) => (
            <tr key={String(attempt.id)} id={`attempt-${attempt.id}`}>
              <td class="num">{String(attempt.id)}</td>
              <td>
                <a href={to("rollouts", String(attempt.rollout))} data-row>
                  {String(attempt.rollout)}, {attempt.ring}
                </a>
              </td>
              <td>
                {plain(attempt.kind)}
                {attempt.tries > 1 && <span class="muted"> try {attempt.tries}</span>}
              </td>
              <td>
                <State state={attempt.state} />
                {attempt.score_at && !attempt.score && (
                  <span class="under">
                    scored in <Countdown time={attempt.score_at} />
                  </span>
                )}
              </td>
              <td class="grow">
                {attempt.reason}
                {num(attempt.rolled_back_by) > 0 && (
                  <span class="under">
                    <span class="tone-bad">↺ taken back</span> by attempt {String(attempt.rolled_back_by)}
                    {!links.has(String(attempt.rolled_back_by)) && " (older ones are not shown)"}
                  </span>
                )}
              </td>
              <td class="right">
                <Ago time={attempt.changed_at} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}

function Runs({ runs, unit }: { runs: DiagnosticRun[]; unit: string }) {
  if (runs.length === 0) return null;
  const byRun = new Map<string, DiagnosticRun[]>();
  for (const run of runs) byRun.set(run.run_id, [...(byRun.get(run.run_id) ?? []), run]);
  return (
    <Section title="Diagnostics">
      <Table
        label={`Diagnostics of ${unit}`}
        cards
        head={
          <>
            <th>Run</th>
            <th>Asked for by</th>
            <th>Release</th>
            <th class="grow">Results</th>
            <th class="right">Began</th>
          </>
        }
      >
        {[...byRun].map(([id, list]) => (
          <tr key={id}>
            <td>
              <Id text={id} short={8} />
            </td>
            <td>{list[0].triggered_by === "ota_verify" ? "the update" : plain(list[0].triggered_by)}</td>
            <td>{list[0].release_id && <ReleaseLink id={list[0].release_id} />}</td>
            <td class="grow">
              <div class="cells">
                {list.map((run) => (
                  <span key={run.diagnostic} class="named-cell">
                    <span class="muted">{run.diagnostic}</span> <RunCell run={run} />
                  </span>
                ))}
              </div>
            </td>
            <td class="right">
              <Ago time={list[0].created_at} />
            </td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function Slots({ detail: { reported } }: { detail: UnitDetail }) {
  if (!reported || reported.components.length === 0) return null;
  return (
    <Section
      title="Components and slots"
      aside={
        <span class="muted">
          boot <Id text={reported.boot_id} short={8} />
        </span>
      }
    >
      <Table
        label="Components"
        head={
          <>
            <th>Component</th>
            <th class="wide-only">Node</th>
            <th>Version</th>
            <th>State</th>
            <th>Slot that runs</th>
            <th>Confirmed</th>
            <th>On trial</th>
            <th class="right">Boots left</th>
          </>
        }
      >
        {reported.components.map((each) => (
          <tr key={`${each.node_id}/${each.component_id}`}>
            <td>
              {each.component_type}
              {each.component_id !== each.component_type && <span class="under">{each.component_id}</span>}
            </td>
            <td class="wide-only">{each.node_id}</td>
            <td class="num">{each.version}</td>
            <td>
              {each.error ? (
                <span class="tone-bad" title={each.error}>
                  ✕ {each.error}
                </span>
              ) : (
                plain(each.state.toLowerCase())
              )}
            </td>
            <td>{each.slot_running || "–"}</td>
            <td>{each.slot_confirmed || "–"}</td>
            <td>{each.slot_trial ? <span class="tone-busy">{each.slot_trial}</span> : "–"}</td>
            <td class="right num">{each.slot_trial ? each.attempts_left : "–"}</td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function Events({ detail: { events } }: { detail: UnitDetail }) {
  return (
    <Section title="What it said">
      {events.length === 0 ? (
        <Empty title="It has said nothing yet" />
      ) : (
        <ol class="events">
          {events.map((event, i) => (
            <li key={i}>
              <Exact time={event.at} />
              <strong>{plain(event.state)}</strong>
              <span>{event.reason}</span>
              <span class="muted num">
                order {String(event.sequence)}.{event.attempt}
              </span>
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}

function About({ unit }: { unit: Unit }) {
  return (
    <Section title="Who it is" aside={<a href={`#/audit?object=unit/${encodeURIComponent(unit.unit_id)}`}>Audit</a>}>
      <Facts
        rows={[
          ["Hardware", unit.hardware],
          ["Group", unit.group],
          ["Customer", unit.customer],
          ["Region", unit.region],
          ["Site", unit.site],
          [
            "Tags",
            Object.entries(unit.tags)
              .map(([name, value]) => (value ? `${name}=${value}` : name))
              .join(", "),
          ],
          ["Held because", unit.held],
          ["Certificate", unit.certificate_fingerprint ? <Id text={unit.certificate_fingerprint} /> : "none known"],
          ["Registered", <Ago time={unit.registered_at} />],
        ]}
      />
    </Section>
  );
}
