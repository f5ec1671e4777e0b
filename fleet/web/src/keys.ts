// The keyboard: "g f" and the like go somewhere, j and k move through rows, "/" is the filter, "?" the help.
import { go } from "./route";

export const places: [key: string, href: string, name: string][] = [
  ["f", "#/", "Fleet"],
  ["r", "#/rollouts", "Rollouts"],
  ["e", "#/releases", "Releases"],
  ["v", "#/verification", "Verification"],
  ["u", "#/units", "Units"],
  ["p", "#/plan", "Plan"],
  ["s", "#/stops", "Stops"],
  ["k", "#/keys", "Keys"],
  ["a", "#/audit", "Audit"],
];

const kSequenceMs = 1500;

// Rows are whatever carries data-row: a link or a button.
function move(by: number) {
  const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")];
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row === document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

export function installKeys(help: () => void) {
  let started = -Infinity;
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    const typing = target.matches("input, textarea, select");
    if (typing) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // An open dialog has the keyboard for itself.
    if (document.querySelector("dialog[open]")) return;
    const place = places.find(([key]) => key === event.key);
    if (place && performance.now() - started < kSequenceMs) {
      started = -Infinity;
      go(place[1]);
    } else if (event.key === "g") {
      started = performance.now();
      return;
    } else if (event.key === "?") {
      help();
    } else if (event.key === "/") {
      document.querySelector<HTMLElement>("main [data-filter]")?.focus();
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    } else {
      return;
    }
    started = -Infinity;
    event.preventDefault();
  };
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}
