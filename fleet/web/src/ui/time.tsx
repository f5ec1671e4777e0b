// Times: relative, with the exact one on hover.
import { useEffect, useState } from "preact/hooks";
import { now } from "../clock";
import { countdown, relative, seconds } from "../format";
import type { Time } from "../types";

// One timer for all: ticks every second, and tells each listener as often as it wants.
const listeners = new Set<() => void>();
setInterval(() => document.hidden || listeners.forEach((listener) => listener()), 1000);

export function useNow(everySecs: number): number {
  const [, setNow] = useState(0);
  useEffect(() => {
    let shown = now();
    const listener = () => {
      const current = now();
      if (current - shown + 0.5 >= everySecs) setNow((shown = current));
    };
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, [everySecs]);
  // Whatever else draws it anew shows the time of now.
  return now();
}

const exact = (time: Time) =>
  time ? new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "never";

export function Ago({ time }: { time: Time }) {
  const young = time && Math.abs(now() - seconds(time)) < 120;
  const current = useNow(young ? 1 : 15);
  return (
    <time dateTime={time ?? ""} title={exact(time)}>
      {relative(time, current)}
    </time>
  );
}

export function Exact({ time }: { time: Time }) {
  return <time dateTime={time ?? ""}>{exact(time)}</time>;
}

export function Countdown({ time }: { time: Time }) {
  const current = useNow(1);
  return (
    <time dateTime={time ?? ""} title={`until ${exact(time)}`} class="num">
      {countdown(time, current)}
    </time>
  );
}
