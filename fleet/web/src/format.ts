// Numbers, times and names as a person reads them.
import type { Int64, Time } from "./types";

export const num = (value: Int64 | null | undefined) => Number(value ?? 0);
export const count = (value: Int64 | null | undefined) => num(value).toLocaleString("en-US");
export const units = (value: Int64 | null | undefined) => `${count(value)} ${num(value) === 1 ? "unit" : "units"}`;

export function percent(part: number, whole: number) {
  if (whole === 0) return "–";
  const share = (100 * part) / whole;
  // Never "100 %" or "0 %" of what is not.
  if (part < whole && share > 99.9) return "99.9 %";
  if (part > 0 && share < 0.1) return "< 0.1 %";
  return `${share >= 99.95 || share === 0 ? share.toFixed(0) : share.toFixed(1)} %`;
}

export const shortDigest = (digest: string) => digest.slice(0, 12);

export const plain = (state: string) => state.replaceAll("_", " ");

export const seconds = (time: Time) => (time ? Date.parse(time) / 1000 : 0);

// "1800s" of proto3 JSON.
export const durationOf = (text: string | null | undefined) => (text ? Number.parseFloat(text) : 0);

export function span(secs: number): string {
  const s = Math.round(secs);
  if (s < 60) return `${s} s`;
  const m = Math.round(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 && h < 10 ? `${h} h ${m % 60} min` : `${h} h`;
  return `${Math.round(h / 24)} days`;
}

// "12 s ago", "in 5 min".
export function relative(time: Time, now: number): string {
  if (!time) return "never";
  const age = now - seconds(time);
  if (Math.abs(age) < 2) return "now";
  return age > 0 ? `${span(age)} ago` : `in ${span(-age)}`;
}

// "2:09" until `time`; "0:00" once it has come.
export function countdown(time: Time, now: number): string {
  const left = Math.max(0, Math.round(seconds(time) - now));
  return `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

export function bytes(value: Int64): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = num(value);
  let i = 0;
  for (; size >= 1024 && i < names.length - 1; ++i) size /= 1024;
  return `${i === 0 || size >= 100 ? size.toFixed(0) : size.toFixed(1)} ${names[i]}`;
}

// Up to three digits that say something.
export function decimal(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0 || Number.isInteger(value)) return value.toLocaleString("en-US");
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}
