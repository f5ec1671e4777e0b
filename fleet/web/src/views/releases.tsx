import { withQuery } from "../api";
import { useAnswer, usePages } from "../query";
import { to } from "../route";
import type { Release, ReleaseList } from "../types";
import { Head, Id, Pager, State, Table } from "../ui/basics";
import { Empty, Shown } from "../ui/states";
import { Ago } from "../ui/time";

export function ReleasesView() {
  const pages = usePages("");
  const answer = useAnswer<ReleaseList>(withQuery("/v1/releases", { page_size: 50, page_token: pages.token }), [
    "release/",
    "keys",
  ]);
  return (
    <>
      <Head title="Releases" />
      <Shown answer={answer}>
        {(data) =>
          data.releases.length === 0 ? (
            <Empty title="No release is imported yet">
              <code>tandem-fleetctl releases import release.json --base-url https://…</code> brings one in. A release
              list must name it before it can be rolled out.
            </Empty>
          ) : (
            <>
              <Table
                label="Releases"
                cards
                head={
                  <>
                    <th>Release</th>
                    <th class="grow">Components</th>
                    <th>Verification</th>
                    <th>May be assigned</th>
                    <th class="right">Imported</th>
                  </>
                }
              >
                {data.releases.map((release) => (
                  <tr key={release.digest}>
                    <td>
                      <a href={to("releases", release.digest)} data-row>
                        {release.release_id}
                      </a>
                      <span class="under">
                        <Id text={release.digest} short={12} />
                      </span>
                    </td>
                    <td class="grow">
                      {release.components.map((each) => `${each.component_type} ${each.version}`).join(", ")}
                    </td>
                    <td>
                      <VerificationState release={release} />
                    </td>
                    <td>
                      <Assignable release={release} />
                    </td>
                    <td class="right">
                      <Ago time={release.imported_at} />
                    </td>
                  </tr>
                ))}
              </Table>
              <Pager
                page={pages.page}
                next={data.next_page_token}
                onNext={pages.next}
                onBack={pages.back}
                what="releases"
              />
            </>
          )
        }
      </Shown>
    </>
  );
}

export function VerificationState({ release }: { release: Release }) {
  const { verification, diagnostics } = release;
  if (verification?.auto_rolled_back) return <State state="verification_failed" name="taken back by itself" />;
  if (verification?.state) return <State state={verification.state} />;
  return (
    <span class="muted">{diagnostics?.some((each) => each.run_after_ota) ? "not asked for yet" : "has none"}</span>
  );
}

export function Assignable({ release }: { release: Release }) {
  if (release.frozen) return <State state="frozen" title={release.frozen_reason} />;
  return release.listed ? <State state="pass" name="yes" /> : <span class="muted">not in the release list</span>;
}
