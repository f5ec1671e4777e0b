import { useEffect } from "preact/hooks";
import { withQuery } from "../api";
import { count, num, plain } from "../format";
import { useAnswer, usePages } from "../query";
import { setQuery, to } from "../route";
import type { Route } from "../route";
import type { ReleaseVerification, RolloutList, UnitVerification, Verification } from "../types";
import { Head, Id, Pager, State, Table, UnitLink } from "../ui/basics";
import { RunCell } from "../ui/runs";
import { Empty, Shown } from "../ui/states";
import { Countdown } from "../ui/time";

const kStates = ["verifying", "verifying_trial", "cleared", "verified", "verification_failed", "verification_storm"];
// Single results change no counter: while some are awaited, look this often.
const kPendingMs = 900;

export function VerificationView({ route }: { route: Route }) {
  const rollouts = useAnswer<RolloutList>("/v1/rollouts?page_size=50", ["rollout/"]);
  return (
    <Shown answer={rollouts}>
      {({ rollouts: list }) => {
        const rollout = route.query.get("rollout") ?? (list.length ? String(list[0].id) : "");
        const state = route.query.get("state") ?? "";
        return (
          <>
            <Head title="Verification" about="What each unit's diagnostics found after the update">
              <label class="inline">
                Rollout{" "}
                <select
                  name="rollout"
                  value={rollout}
                  onChange={(event) => setQuery({ rollout: event.currentTarget.value })}
                >
                  {!list.some((each) => String(each.id) === rollout) && rollout && (
                    <option value={rollout}>{rollout}</option>
                  )}
                  {list.map((each) => (
                    <option
                      key={String(each.id)}
                      value={String(each.id)}
                    >{`${each.id}  ${each.spec.name} (${plain(each.state)})`}</option>
                  ))}
                </select>
              </label>
              <label class="inline">
                State{" "}
                <select
                  name="state"
                  data-filter
                  value={state}
                  onChange={(event) => setQuery({ state: event.currentTarget.value })}
                >
                  <option value="">all</option>
                  {kStates.map((each) => (
                    <option key={each} value={each}>
                      {plain(each)}
                    </option>
                  ))}
                </select>
              </label>
            </Head>
            {rollout ? (
              <Grid rollout={rollout} state={state} />
            ) : (
              <Empty title="There was no rollout yet">
                Once a release with diagnostics is rolled out, this shows what they find on each unit.{" "}
                <a href="#/plan">Plan a rollout</a>
              </Empty>
            )}
          </>
        );
      }}
    </Shown>
  );
}

function Grid({ rollout, state }: { rollout: string; state: string }) {
  const pages = usePages(`${rollout}/${state}`);
  const answer = useAnswer<Verification>(
    withQuery("/v1/verification", { rollout, state, page_size: 100, page_token: pages.token }),
    [`rollout/${rollout}`, "audit"],
    `rollout/${rollout}`,
  );
  const pending = answer.data?.units.some((unit) => unit.runs.some((run) => run.state === "pending")) ?? false;
  const { reload } = answer;
  useEffect(() => {
    if (!pending) return;
    const timer = setInterval(() => document.hidden || reload(), kPendingMs);
    return () => clearInterval(timer);
  }, [pending, reload]);
  return (
    <Shown answer={answer}>
      {(data) => (
        <>
          <ReleaseLine verification={data.release} rollout={rollout} />
          {data.units.length === 0 ? (
            state ? (
              <Empty title={`No unit is ${plain(state)}`}>
                <button onClick={() => setQuery({ state: undefined })}>Show all</button>
              </Empty>
            ) : (
              <Empty title="Nothing to verify yet">
                Units appear here once they report the release as applied. A release without diagnostics has no
                verification.
              </Empty>
            )
          ) : (
            <>
              <UnitGrid data={data} />
              <Pager
                page={pages.page}
                next={data.next_page_token}
                onNext={pages.next}
                onBack={pages.back}
                what="units"
              />
            </>
          )}
        </>
      )}
    </Shown>
  );
}

function ReleaseLine({ verification, rollout }: { verification: ReleaseVerification | null; rollout: string }) {
  if (!verification?.state) return null;
  return (
    <p class="verdict">
      <State state={verification.state} />
      <span>
        {count(verification.verified)} verified, {count(verification.verifying)} verifying, {count(verification.failed)}{" "}
        failed
      </span>
      {verification.reason && (
        <span class="muted">
          {verification.failed_unit}: {verification.reason}
        </span>
      )}
      <a href={to("rollouts", rollout)}>Rollout {rollout}</a>
    </p>
  );
}

function UnitGrid({ data }: { data: Verification }) {
  return (
    <Table
      label="Verification"
      head={
        <>
          <th class="pinned">Unit</th>
          <th>State</th>
          {data.diagnostics.map((name) => (
            <th key={name} class="diagnostic">
              {name}
            </th>
          ))}
          <th>Deadline</th>
          <th class="wide-only">Run</th>
        </>
      }
    >
      {data.units.map((unit) => (
        <Row key={`${unit.unit_id}/${unit.attempt?.id}`} unit={unit} diagnostics={data.diagnostics} />
      ))}
    </Table>
  );
}

function Row({ unit, diagnostics }: { unit: UnitVerification; diagnostics: string[] }) {
  const waits = unit.runs.some((run) => run.state === "pending");
  return (
    <tr>
      <td class="pinned">
        <UnitLink id={unit.unit_id} row />
      </td>
      <td>
        {unit.attempt && <State state={unit.attempt.state} title={unit.attempt.reason} />}
        {num(unit.attempt?.rolled_back_by) > 0 && <span class="under">taken back</span>}
      </td>
      {diagnostics.map((name) => {
        const run = unit.runs.find((each) => each.diagnostic === name);
        return (
          <td key={name}>
            {run ? (
              <RunCell run={run} />
            ) : (
              <span class="muted" title="does not run on this unit">
                –
              </span>
            )}
          </td>
        );
      })}
      <td>{waits && unit.deadline ? <Countdown time={unit.deadline} /> : <span class="muted">–</span>}</td>
      <td class="wide-only">
        <Id text={unit.run_id} short={8} />
      </td>
    </tr>
  );
}
