import { post, segment } from "./api";
import { num, relative, units } from "./format";
import { reconnectNow, useLive } from "./live";
import { useAnswer } from "./query";
import { to } from "./route";
import type { Keys, Overview } from "./types";
import { Action } from "./ui/action";
import { Banner } from "./ui/banner";
import { Ago, Exact, useNow } from "./ui/time";

const kHourly = 3600;

export function Banners({ fleet, home }: { fleet: Overview | undefined; home: boolean }) {
  return (
    <div class="banners">
      <NotLive />
      {fleet && <BrokerBanner fleet={fleet} />}
      {fleet && <GuardBanner fleet={fleet} />}
      {fleet && <StormUnits fleet={fleet} />}
      {fleet && home && <TakenBack fleet={fleet} />}
      {home && <KeyBanner />}
    </div>
  );
}

function NotLive() {
  const { live, reason, retryAt } = useLive();
  useNow(1);
  if (live) return null;
  const left = Math.ceil((retryAt - Date.now()) / 1000);
  return (
    <Banner tone="warn" title="Not live:" action={<button onClick={reconnectNow}>Try now</button>}>
      {reason}. What you see may be old; {left > 0 ? `trying again in ${left} s.` : "trying again…"}
    </Banner>
  );
}

function BrokerBanner({ fleet }: { fleet: Overview }) {
  const { broker } = fleet;
  if (!broker || broker.connected) return null;
  return (
    <Banner tone="bad" title="The broker is away.">
      {broker.endpoint} {broker.error && `(${broker.error})`}: units hear nothing new, and{" "}
      {num(fleet.unpublished) ? `${units(fleet.unpublished)} wait for their orders` : "their reports wait"}.
    </Banner>
  );
}

export const reEnableAutoRollback = (reason: string) => post("/v1/guards/auto-rollback", { on: true, reason });

export function GuardBanner({ fleet }: { fleet: Overview }) {
  const { guards } = fleet;
  if (!guards) return null;
  const enable = (
    <Action
      label="Re-enable"
      title="Re-enable automatic rollback"
      role="OPERATOR"
      text="Releases that fail their verification are taken back by themselves again, from now on. The streak begins anew."
      reason="needed"
      primary
      done="Automatic rollback is on."
      run={reEnableAutoRollback}
    />
  );
  if (guards.disabled_until) {
    return (
      <Banner
        tone="bad"
        title={
          <>
            Automatic rollback is off until <Exact time={guards.disabled_until} />.
          </>
        }
        action={enable}
      >
        {guards.limit} releases in a row failed their verification ({guards.streak_releases.join(", ")}): the storm
        guard stopped it. Failed releases stay where they are.
      </Banner>
    );
  }
  if (!guards.switched_on) {
    return (
      <Banner tone="warn" title="Automatic rollback is switched off." action={enable}>
        A release that fails its verification stays on its units until somebody takes it back.
      </Banner>
    );
  }
  if (guards.streak > 0) {
    return (
      <Banner tone="warn" title={`Verification failures: streak ${guards.streak} of ${guards.limit}.`}>
        {guards.streak_releases.join(", ")} failed{guards.streak > 1 && " in a row"}. At {guards.limit} automatic
        rollback switches itself off for a day.
      </Banner>
    );
  }
  return null;
}

function StormUnits({ fleet }: { fleet: Overview }) {
  const storm = num(fleet.storm_units);
  if (storm === 0) return null;
  return (
    <Banner
      tone="bad"
      title={`${units(storm)} failed again after the way back.`}
      action={
        <a class="button" href="#/units?presence=storm">
          Show them
        </a>
      }
    >
      They get no automatic updates until somebody lets them.
    </Banner>
  );
}

function TakenBack({ fleet }: { fleet: Overview }) {
  const [release, ...others] = fleet.failed_releases ?? [];
  if (!release) return null;
  const verification = release.verification;
  return (
    <Banner
      tone="bad"
      title={`Release ${release.release_id} was taken back by itself`}
      action={
        <a class="button" href={to("releases", release.digest)}>
          Show it
        </a>
      }
    >
      {verification?.failed_at && <Ago time={verification.failed_at} />}
      {verification?.failed_unit && (
        <>
          , first on <a href={to("units", verification.failed_unit)}>{verification.failed_unit}</a>
        </>
      )}
      {verification?.reason && `: ${verification.reason}`}.
      {others.length > 0 && ` Before it: ${others.map((other) => other.release_id).join(", ")}.`}
    </Banner>
  );
}

function KeyBanner() {
  const now = useNow(kHourly);
  const keys = useAnswer<Keys>("/v1/keys", ["keys", "release_list"]).data;
  if (!keys || keys.warnings.length === 0) return null;
  return (
    <Banner
      tone="warn"
      title="Keys:"
      action={
        <a class="button" href="#/keys">
          Show them
        </a>
      }
    >
      {keys.warnings[0]}
      {keys.warnings.length > 1 && `, and ${keys.warnings.length - 1} more`}
      {keys.key_set_expires &&
        !keys.warnings[0].includes("expire") &&
        ` (key set ends ${relative(keys.key_set_expires, now)})`}
    </Banner>
  );
}

// On the page of one unit that the loop guard stopped.
export function StormBanner({ unit, why }: { unit: string; why: string }) {
  return (
    <Banner
      tone="bad"
      title="Verification storm."
      action={
        <Action
          label="Re-enable"
          title="Re-enable updates of this unit"
          role="OPERATOR"
          text={`${unit} takes part in automatic updates again.`}
          reason="needed"
          primary
          done={`${unit} gets updates again.`}
          run={(reason) => post(`/v1/units/${segment(unit)}/hold`, { held: false, reason })}
        />
      }
    >
      {why}. This unit gets no automatic updates until somebody lets it.
    </Banner>
  );
}
