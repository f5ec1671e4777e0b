// One run of a diagnostic: a cell of the grid, and all that is known of it.
import { useState } from "preact/hooks";
import { decimal, plain } from "../format";
import type { DiagnosticRun, Measurement } from "../types";
import { Dialog } from "./action";
import { Facts, Id, ReleaseLink, State, Table, UnitLink, signOf, toneOf } from "./basics";
import { Ago, Countdown, Exact } from "./time";

export function RunCell({ run }: { run: DiagnosticRun }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button
        class={`cell tone-${toneOf(run.state)}`}
        aria-label={`${run.unit_id}, ${run.diagnostic}: ${plain(run.state)}`}
        title={run.reason || plain(run.state)}
        onClick={() => setOpen(true)}
      >
        <span class="sign" aria-hidden="true">
          {signOf(run.state)}
        </span>
        {run.state === "pending" && run.deadline ? <Countdown time={run.deadline} /> : <span>{plain(run.state)}</span>}
        {run.late_outcome && (
          <span class="late" title={`came too late: ${run.late_outcome}`}>
            late
          </span>
        )}
      </button>
      {open && <RunDialog run={run} onClose={() => setOpen(false)} />}
    </>
  );
}

function RunDialog({ run, onClose }: { run: DiagnosticRun; onClose: () => void }) {
  return (
    <Dialog title={run.diagnostic} onClose={onClose} wide>
      <p class="verdict">
        <State state={run.state} /> {run.reason && <span>{run.reason}</span>}
      </p>
      <Facts
        rows={[
          ["Unit", <UnitLink id={run.unit_id} />],
          ["Release", run.release_id && <ReleaseLink id={run.release_id} />],
          ["Run", <Id text={run.run_id} />],
          [
            "Asked for by",
            run.triggered_by === "ota_verify"
              ? "the update"
              : run.triggered_by === "operator"
                ? "an operator; it gates nothing"
                : run.triggered_by,
          ],
          [
            "Began",
            <>
              <Exact time={run.created_at} /> (<Ago time={run.created_at} />)
            </>,
          ],
          [
            "Deadline",
            run.state === "pending" && run.deadline ? (
              <>
                <Countdown time={run.deadline} /> left; then it counts as timeout
              </>
            ) : (
              ""
            ),
          ],
          ["Ended", run.finished_at ? <Exact time={run.finished_at} /> : ""],
          ["Took", run.duration_ms ? `${decimal(run.duration_ms)} ms` : ""],
          [
            "Came too late",
            run.late_outcome ? (
              <>
                <State state={run.late_outcome} />{" "}
                <span class="muted">when nobody waited for it any more; it decided nothing</span>
              </>
            ) : (
              ""
            ),
          ],
        ]}
      />
      {run.measurements?.length > 0 && <Measurements list={run.measurements} />}
      <h3>Log</h3>
      {run.log_excerpt ? (
        <pre class="log" tabIndex={0}>
          {run.log_excerpt}
        </pre>
      ) : (
        <p class="muted">{run.state === "pending" ? "Nothing yet." : "It printed nothing."}</p>
      )}
    </Dialog>
  );
}

const given = (bound: number | null | undefined): bound is number => bound !== null && bound !== undefined;

function Measurements({ list }: { list: Measurement[] }) {
  return (
    <Table
      label="Measurements"
      head={
        <>
          <th>Measurement</th>
          <th class="right">Value</th>
          <th class="right">Allowed</th>
          <th></th>
        </>
      }
    >
      {list.map((each) => {
        const bad = (given(each.min) && each.value < each.min) || (given(each.max) && each.value > each.max);
        const bounded = given(each.min) || given(each.max);
        return (
          <tr key={each.name}>
            <td>{each.name}</td>
            <td class="right num">
              {decimal(each.value)} {each.unit}
            </td>
            <td class="right num muted">
              {given(each.min) && given(each.max)
                ? `${decimal(each.min)} to ${decimal(each.max)}`
                : given(each.min)
                  ? `at least ${decimal(each.min)}`
                  : given(each.max)
                    ? `at most ${decimal(each.max)}`
                    : "–"}
            </td>
            <td>{bounded && <State state={bad ? "fail" : "pass"} name={bad ? "outside" : "within"} />}</td>
          </tr>
        );
      })}
    </Table>
  );
}
