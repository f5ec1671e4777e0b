// What stands where there is nothing to show: still loading, nothing there, or an error, with what to do next.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ApiError } from "../api";
import type { Answer } from "../query";

// Short waits show nothing: a flicker tells nobody anything.
export function Loading() {
  const [waited, setWaited] = useState(0);
  useEffect(() => {
    const timers = [250, 4000].map((ms, i) => setTimeout(() => setWaited(i + 1), ms));
    return () => timers.forEach(clearTimeout);
  }, []);
  return (
    <div class="loading" role="status">
      {waited > 0 && <div class="skeleton" aria-hidden="true" />}
      {waited > 0 && (
        <p class="muted">{waited > 1 ? "Still loading: the controller is slow to answer." : "Loading…"}</p>
      )}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <p class="muted">{children}</p>}
    </div>
  );
}

function adviceOf(error: ApiError): [title: string, advice: string] {
  switch (error.status) {
    case 0:
      return [
        "The controller does not answer",
        "Is tandem-fleet running, and is there a way to it? This page tries again by itself.",
      ];
    case 400:
      return ["That cannot be asked like this", ""];
    case 401:
      return ["You are signed out", "Sign in again."];
    case 403:
      return ["You may not see this", "Ask a release manager for a token with a higher role."];
    case 404:
      return ["There is no such thing", "It may have another name, or belong to another fleet."];
    case 405:
      return ["This controller cannot do this", "A newer tandem-fleet can."];
    case 429:
      return ["Too much at a time", "Wait a moment, then try again."];
    case 503:
    case 504:
      return ["The store does not answer", "Units keep what they were ordered to. This page tries again by itself."];
    default:
      return ["Something went wrong at the controller", "Its log has more."];
  }
}

export function Failure({ error, retry }: { error: ApiError; retry?: () => void }) {
  const [title, advice] = adviceOf(error);
  return (
    <div class="failure" role="alert">
      <p class="empty-title">{title}</p>
      <p>{error.message}</p>
      {advice && <p class="muted">{advice}</p>}
      {retry && <button onClick={retry}>Try again</button>}
    </div>
  );
}

const kRetryMs = 5000;

// One of the three, or the view; an error over what was read before stands above it.
export function Shown<T>({ answer, children }: { answer: Answer<T>; children: (data: T) => ComponentChildren }) {
  const { data, error, reload } = answer;
  const passing = error !== undefined && (error.status === 0 || error.status === 429 || error.status >= 500);
  useEffect(() => {
    if (!passing) return;
    const timer = setInterval(reload, kRetryMs);
    return () => clearInterval(timer);
  }, [passing, reload]);
  if (data === undefined) return error ? <Failure error={error} retry={reload} /> : <Loading />;
  return (
    <>
      {error && (
        <p class="stale-note" role="status">
          <strong>This is what was known before.</strong> {error.message}. <button onClick={reload}>Try again</button>
        </p>
      )}
      {children(data)}
    </>
  );
}
