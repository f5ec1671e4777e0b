// What may be done to a rollout. Each verb carries the revision that was seen: if somebody else was faster, nothing is done.
import { useState } from "preact/hooks";
import { post, segment } from "../api";
import { num, plain, units } from "../format";
import type { Rollout } from "../types";
import { Action } from "../ui/action";
import { kOver, ringOf } from "./rollouts";

export function RolloutActions({ rollout }: { rollout: Rollout }) {
  const [takeBack, setTakeBack] = useState("");
  const id = String(rollout.id);
  const over = kOver.includes(rollout.state) || rollout.state === "aborting";
  const ended = `it is ${rollout.state}`;
  const ring = ringOf(rollout);
  const failed = rollout.rings.reduce(
    (sum, each) => sum + num(each.counts.failed) + num(each.counts.verification_failed),
    0,
  );
  const change =
    (verb: string, more: object = {}) =>
    (reason: string) =>
      post(`/v1/rollouts/${segment(id)}/change`, { verb, reason, revision: rollout.revision, ...more });
  return (
    <>
      {rollout.paused && !over ? (
        <Action
          label="Resume"
          role="OPERATOR"
          text="New units are ordered again, and rings may be promoted."
          reason="welcome"
          primary
          done={`Rollout ${id} goes on.`}
          run={change("resume")}
          title="Resume the rollout"
        />
      ) : (
        <Action
          label="Pause"
          role="OPERATOR"
          title="Pause the rollout"
          reason="welcome"
          not={over ? ended : ""}
          text="No new orders and no promotion. What was ordered runs on, and a failure still aborts."
          done={`Rollout ${id} is paused.`}
          run={change("pause")}
        />
      )}
      <Action
        label="Promote"
        role="OPERATOR"
        title="Promote the ring"
        reason="needed"
        not={over ? ended : rollout.state !== "rolling" ? `the ring is ${plain(rollout.state)}` : ""}
        text={`Ring ${ring?.name ?? ""} is promoted without waiting for its gate; the next one begins.`}
        done={`Rollout ${id}: promoted.`}
        run={change("promote")}
      />
      <Action
        label="Retry"
        role="OPERATOR"
        title="Try failed units again"
        reason="welcome"
        not={over ? ended : failed === 0 ? "no unit has failed" : ""}
        text={`${units(failed)} that failed are ordered once more.`}
        done={`Rollout ${id}: failed units are tried again.`}
        run={change("retry")}
      />
      <Action
        label="Abort"
        role="OPERATOR"
        title="Abort the rollout"
        reason="needed"
        danger
        not={over ? ended : ""}
        text="The rollout ends."
        done={`Rollout ${id} is aborted.`}
        run={change("abort", takeBack ? { on_abort: takeBack } : {})}
      >
        <label>
          Units that have it
          <select name="on_abort" value={takeBack} onChange={(event) => setTakeBack(event.currentTarget.value)}>
            <option value="">
              as the rollout says ({rollout.spec.on_abort === "KEEP_UPDATED" ? "keep it" : "go back"})
            </option>
            <option value="TAKE_BACK">go back to what they had</option>
            <option value="KEEP_UPDATED">keep it where it is confirmed</option>
          </select>
        </label>
      </Action>
    </>
  );
}
