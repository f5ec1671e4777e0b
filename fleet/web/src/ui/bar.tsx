// Shares of a whole as one bar, with its numbers beside it.
import type { ComponentChildren } from "preact";
import { count, num, percent, plain } from "../format";
import type { Int64 } from "../types";
import { signOf, toneOf } from "./basics";
import type { Tone } from "./basics";

export interface Part {
  name: string;
  units: number;
  // Of a state, or one of the neutral shades "shade-0" to "shade-4".
  look: Tone | `shade-${number}`;
  sign?: string;
  label?: ComponentChildren;
}

export function Bar({ parts, whole, label, thin }: { parts: Part[]; whole: number; label: string; thin?: boolean }) {
  const rest = whole - parts.reduce((sum, part) => sum + part.units, 0);
  const text = parts.map((part) => `${part.name} ${count(part.units)}`).join(", ");
  return (
    <div class={thin ? "bar thin" : "bar"} role="img" aria-label={`${label}: ${text || "nothing"}`}>
      {parts
        .filter((part) => part.units > 0)
        .map((part) => (
          <span
            key={part.name}
            class={part.look.startsWith("shade") ? part.look : `fill-${part.look}`}
            style={{ flexGrow: part.units }}
            title={`${part.name}: ${count(part.units)} of ${count(whole)} (${percent(part.units, whole)})`}
          />
        ))}
      {rest > 0 && <i style={{ flexGrow: rest }} />}
    </div>
  );
}

export function Legend({ parts, whole }: { parts: Part[]; whole?: number }) {
  return (
    <ul class="legend">
      {parts.map((part) => (
        <li key={part.name}>
          <span
            class={`swatch ${part.look.startsWith("shade") ? part.look : `${part.sign ? "tone" : "fill"}-${part.look}`}`}
            aria-hidden="true"
          >
            {part.sign}
          </span>
          <span>{part.label ?? part.name}</span>
          <span class="num">{count(part.units)}</span>
          {whole !== undefined && <span class="muted num">{percent(part.units, whole)}</span>}
        </li>
      ))}
    </ul>
  );
}

// From what is done to what waits to what went wrong.
const kOrder = [
  "verified",
  "passed",
  "cleared",
  "applied",
  "verifying",
  "verifying_trial",
  "provisional",
  "updating",
  "asked",
  "offline",
  "queued",
  "superseded",
  "cancelled",
  "excluded",
  "failed",
  "verification_failed",
  "verification_storm",
];

// Forward attempts of one or more rings by state, or those that go back ("rollback", "rollback_second", …).
export function attemptParts(counts: Record<string, Int64>[], kind: "" | "rollback" = ""): Part[] {
  const sums = new Map<string, number>();
  for (const ring of counts) {
    for (const [name, value] of Object.entries(ring)) {
      const slash = name.lastIndexOf("/");
      const of = name.slice(0, Math.max(0, slash));
      if ((kind ? !of.startsWith(kind) : of !== "") || name === "controls") continue;
      const state = name.slice(slash + 1);
      sums.set(state, (sums.get(state) ?? 0) + num(value));
    }
  }
  return [...sums]
    .filter(([, units]) => units > 0)
    .sort(([a], [b]) => kOrder.indexOf(a) - kOrder.indexOf(b))
    .map(([state, units]) => ({ name: plain(state), units, look: toneOf(state), sign: signOf(state) }));
}
