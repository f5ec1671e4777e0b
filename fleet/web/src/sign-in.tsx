import { useState } from "preact/hooks";
import { setToken } from "./api";

export function SignIn({ problem, onToken }: { problem: string; onToken: () => Promise<void> }) {
  const [text, setText] = useState("");
  const [remember, setRemember] = useState(false);
  const [wrong, setWrong] = useState("");
  const [asking, setAsking] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    const token = text.trim();
    if (!token.startsWith("tnd_") || /\s/.test(token)) {
      setWrong('A token begins with "tnd_" and has no spaces.');
      return;
    }
    setWrong("");
    setAsking(true);
    setToken(token, remember);
    await onToken();
    setAsking(false);
  };
  const shown = wrong || problem;
  return (
    <main class="alone">
      <form class="sign-in" onSubmit={submit}>
        <h1>Tandem</h1>
        <p class="muted">Paste your token to see the fleet.</p>
        <label>
          Token
          <input
            name="token"
            type="password"
            autoFocus
            required
            autocomplete="off"
            spellcheck={false}
            placeholder="tnd_…"
            value={text}
            aria-invalid={shown !== ""}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.currentTarget.checked)} />
          Remember on this computer
        </label>
        {shown && (
          <p class="form-error" role="alert">
            {shown}
          </p>
        )}
        <button class="primary" disabled={asking}>
          {asking ? "…" : "Sign in"}
        </button>
        <p class="hint">
          A release manager makes one with <code>tandem-fleetctl tokens create</code>. The first one is in{" "}
          <code>admin.token</code> of the controller's data folder. It stays in this browser, and is forgotten with the
          tab unless you say otherwise.
        </p>
      </form>
    </main>
  );
}
