import { post, segment } from "../api";
import { bytes, count, num } from "../format";
import { useAnswer } from "../query";
import { to } from "../route";
import type { Route } from "../route";
import type { Release } from "../types";
import { Action } from "../ui/action";
import { Banner } from "../ui/banner";
import { Facts, Head, Id, Section, State, Table } from "../ui/basics";
import { Empty, Shown } from "../ui/states";
import { Ago } from "../ui/time";
import { Assignable, VerificationState } from "./releases";

export function ReleaseView({ route }: { route: Route }) {
  const name = route.path[1];
  const answer = useAnswer<Release>(`/v1/releases/${segment(name)}`, ["release/", "keys", "rollout/"]);
  return (
    <Shown answer={answer}>
      {(release) => (
        <>
          <Head
            title={release.release_id}
            about={
              <>
                Imported by {release.imported_by}, <Ago time={release.imported_at} />
              </>
            }
          >
            <a class="button" href={`#/plan?release=${release.digest}`}>
              Plan a rollout
            </a>
            <FreezeButton release={release} />
          </Head>
          <ReleaseBanner release={release} />
          <Section title="What it is">
            <Facts
              rows={[
                ["May be assigned", <Assignable release={release} />],
                ["Frozen because", release.frozen ? release.frozen_reason : ""],
                ["Planes", release.planes.join(", ")],
                [
                  "Goes back",
                  release.rollback_order?.length ? `${release.rollback_order.join(", then ")}` : "all planes at once",
                ],
                ["Rollback target", release.rollback_target ? "signed as one" : ""],
                ["Digest", <Id text={release.digest} />],
                [
                  "Signed by",
                  <span class="stack">
                    {release.signer_keyids.map((key) => (
                      <Id key={key} text={key} />
                    ))}
                  </span>,
                ],
                [
                  "Mirrors",
                  <span class="stack">
                    {release.base_urls.map((url) => (
                      <code key={url}>{url}</code>
                    ))}
                  </span>,
                ],
                ["Notes", release.notes],
              ]}
            />
          </Section>
          <Section title="Components">
            <Table
              label="Components"
              head={
                <>
                  <th>Component</th>
                  <th>Plane</th>
                  <th>Version</th>
                  <th>Needs</th>
                  <th class="wide-only">Hardware</th>
                  <th class="right">Size</th>
                  <th class="wide-only">SHA-256</th>
                </>
              }
            >
              {release.components.map((each) => (
                <tr key={each.component_id}>
                  <td>
                    {each.component_type}
                    {each.component_id !== each.component_type && <span class="under">{each.component_id}</span>}
                  </td>
                  <td>{each.plane}</td>
                  <td class="num">{each.version}</td>
                  <td>{each.requirements.join(", ") || <span class="muted">nothing</span>}</td>
                  <td class="wide-only">{each.hardware.join(", ") || <span class="muted">any</span>}</td>
                  <td class="right num">{bytes(each.size)}</td>
                  <td class="wide-only">
                    <Id text={each.sha256} short={12} />
                  </td>
                </tr>
              ))}
            </Table>
          </Section>
          <Section title="Verification" aside={<VerificationState release={release} />}>
            <VerificationFacts release={release} />
            <Diagnostics release={release} />
          </Section>
        </>
      )}
    </Shown>
  );
}

export function ReleaseBanner({ release }: { release: Release }) {
  const { verification } = release;
  if (!verification?.auto_rolled_back) return null;
  return (
    <Banner tone="bad" title="This release was taken back by itself">
      <Ago time={verification.failed_at} />
      {verification.failed_unit && (
        <>
          , first on <a href={to("units", verification.failed_unit)}>{verification.failed_unit}</a>
        </>
      )}
      {verification.reason && `: ${verification.reason}`}. Every unit that received it was ordered back.
    </Banner>
  );
}

function FreezeButton({ release }: { release: Release }) {
  const freeze = (frozen: boolean) => (reason: string) =>
    post(`/v1/releases/${segment(release.digest)}/freeze`, { frozen, reason });
  return release.frozen ? (
    <Action
      label="Let it go"
      role="RELEASE_MANAGER"
      title={`Let ${release.release_id} go`}
      reason="needed"
      text="It may be assigned to units again."
      done={`${release.release_id} may be assigned again.`}
      run={freeze(false)}
    />
  ) : (
    <Action
      label="Freeze"
      role="OPERATOR"
      title={`Freeze ${release.release_id}`}
      reason="needed"
      danger
      text="It is never assigned again until a release manager lets it go. Units that have it keep it; rollouts of it stand still."
      done={`${release.release_id} is frozen.`}
      run={freeze(true)}
    />
  );
}

function VerificationFacts({ release }: { release: Release }) {
  const { verification } = release;
  if (!verification?.state) return null;
  return (
    <>
      <dl class="inline-facts">
        <div>
          <dt>verifying</dt>
          <dd class="num">{count(verification.verifying)}</dd>
        </div>
        <div>
          <dt>verified</dt>
          <dd class="num tone-good">{count(verification.verified)}</dd>
        </div>
        <div>
          <dt>failed</dt>
          <dd class={num(verification.failed) ? "num tone-bad" : "num"}>{count(verification.failed)}</dd>
        </div>
      </dl>
      {verification.failed_at && !verification.auto_rolled_back && (
        <p>
          <State state="verification_failed" name="First failure" /> <Ago time={verification.failed_at} /> on{" "}
          <a href={to("units", verification.failed_unit)}>{verification.failed_unit}</a>: {verification.reason}
        </p>
      )}
    </>
  );
}

function Diagnostics({ release }: { release: Release }) {
  const diagnostics = release.diagnostics ?? [];
  if (diagnostics.length === 0) {
    return (
      <Empty title="It has no diagnostics">
        A unit counts as updated once it runs the release and its own health checks pass.
      </Empty>
    );
  }
  return (
    <Table
      label="Diagnostics"
      head={
        <>
          <th>Diagnostic</th>
          <th>Checks</th>
          <th>When</th>
          <th>Where</th>
          <th class="right">Timeout</th>
        </>
      }
    >
      {diagnostics.map((each) => (
        <tr key={each.name}>
          <td>
            {each.name}
            {each.description && <span class="under wrap">{each.description}</span>}
          </td>
          <td>{each.kind}</td>
          <td>{each.run_after_ota ? "after the update" : "only when asked for"}</td>
          <td>
            {each.planes.join(", ") || "any plane"}
            {each.target && (
              <span class="under">
                <code>{each.target}</code>
              </span>
            )}
          </td>
          <td class="right num">{each.timeout_secs} s</td>
        </tr>
      ))}
    </Table>
  );
}
