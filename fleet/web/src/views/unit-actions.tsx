// What may be done to one unit.
import { useState } from "preact/hooks";
import { post, segment } from "../api";
import type { Unit } from "../types";
import { Action } from "../ui/action";

export function UnitActions({ unit }: { unit: Unit }) {
  const id = unit.unit_id;
  const call =
    (verb: string, more: object = {}) =>
    (reason: string) =>
      post(`/v1/units/${segment(id)}/${verb}`, { ...more, reason });
  const back = unit.planes.some((plane) => (plane.verified && plane.verified !== plane.current) || plane.previous);
  return (
    <>
      <Action
        label="Run diagnostics"
        role="OPERATOR"
        not={unit.revoked ? "it is revoked" : ""}
        text={`All diagnostics of the releases that ${id} runs. The results are shown here, and gate nothing.`}
        done={`Diagnostics run on ${id}.`}
        run={() => post(`/v1/units/${segment(id)}/diagnostics`, {})}
      />
      {unit.held ? (
        <Action
          label="Release"
          role="OPERATOR"
          title={`Release ${id}`}
          reason="needed"
          text="It takes part in automatic updates again."
          done={`${id} gets updates again.`}
          run={call("hold", { held: false })}
        />
      ) : (
        <Action
          label="Hold"
          role="OPERATOR"
          title={`Hold ${id}`}
          reason="needed"
          not={unit.revoked ? "it is revoked" : ""}
          text="It gets no automatic updates until somebody releases it. What it was ordered already runs on."
          done={`${id} is held.`}
          run={call("hold", { held: true })}
        />
      )}
      <RollBack unit={unit} not={unit.revoked ? "it is revoked" : back ? "" : "there is nothing to go back to"} />
      {unit.revoked ? (
        <Action
          label="Reinstate"
          role="OPERATOR"
          title={`Reinstate ${id}`}
          reason="needed"
          text="It gets orders again, and what it says counts."
          done={`${id} is reinstated.`}
          run={call("revoke", { revoked: false })}
        />
      ) : (
        <Action
          label="Revoke"
          role="OPERATOR"
          title={`Revoke ${id}`}
          reason="needed"
          danger
          text="It gets no orders, and what it says is not taken. Do this when its keys or its certificate are in wrong hands."
          done={`${id} is revoked.`}
          run={call("revoke", { revoked: true })}
        />
      )}
    </>
  );
}

function RollBack({ unit, not }: { unit: Unit; not: string }) {
  const [plane, setPlane] = useState("");
  return (
    <Action
      label="Go back"
      role="OPERATOR"
      title="Return to the last verified release"
      reason="needed"
      danger
      not={not}
      text={`${unit.unit_id} is ordered back at once to the releases that it ran verified before. Nothing is downloaded.`}
      done={`${unit.unit_id} goes back.`}
      run={(reason) =>
        post(`/v1/units/${segment(unit.unit_id)}/rollback`, { reason, ...(plane ? { planes: [plane] } : {}) })
      }
    >
      <label>
        Planes
        <select name="planes" value={plane} onChange={(event) => setPlane(event.currentTarget.value)}>
          <option value="">all that have something to go back to</option>
          {unit.planes.map((each) => (
            <option key={each.plane} value={each.plane}>
              {each.plane}
              {each.verified ? `: ${each.verified}` : ""}
            </option>
          ))}
        </select>
      </label>
    </Action>
  );
}
