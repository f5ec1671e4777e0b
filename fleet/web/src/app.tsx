// The frame: who looks, where one can go, what must be known everywhere, and the view.
import type { FunctionComponent } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { ApiError, get, hasToken, onRefused, setToken } from "./api";
import { Banners } from "./banners";
import { installKeys, places } from "./keys";
import { startLive, stopLive, useLive } from "./live";
import { forgetAnswers, useAnswer } from "./query";
import { useRoute } from "./route";
import type { Route } from "./route";
import { Session, roleName } from "./session";
import { SignIn } from "./sign-in";
import { applyTheme, theme } from "./theme";
import type { Theme } from "./theme";
import type { Overview, Principal } from "./types";
import { Dialog, Told } from "./ui/action";
import { Empty, Failure, Loading } from "./ui/states";
import { AuditView } from "./views/audit";
import { FleetView } from "./views/fleet";
import { KeysView } from "./views/keys";
import { PlanView } from "./views/plan";
import { ReleaseView } from "./views/release";
import { ReleasesView } from "./views/releases";
import { RolloutView } from "./views/rollout";
import { RolloutsView } from "./views/rollouts";
import { StopsView } from "./views/stops";
import { UnitView } from "./views/unit";
import { UnitsView } from "./views/units";
import { VerificationView } from "./views/verification";

const views: Record<string, FunctionComponent<{ route: Route }>> = {
  "": FleetView,
  rollouts: RolloutsView,
  "rollouts/": RolloutView,
  releases: ReleasesView,
  "releases/": ReleaseView,
  verification: VerificationView,
  units: UnitsView,
  "units/": UnitView,
  plan: PlanView,
  stops: StopsView,
  keys: KeysView,
  audit: AuditView,
};

type Who = { principal?: Principal; error?: ApiError; signIn?: string };

// A client certificate may be enough; without TLS there is none. Asked without a token only once, for the server counts
// failed logins.
const kNoCertificate = "tandem.no-certificate";
const mayHaveCertificate = () => location.protocol === "https:" && !sessionStorage.getItem(kNoCertificate);

export function App() {
  const [who, setWho] = useState<Who>({});
  const ask = useCallback(async () => {
    if (!hasToken() && !mayHaveCertificate()) return setWho({ signIn: "" });
    try {
      const principal = await get<Principal>("/v1/whoami");
      setWho({ principal });
      startLive();
    } catch (failure) {
      const error = failure as ApiError;
      if (error.status === 429) return setWho({ signIn: `${error.message}.` });
      if (error.status !== 401) return setWho({ error });
      if (!hasToken()) sessionStorage.setItem(kNoCertificate, "1");
      setWho({
        signIn: hasToken() ? "That token is not good here: it is mistyped, expired, revoked, or of another fleet." : "",
      });
    }
  }, []);
  const signOut = useCallback((why: string) => {
    setToken("", false);
    stopLive();
    forgetAnswers();
    setWho({ signIn: why });
  }, []);
  useEffect(() => {
    onRefused(() =>
      setWho((now) => {
        if (!now.principal) return now;
        stopLive();
        return { signIn: "The controller no longer takes your token: it expired or was revoked." };
      }),
    );
    ask();
  }, [ask]);

  if (who.signIn !== undefined) return <SignIn problem={who.signIn} onToken={ask} />;
  if (who.error)
    return (
      <main class="alone">
        <Failure
          error={who.error}
          retry={() => {
            setWho({});
            ask();
          }}
        />
      </main>
    );
  if (!who.principal)
    return (
      <main class="alone">
        <Loading />
      </main>
    );
  return (
    <Session.Provider value={who.principal}>
      <Frame principal={who.principal} signOut={hasToken() ? () => signOut("") : undefined} />
    </Session.Provider>
  );
}

function Frame({ principal, signOut }: { principal: Principal; signOut?: () => void }) {
  const route = useRoute();
  const [help, setHelp] = useState(false);
  const [menu, setMenu] = useState(false);
  const fleet = useAnswer<Overview>("/v1/fleet", ["fleet", "audit", "rollout/"]);
  useEffect(() => installKeys(() => setHelp(true)), []);
  const here = route.path.join("/");
  useEffect(() => {
    setMenu(false);
    scrollTo(0, 0);
  }, [here]);

  const View = views[(route.path[0] ?? "") + (route.path.length > 1 ? "/" : "")];
  return (
    <div class="frame">
      <a
        class="skip"
        href={location.hash || "#/"}
        onClick={(event) => {
          event.preventDefault();
          document.querySelector("main")?.focus();
        }}
      >
        Skip to the content
      </a>
      <aside class={menu ? "side open" : "side"}>
        <div class="brand">
          <a href="#/" aria-label="Tandem: fleet">
            <svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">
              <rect width="16" height="16" rx="3" class="mark" />
              <path d="M3.5 5h9M8 5v7.5" stroke="#fff" stroke-width="2" stroke-linecap="round" />
            </svg>
            <strong>{fleet.data?.namespace ?? "Tandem"}</strong>
          </a>
          <button class="menu" aria-expanded={menu} aria-controls="places" onClick={() => setMenu(!menu)}>
            Menu
          </button>
        </div>
        <nav id="places" aria-label="Views">
          {places.map(([key, href, name]) => {
            const first = href.slice(2);
            const current = (route.path[0] ?? "") === first;
            return (
              <a key={key} href={href} aria-current={current ? "page" : undefined} title={`g ${key}`}>
                {name}
              </a>
            );
          })}
        </nav>
        <div class="side-foot">
          <LiveSign />
          <div class="who">
            <span title={`role: ${roleName(principal.role)}`}>{principal.actor.replace(/^token:/, "")}</span>
            <span class="muted">{roleName(principal.role)}</span>
          </div>
          <div class="side-buttons">
            <ThemeSwitch />
            <button class="quiet" onClick={() => setHelp(true)} title="Keys (?)" aria-label="Keys">
              ?
            </button>
            {signOut && (
              <button class="quiet" onClick={signOut}>
                Sign out
              </button>
            )}
          </div>
        </div>
      </aside>
      <main tabIndex={-1}>
        <Banners fleet={fleet.data} home={["", "rollouts"].includes(here)} />
        {View ? (
          <View key={here} route={route} />
        ) : (
          <Empty title="There is no such view">
            <a href="#/">Back to the fleet</a>
          </Empty>
        )}
      </main>
      <Told />
      {help && <Help onClose={() => setHelp(false)} />}
    </div>
  );
}

function LiveSign() {
  const { live } = useLive();
  return (
    <span
      class={live ? "live on" : "live"}
      title={live ? "Changes are shown as they happen" : "Shown as of the last answer"}
    >
      {live ? "Live" : "Not live"}
    </span>
  );
}

function ThemeSwitch() {
  const [now, setNow] = useState<Theme>(theme());
  const names: Record<Theme, string> = { "": "Auto", light: "Light", dark: "Dark" };
  const next: Record<Theme, Theme> = { "": "light", light: "dark", dark: "" };
  return (
    <button
      class="quiet"
      title={`Colours: ${names[now].toLowerCase()}; click for ${names[next[now]].toLowerCase()}`}
      aria-label={`Colours: ${names[now]}`}
      onClick={() => {
        applyTheme(next[now]);
        setNow(next[now]);
      }}
    >
      {names[now]}
    </button>
  );
}

function Help({ onClose }: { onClose: () => void }) {
  const keys: [string, string][] = [
    ...places.map(([key, , name]) => [`g ${key}`, name] as [string, string]),
    ["j  k", "Next or previous row"],
    ["Enter", "Open the row"],
    ["/", "To the filter"],
    ["Esc", "Close, or leave a field"],
    ["?", "These keys"],
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt>
              {key.split(/ +/).map((part) => (
                <kbd key={part}>{part}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
