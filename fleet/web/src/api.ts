// Calls of the API. The token goes with each of them in a header, and is kept in this browser only.

export class ApiError extends Error {
  constructor(
    // 0: no answer at all.
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const kTokenKey = "tandem.token";
let token = localStorage.getItem(kTokenKey) ?? sessionStorage.getItem(kTokenKey) ?? "";

export const hasToken = () => token !== "";

export function setToken(text: string, remember: boolean) {
  token = text;
  sessionStorage.removeItem(kTokenKey);
  localStorage.removeItem(kTokenKey);
  if (text) (remember ? localStorage : sessionStorage).setItem(kTokenKey, text);
}

export const authorization = (): Record<string, string> => (token ? { Authorization: `Bearer ${token}` } : {});

let refused = () => {};
// Called when the server no longer knows the caller.
export const onRefused = (handler: () => void) => (refused = handler);
// Asking again and again would count as failed logins.
export function noteRefusal(error: unknown) {
  if (error instanceof ApiError && error.status === 401) refused();
}

export type Query = Record<string, string | number | boolean | undefined>;

// "/v1/units?presence=online"; what is empty is left out.
export function withQuery(path: string, query: Query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "" && value !== false) search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

export const segment = (text: string) => encodeURIComponent(text);

// The answer of an error, or what stands for it when there is none.
export async function errorOf(response: Response): Promise<ApiError> {
  try {
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    return new ApiError(response.status, error.code, error.message);
  } catch {
    return new ApiError(response.status, "UNKNOWN", `the server answered ${response.status} without a reason`);
  }
}

async function send<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: { ...init.headers, ...authorization() }, cache: "no-store" });
  } catch {
    throw new ApiError(0, "NO_ANSWER", "the controller does not answer");
  }
  if (response.ok) return (await response.json()) as T;
  const error = await errorOf(response);
  noteRefusal(error);
  throw error;
}

export const get = <T>(path: string) => send<T>(path, {});

export const post = <T>(path: string, body: unknown) =>
  send<T>(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// The audit log needs the token in a header, which a plain link cannot send.
export async function download(path: string, name: string) {
  const response = await fetch(path, { headers: authorization() });
  if (!response.ok) throw await errorOf(response);
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
