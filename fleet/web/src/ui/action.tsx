// A button that changes something: asks first, and says what came of it.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiError } from "../api";
import { announce } from "../live";
import { useMissingRole } from "../session";
import type { Role } from "../types";

// --- what was done, for all to see and hear ---

let say = (_text: string) => {};
export const told = (text: string) => say(text);

export function Told() {
  const [text, setText] = useState("");
  useEffect(() => {
    let timer = 0;
    say = (next) => {
      setText(next);
      clearTimeout(timer);
      timer = window.setTimeout(() => setText(""), 6000);
    };
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="told" role="status" aria-live="polite">
      {text && <p>{text}</p>}
    </div>
  );
}

// --- a dialog, closed by Esc ---

export function Dialog({
  title,
  onClose,
  children,
  wide,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => before?.focus();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={wide ? "wide" : ""}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div class="dialog">
        <header>
          <h2>{title}</h2>
          <button type="button" class="quiet" aria-label="Close" onClick={onClose}>
            ✕
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

export interface ActionProps {
  label: string;
  role: Role;
  // What will happen, for whom.
  text: ComponentChildren;
  title?: string;
  reason?: "needed" | "welcome";
  danger?: boolean;
  primary?: boolean;
  // Why it cannot be done now.
  not?: string;
  done: string;
  // Further fields of the dialog.
  children?: ComponentChildren;
  run: (reason: string) => Promise<unknown>;
}

export function Action(props: ActionProps) {
  const [open, setOpen] = useState(false);
  const missing = useMissingRole()(props.role);
  const not = missing || props.not || "";
  return (
    <>
      <button
        class={props.danger ? "danger" : props.primary ? "primary" : ""}
        disabled={not !== ""}
        title={not ? `${props.label}: ${not}` : undefined}
        onClick={() => setOpen(true)}
      >
        {props.label}
      </button>
      {open && <Confirm {...props} onClose={() => setOpen(false)} />}
    </>
  );
}

function Confirm(props: ActionProps & { onClose: () => void }) {
  const [reason, setReason] = useState("");
  const [running, setRunning] = useState(false);
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    setRunning(true);
    setError("");
    try {
      await props.run(reason.trim());
      props.onClose();
      told(props.done);
      announce("*");
    } catch (failure) {
      const { status, code, message } = failure as ApiError;
      setError(
        status === 0
          ? "The controller does not answer. It may have been done: look before you try again."
          : code === "ABORTED"
            ? `${message}. Look again, then decide.`
            : message,
      );
      setRunning(false);
      announce("*");
    }
  };
  return (
    <Dialog title={props.title ?? props.label} onClose={props.onClose}>
      <form onSubmit={submit}>
        <p>{props.text}</p>
        {props.children}
        {props.reason && (
          <label>
            Reason{props.reason === "welcome" && <span class="muted"> (optional)</span>}
            <input
              name="reason"
              value={reason}
              required={props.reason === "needed"}
              maxLength={500}
              autoFocus
              autocomplete="off"
              onInput={(event) => setReason(event.currentTarget.value)}
            />
            <span class="hint">For the audit log, and for whoever asks why.</span>
          </label>
        )}
        {error && (
          <p class="form-error" role="alert">
            {error}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" class={props.danger ? "danger solid" : "primary"} disabled={running}>
            {running ? "…" : (props.title ?? props.label)}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
