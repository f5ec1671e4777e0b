import { useState } from "preact/hooks";
import { download, withQuery } from "../api";
import { useAnswer, usePages } from "../query";
import { setQuery } from "../route";
import type { Route } from "../route";
import type { AuditEntry, AuditList } from "../types";
import { told } from "../ui/action";
import { Head, ObjectLink, Pager, Table } from "../ui/basics";
import { Filter } from "../ui/filter";
import { Empty, Shown } from "../ui/states";
import { Ago } from "../ui/time";

export function AuditView({ route }: { route: Route }) {
  const object = route.query.get("object") ?? "";
  const pages = usePages(object);
  const answer = useAnswer<AuditList>(
    withQuery("/v1/audit", { object, page_size: 100, page_token: pages.token }),
    pages.page === 1 ? ["audit"] : [],
  );
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      await download("/v1/audit/export", "audit.jsonl");
      told("The audit log is saved as audit.jsonl.");
    } catch (error) {
      told(`It was not saved: ${(error as Error).message}`);
    }
    setBusy(false);
  };
  return (
    <>
      <Head title="Audit" about="Who did what, and what the controllers did by themselves">
        <button onClick={save} disabled={busy} title="Everything, oldest first, one JSON object a line">
          {busy ? "…" : "Export"}
        </button>
      </Head>
      <div class="filters">
        <Filter
          name="object"
          label="Object"
          placeholder="rollout/7, unit/gw-17, release/gw-2"
          value={object}
          onApply={(text) => setQuery({ object: text })}
        />
      </div>
      <Shown answer={answer}>
        {(data) =>
          data.entries.length === 0 ? (
            <Empty title={object ? `Nothing was done to ${object}` : "Nothing was done yet"}>
              {object && <button onClick={() => setQuery({ object: undefined })}>Show all</button>}
            </Empty>
          ) : (
            <>
              <Table
                label="Audit"
                cards
                head={
                  <>
                    <th class="right">When</th>
                    <th>Who</th>
                    <th>What</th>
                    <th>Object</th>
                    <th class="grow">Before and after</th>
                  </>
                }
              >
                {data.entries.map((entry) => (
                  <Row key={String(entry.id)} entry={entry} />
                ))}
              </Table>
              <Pager
                page={pages.page}
                next={data.next_page_token}
                onNext={pages.next}
                onBack={pages.back}
                what="the audit log"
              />
            </>
          )
        }
      </Shown>
    </>
  );
}

const kSeverity = ["", "", "tone-warn", "tone-bad"];
const kSign = ["", "", "! ", "‼ "];

function Row({ entry }: { entry: AuditEntry }) {
  return (
    <tr>
      <td class="right">
        <Ago time={entry.at} />
      </td>
      <td>{entry.actor}</td>
      <td class={kSeverity[entry.severity] ?? ""}>
        {kSign[entry.severity] ?? ""}
        {entry.event}
      </td>
      <td>
        <ObjectLink object={entry.object} />
      </td>
      <td class="grow change">
        {changes(entry).map(([name, before, after]) => (
          <span key={name}>
            <span class="muted">{name}</span> {before !== "" && <s>{before}</s>} {after}
          </span>
        ))}
      </td>
    </tr>
  );
}

function fields(text: string): Record<string, unknown> {
  if (!text) return {};
  try {
    const value = JSON.parse(text) as unknown;
    return value !== null && typeof value === "object" ? (value as Record<string, unknown>) : { value };
  } catch {
    return { value: text };
  }
}

const show = (value: unknown) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));

function changes(entry: AuditEntry): [string, string, string][] {
  const [before, after] = [fields(entry.before), fields(entry.after)];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .map((name) => [name, show(before[name]), show(after[name])] as [string, string, string])
    .filter(([, was, is]) => was !== is);
}
