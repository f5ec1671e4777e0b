// What a view shows: asked for once, kept while a newer answer is under way, asked for again when it has changed.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get } from "./api";
import { onChange, watch } from "./live";

export interface Answer<T> {
  data: T | undefined;
  error: ApiError | undefined;
  loading: boolean;
  reload: () => void;
}

// A fleet at work changes all the time; nobody reads faster than this.
const kLeastMs = 400;
const kHiddenMs = 1000;
const kMaxKept = 60;
const kept = new Map<string, unknown>();
// Two parts of a view that show the same thing ask for it at the same time: once is enough.
const kTogetherMs = 50;
const underWay = new Map<string, { begun: number; answer: Promise<unknown> }>();

function fetchShared<T>(path: string): Promise<T> {
  const other = underWay.get(path);
  if (other && performance.now() - other.begun < kTogetherMs) return other.answer as Promise<T>;
  const mine = { begun: performance.now(), answer: get<T>(path) };
  underWay.set(path, mine);
  const done = () => void (underWay.get(path) === mine && underWay.delete(path));
  mine.answer.then(done, done);
  return mine.answer;
}

function keep(path: string, data: unknown) {
  kept.delete(path);
  kept.set(path, data);
  if (kept.size > kMaxKept) kept.delete(kept.keys().next().value!);
}

export const forgetAnswers = () => kept.clear();

// `path` null: nothing to ask. `on`: names of changes, or their beginnings with a slash: ["fleet", "rollout/"].
// `watching`: what the stream is to tell of, too. `leastMs`: between two questions, for answers that cost more.
export function useAnswer<T>(
  path: string | null,
  on: string[] = [],
  watching?: string,
  leastMs: number = kLeastMs,
): Answer<T> {
  const [, redraw] = useState(0);
  const current = useRef({ path: "", data: undefined as T | undefined, error: undefined as ApiError | undefined });
  const again = useRef(() => {});
  const names = on.join(" ");

  if (path !== null && current.current.path !== path) {
    current.current = { path, data: kept.get(path) as T | undefined, error: undefined };
  }
  useEffect(() => (watching ? watch(watching) : undefined), [watching]);
  useEffect(() => {
    if (path === null) return;
    let gone = false;
    let running = false;
    let dirty = false;
    let timer = 0;
    let last = 0;
    let took = 0;
    const ask = async () => {
      clearTimeout(timer);
      timer = 0;
      running = true;
      dirty = false;
      last = performance.now();
      const answer = { path, data: current.current.data, error: undefined as ApiError | undefined };
      try {
        answer.data = await fetchShared<T>(path);
        keep(path, answer.data);
      } catch (error) {
        if (gone) return;
        answer.error = error instanceof ApiError ? error : new ApiError(0, "FAILED", String(error));
      }
      running = false;
      took = performance.now() - last;
      if (gone) return;
      current.current = answer;
      redraw((n) => n + 1);
      if (dirty) soon();
    };
    // Nobody looks: later.
    const askWhenSeen = () => {
      if (document.hidden) timer = window.setTimeout(askWhenSeen, kHiddenMs);
      else ask();
    };
    // A slow server is asked less often.
    const soon = () => {
      dirty = true;
      if (running || timer) return;
      timer = window.setTimeout(askWhenSeen, Math.max(0, last + Math.max(leastMs, 2 * took) - performance.now()));
    };
    again.current = soon;
    ask();
    const wanted = names.split(" ");
    const stop = onChange((name) => {
      if (name === "*" || wanted.some((want) => (want.endsWith("/") ? name.startsWith(want) : name === want))) soon();
    });
    return () => {
      gone = true;
      clearTimeout(timer);
      stop();
    };
  }, [path, names, leastMs]);

  const reload = useCallback(() => again.current(), []);
  const { data, error } = current.current;
  return { data, error, loading: path !== null && data === undefined && error === undefined, reload };
}

// Pages of a list, one at a time: the tokens of those before are kept for the way back.
export function usePages(key: string) {
  const [state, setState] = useState({ key, tokens: [""] });
  const tokens = state.key === key ? state.tokens : [""];
  if (state.key !== key) setState({ key, tokens });
  return {
    token: tokens[tokens.length - 1],
    page: tokens.length,
    next: (token: string) => setState({ key, tokens: [...tokens, token] }),
    // In place of this one, which held nothing.
    skip: (token: string) => setState({ key, tokens: [...tokens.slice(0, -1), token] }),
    back: () => setState({ key, tokens: tokens.slice(0, -1) }),
  };
}
