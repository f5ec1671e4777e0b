// The small parts that every view is made of.
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { plain } from "../format";
import { to } from "../route";

export function Head({
  title,
  about,
  children,
}: {
  title: string;
  about?: ComponentChildren;
  children?: ComponentChildren;
}) {
  useEffect(() => void (document.title = `${title} – Tandem`), [title]);
  return (
    <header class="head">
      <div>
        <h1>{title}</h1>
        {about && <p class="about">{about}</p>}
      </div>
      {children && <div class="actions">{children}</div>}
    </header>
  );
}

export function Section({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class="section">
      <div class="section-head">
        <h2>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
      </div>
      {children}
    </section>
  );
}

// Name and value, aligned. Rows whose value is null or "" are left out.
export function Facts({ rows }: { rows: [name: string, value: ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows
        .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

// Wide tables scroll in here, never the page. `cards`: on a phone each row stands as a block instead.
export function Table({
  label,
  head,
  cards,
  children,
}: {
  label: string;
  head: ComponentChildren;
  cards?: boolean;
  children: ComponentChildren;
}) {
  return (
    <div class={cards ? "table cards" : "table"} role="region" aria-label={label} tabIndex={-1}>
      <table>
        <thead>
          <tr>{head}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export type Tone = "good" | "done" | "busy" | "wait" | "warn" | "bad" | "out";

// Colour and sign of everything that has a state. An unknown one is shown as it is called.
const kStates: Record<string, [Tone, string]> = {
  verified: ["good", "✓"],
  passed: ["good", "✓"],
  complete: ["good", "✓"],
  promoted: ["good", "✓"],
  promote: ["good", "✓"],
  pass: ["good", "✓"],
  cleared: ["done", "✓"],
  applied: ["done", "●"],
  asked: ["busy", "→"],
  updating: ["busy", "◐"],
  provisional: ["busy", "◑"],
  verifying: ["busy", "◔"],
  verifying_trial: ["busy", "◔"],
  pending: ["busy", "◔"],
  rolling: ["busy", "▸"],
  filling: ["busy", "▸"],
  queued: ["wait", "·"],
  scheduled: ["wait", "·"],
  offline: ["wait", "○"],
  hold: ["wait", "‖"],
  paused: ["warn", "‖"],
  timeout: ["warn", "◷"],
  stale: ["warn", "◷"],
  held: ["warn", "‖"],
  frozen: ["warn", "❄"],
  failed: ["bad", "✕"],
  fail: ["bad", "✕"],
  error: ["bad", "!"],
  verification_failed: ["bad", "✕"],
  verification_storm: ["bad", "‼"],
  storm: ["bad", "‼"],
  abort: ["bad", "✕"],
  aborted: ["bad", "✕"],
  aborting: ["bad", "↺"],
  revoked: ["bad", "⊘"],
  online: ["good", "●"],
  superseded: ["out", "↷"],
  cancelled: ["out", "–"],
  excluded: ["out", "–"],
};

export const toneOf = (state: string): Tone => kStates[state.toLowerCase()]?.[0] ?? "wait";
export const signOf = (state: string) => kStates[state.toLowerCase()]?.[1] ?? "·";

export function State({ state, title, name }: { state: string; title?: string; name?: string }) {
  return (
    <span class={`state tone-${toneOf(state)}`} title={title}>
      <span class="sign" aria-hidden="true">
        {signOf(state)}
      </span>
      {name ?? plain(state).toLowerCase()}
    </span>
  );
}

export function Id({ text, short }: { text: string; short?: number }) {
  return (
    <code class="id" title={text}>
      {short ? text.slice(0, short) : text}
    </code>
  );
}

export const UnitLink = ({ id, row }: { id: string; row?: boolean }) => (
  <a href={to("units", id)} data-row={row || undefined}>
    {id}
  </a>
);

export function ReleaseLink({ id, digest }: { id: string; digest?: string }) {
  return id ? <a href={to("releases", digest || id)}>{id}</a> : <span class="muted">none known</span>;
}

// "rollout/7" of the audit log, as a link where there is something to see.
export function ObjectLink({ object }: { object: string }) {
  const slash = object.indexOf("/");
  const [kind, id] = slash < 0 ? [object, ""] : [object.slice(0, slash), object.slice(slash + 1)];
  const places: Record<string, string> = { rollout: "rollouts", unit: "units", release: "releases" };
  if (id && places[kind]) return <a href={to(places[kind], id)}>{object}</a>;
  if (kind === "stop") return <a href={to("stops")}>{object}</a>;
  return <>{object || "–"}</>;
}

export function Pager(props: {
  page: number;
  next: string;
  onNext: (token: string) => void;
  onBack: () => void;
  what: string;
}) {
  if (props.page === 1 && !props.next) return null;
  return (
    <nav class="pager" aria-label={`Pages of ${props.what}`}>
      <button disabled={props.page === 1} onClick={props.onBack}>
        ‹ Back
      </button>
      <span class="muted">Page {props.page}</span>
      <button disabled={!props.next} onClick={() => props.onNext(props.next)}>
        Next ›
      </button>
    </nav>
  );
}
