// What an operator must know whatever view is open, with the button that mends it.
import type { ComponentChildren } from "preact";

export function Banner({
  tone,
  title,
  children,
  action,
}: {
  tone: "bad" | "warn" | "info";
  title: ComponentChildren;
  children?: ComponentChildren;
  action?: ComponentChildren;
}) {
  return (
    <div
      class={`banner ${tone}`}
      role={tone === "bad" ? "alert" : "status"}
      aria-live={tone === "bad" ? "assertive" : "polite"}
    >
      <span class="banner-sign" aria-hidden="true">
        {tone === "bad" ? "‼" : tone === "warn" ? "!" : "i"}
      </span>
      <p>
        <strong>{title}</strong> {children}
      </p>
      {action}
    </div>
  );
}
