import { useState } from "preact/hooks";
import { post } from "../api";
import { useAnswer } from "../query";
import type { Stop } from "../types";
import { Action } from "../ui/action";
import { Head, Table } from "../ui/basics";
import { Empty, Shown } from "../ui/states";
import { Ago } from "../ui/time";

export function StopsView() {
  const answer = useAnswer<{ stops: Stop[] }>("/v1/stops", ["stop/", "audit"]);
  const [target, setTarget] = useState("");
  return (
    <>
      <Head title="Stops" about="Units that get no new orders, whatever rollout asks for it">
        <Action
          label="Add a stop"
          role="OPERATOR"
          title="Stop new orders"
          danger
          reason="needed"
          text="Units that match get no new order until the stop is lifted. What they were ordered already runs on."
          done="The stop is in force."
          run={(reason) => post("/v1/stops", { target: target.trim(), reason })}
        >
          <label>
            Which units
            <input
              name="target"
              value={target}
              placeholder='region == "eu"'
              spellcheck={false}
              autocomplete="off"
              onInput={(event) => setTarget(event.currentTarget.value)}
            />
            <span class="hint">A targeting expression. Empty: all units.</span>
          </label>
        </Action>
      </Head>
      <Shown answer={answer}>
        {({ stops }) =>
          stops.length === 0 ? (
            <Empty title="No stop is in force">Orders go out as the rollouts ask for them.</Empty>
          ) : (
            <Table
              label="Stops"
              cards
              head={
                <>
                  <th>Stop</th>
                  <th>Units</th>
                  <th class="grow">Reason</th>
                  <th>By</th>
                  <th class="right">Since</th>
                  <th></th>
                </>
              }
            >
              {stops.map((stop) => (
                <tr key={String(stop.id)}>
                  <td class="num">{String(stop.id)}</td>
                  <td>{stop.target ? <code>{stop.target}</code> : <strong>all units</strong>}</td>
                  <td class="grow">{stop.reason}</td>
                  <td>{stop.by}</td>
                  <td class="right">
                    <Ago time={stop.at} />
                  </td>
                  <td class="right">
                    <Action
                      label="Lift"
                      role="OPERATOR"
                      title={`Lift stop ${stop.id}`}
                      reason="welcome"
                      text="Its units get orders again."
                      done={`Stop ${stop.id} is lifted.`}
                      run={(reason) => post(`/v1/stops/${stop.id}/lift`, { reason })}
                    />
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Shown>
    </>
  );
}
