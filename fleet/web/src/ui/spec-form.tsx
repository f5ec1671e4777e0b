// A rollout as a form: what RolloutSpec has for nearly everybody. The rest is left as it is.
import { useEffect } from "preact/hooks";
import { durationOf } from "../format";
import { useAnswer } from "../query";
import type { GateSpec, ReleaseList, RingSpec, RolloutSpec } from "../types";

export function SpecForm({ spec, onChange }: { spec: RolloutSpec; onChange: (spec: RolloutSpec) => void }) {
  const releases = useAnswer<ReleaseList>("/v1/releases?page_size=100", ["release/", "keys"]).data?.releases ?? [];
  const set = (more: Partial<RolloutSpec>) => onChange({ ...spec, ...more });
  // The newest one that may be assigned.
  useEffect(() => {
    const first = releases.find((release) => release.listed && !release.frozen);
    if (!spec.release && first) set({ release: first.digest });
  }, [releases.length]);
  const rings = spec.rings ?? [];
  const setRing = (index: number, ring: RingSpec) =>
    set({ rings: rings.map((each, i) => (i === index ? ring : each)) });
  return (
    <>
      <div class="fields">
        <label>
          Name
          <input
            name="name"
            required
            value={spec.name}
            placeholder="gateway 2026.11 to Europe"
            autocomplete="off"
            onInput={(e) => set({ name: e.currentTarget.value })}
          />
        </label>
        <label>
          Release
          <select
            name="release"
            required
            value={spec.release}
            onChange={(e) => set({ release: e.currentTarget.value })}
          >
            <option value="">choose one</option>
            {spec.release && !releases.some((each) => each.digest === spec.release) && (
              <option value={spec.release}>{spec.release}</option>
            )}
            {releases.map((each) => (
              <option key={each.digest} value={each.digest}>
                {each.release_id} {each.frozen ? "(frozen)" : each.listed ? "" : "(not listed)"}
              </option>
            ))}
          </select>
        </label>
        <label class="wide">
          Units
          <input
            name="target"
            value={spec.target ?? ""}
            placeholder='region == "eu" && !has(tag.lab)'
            spellcheck={false}
            autocomplete="off"
            onInput={(e) => set({ target: e.currentTarget.value })}
          />
          <span class="hint">A targeting expression. Empty: all units.</span>
        </label>
        <label>
          Scored after, minutes
          <input
            name="score_age"
            type="number"
            min="1"
            placeholder="30"
            value={spec.score_age ? durationOf(spec.score_age) / 60 : ""}
            onInput={(e) =>
              set({ score_age: e.currentTarget.value ? `${60 * Number(e.currentTarget.value)}s` : undefined })
            }
          />
        </label>
        <label>
          At most at a time
          <input
            name="max_in_flight"
            type="number"
            min="0"
            placeholder="no limit"
            value={spec.max_in_flight || ""}
            onInput={(e) => set({ max_in_flight: Number(e.currentTarget.value) || undefined })}
          />
        </label>
        <label>
          Units a minute
          <input
            name="units_per_minute"
            type="number"
            min="0"
            step="any"
            placeholder="no limit"
            value={spec.units_per_minute || ""}
            onInput={(e) => set({ units_per_minute: Number(e.currentTarget.value) || undefined })}
          />
        </label>
        <label>
          A failed verification
          <select
            name="on_verification_failure"
            value={spec.on_verification_failure ?? "ROLL_BACK"}
            onChange={(e) => set({ on_verification_failure: e.currentTarget.value })}
          >
            <option value="ROLL_BACK">takes the release back from all</option>
            <option value="SCORE">is one failure of the gate</option>
          </select>
        </label>
        <label>
          On abort
          <select
            name="on_abort"
            value={spec.on_abort ?? "TAKE_BACK"}
            onChange={(e) => set({ on_abort: e.currentTarget.value })}
          >
            <option value="TAKE_BACK">units go back to what they had</option>
            <option value="KEEP_UPDATED">confirmed units keep it</option>
          </select>
        </label>
      </div>
      <fieldset>
        <legend>Rings, in order</legend>
        <ol class="ring-form">
          {rings.map((ring, i) => (
            <li key={i}>
              <RingForm
                ring={ring}
                onChange={(next) => setRing(i, next)}
                onRemove={() => set({ rings: rings.filter((_, at) => at !== i) })}
              />
            </li>
          ))}
        </ol>
        <button
          type="button"
          onClick={() => set({ rings: [...rings, { name: `ring ${rings.length + 1}`, percent: 100, gate: {} }] })}
        >
          Add a ring
        </button>
      </fieldset>
    </>
  );
}

function RingForm({
  ring,
  onChange,
  onRemove,
}: {
  ring: RingSpec;
  onChange: (ring: RingSpec) => void;
  onRemove: () => void;
}) {
  const gate: GateSpec = ring.gate ?? {};
  const set = (more: Partial<RingSpec>) => onChange({ ...ring, ...more });
  const setGate = (more: Partial<GateSpec>) => set({ gate: { ...gate, ...more } });
  const policy = gate.statistical ? "statistical" : "any";
  return (
    <div class="ring-fields">
      <label>
        Name
        <input
          required
          value={ring.name ?? ""}
          autocomplete="off"
          onInput={(e) => set({ name: e.currentTarget.value })}
        />
      </label>
      <label>
        Up to %
        <input
          type="number"
          min="0"
          max="100"
          step="any"
          value={ring.percent ?? 100}
          onInput={(e) => set({ percent: Number(e.currentTarget.value) })}
        />
      </label>
      <label>
        Only
        <input
          value={ring.target ?? ""}
          placeholder="all of them"
          spellcheck={false}
          autocomplete="off"
          onInput={(e) => set({ target: e.currentTarget.value || undefined })}
        />
      </label>
      <label>
        Gate
        <select
          value={policy}
          onChange={(e) => {
            const { any: _any, statistical: _statistical, ...rest } = gate;
            set({
              gate: e.currentTarget.value === "statistical" ? { ...rest, statistical: { p0: 0.01, p1: 0.02 } } : rest,
            });
          }}
        >
          <option value="any">first failure aborts</option>
          <option value="statistical">failure rate (SPRT)</option>
        </select>
      </label>
      <label>
        Units scored
        <input
          type="number"
          min="0"
          placeholder="1"
          value={gate.min_units || ""}
          onInput={(e) => setGate({ min_units: Number(e.currentTarget.value) || undefined })}
        />
      </label>
      <label>
        Stable, minutes
        <input
          type="number"
          min="0"
          step="any"
          placeholder="0"
          value={gate.stability_window ? durationOf(gate.stability_window) / 60 : ""}
          onInput={(e) =>
            setGate({ stability_window: e.currentTarget.value ? `${60 * Number(e.currentTarget.value)}s` : undefined })
          }
        />
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={gate.needs_promote ?? false}
          onChange={(e) => setGate({ needs_promote: e.currentTarget.checked || undefined })}
        />
        by hand
      </label>
      <button type="button" class="quiet" aria-label={`Remove ring ${ring.name}`} onClick={onRemove}>
        ✕
      </button>
    </div>
  );
}
