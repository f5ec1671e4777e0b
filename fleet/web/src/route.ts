// Where the page is: everything behind "#", so that a link works however the page is served. "#/rollouts/7?ring=canary"
import { useEffect, useState } from "preact/hooks";

export interface Route {
  // Decoded: ["rollouts", "7"].
  path: string[];
  query: URLSearchParams;
}

function read(): Route {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const decode = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const update = () => setRoute(read());
    addEventListener("hashchange", update);
    return () => removeEventListener("hashchange", update);
  }, []);
  return route;
}

// to("rollouts", 7) is "#/rollouts/7".
export const to = (...parts: (string | number)[]) => "#/" + parts.map((part) => encodeURIComponent(part)).join("/");

export const go = (href: string) => void (location.hash = href);

// Changes the query of where we are: undefined and "" take a name out. Typing must not fill the history.
export function setQuery(changes: Record<string, string | undefined>, replace = false) {
  const { query } = read();
  for (const [name, value] of Object.entries(changes)) value ? query.set(name, value) : query.delete(name);
  const text = query.toString();
  const hash = location.hash.split("?")[0] + (text ? `?${text}` : "");
  if (hash === location.hash) return;
  if (!replace) return go(hash);
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
