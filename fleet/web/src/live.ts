// GET /v1/events, read as a stream so that the token stays in a header. Says what has changed; views ask again for what
// they show. While it is away, everything counts as changed every ten seconds.
import { useEffect, useState } from "preact/hooks";
import { authorization, errorOf, noteRefusal } from "./api";
import { setControllerTime } from "./clock";

export type LiveState = { live: boolean; reason: string; retryAt: number };

const kEverything = "*";
const kFallbackMs = 10_000;
const kFirstBackoffMs = 500;
const kMaxBackoffMs = 15_000;
// The server sends a comment every 15 s.
const kSilenceMs = 40_000;
// A page that nobody looks at gives its stream back.
const kHiddenMs = 30_000;

type Listener = (name: string) => void;
const listeners = new Set<Listener>();
const stateListeners = new Set<(state: LiveState) => void>();
const watched = new Map<string, number>();

// Starting is not being away.
let state: LiveState = { live: true, reason: "", retryAt: 0 };
let started = false;
let wanted = false;
let controller: AbortController | null = null;
let timer = 0;
let backoff = kFirstBackoffMs;
let missed = false;

function setState(next: LiveState) {
  state = next;
  for (const listener of stateListeners) listener(next);
}

export const announce = (name: string) => listeners.forEach((listener) => listener(name));

export const onChange = (listener: Listener) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

export function startLive() {
  wanted = true;
  if (!started) {
    started = true;
    document.addEventListener("visibilitychange", onVisibility);
    setInterval(() => {
      if (wanted && !state.live && !document.hidden) announce(kEverything);
    }, kFallbackMs);
  }
  connect();
}

export function stopLive() {
  wanted = false;
  clearTimeout(timer);
  controller?.abort();
  controller = null;
  setState({ live: true, reason: "", retryAt: 0 });
}

// Adds things to be told of: units, and rollouts that are over.
export function watch(name: string) {
  watched.set(name, (watched.get(name) ?? 0) + 1);
  if (watched.get(name) === 1) reconnectSoon();
  return () => {
    const left = (watched.get(name) ?? 1) - 1;
    if (left > 0) watched.set(name, left);
    else watched.delete(name);
  };
}

let soon = 0;
function reconnectSoon() {
  clearTimeout(soon);
  soon = window.setTimeout(() => wanted && controller && connect(), 50);
}

let hiddenTimer = 0;
function onVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = window.setTimeout(() => {
      clearTimeout(timer);
      controller?.abort();
      controller = null;
      missed = true;
    }, kHiddenMs);
  } else if (wanted && controller === null) {
    connect();
  }
}

export function reconnectNow() {
  backoff = kFirstBackoffMs;
  connect();
}

async function connect() {
  if (!wanted) return;
  clearTimeout(timer);
  controller?.abort();
  const mine = new AbortController();
  controller = mine;
  let silence = 0;
  const heard = () => {
    clearTimeout(silence);
    silence = window.setTimeout(() => mine.abort(), kSilenceMs);
  };
  let reason = "the connection ended";
  try {
    heard();
    const names = [...watched.keys()].slice(-20).join(",");
    const response = await fetch(`/v1/events${names ? `?watch=${encodeURIComponent(names)}` : ""}`, {
      headers: authorization(),
      signal: mine.signal,
      cache: "no-store",
    });
    if (!response.ok || !response.body) throw await errorOf(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      heard();
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        take(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  } catch (error) {
    reason = (error as Error).name === "TypeError" ? "the controller does not answer" : (error as Error).message;
    if (controller === mine) noteRefusal(error);
  }
  clearTimeout(silence);
  // Somebody has begun another one, or wants none.
  if (controller !== mine) return;
  missed = true;
  setState({ live: false, reason, retryAt: Date.now() + backoff });
  // Not all pages at the same time.
  timer = window.setTimeout(connect, backoff * (0.75 + Math.random() / 2));
  backoff = Math.min(backoff * 2, kMaxBackoffMs);
}

function take(event: string) {
  const name = /^event: (.*)$/m.exec(event)?.[1];
  const data = /^data: (.*)$/m.exec(event)?.[1];
  if (!name || !data) return;
  const fields = JSON.parse(data) as { changed?: string[]; now?: number };
  if (name === "hello") {
    if (fields.now) setControllerTime(fields.now);
    backoff = kFirstBackoffMs;
    setState({ live: true, reason: "", retryAt: 0 });
    if (missed) announce(kEverything);
    missed = false;
  } else if (name === "change") {
    for (const changed of fields.changed ?? []) announce(changed);
  }
}

export function useLive(): LiveState {
  const [now, setNow] = useState(state);
  useEffect(() => {
    stateListeners.add(setNow);
    setNow(state);
    return () => void stateListeners.delete(setNow);
  }, []);
  return now;
}
