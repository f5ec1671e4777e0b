import { num } from "../format";
import { useAnswer } from "../query";
import type { Keys } from "../types";
import { Banner } from "../ui/banner";
import { Facts, Head, Id, Section, State, Table } from "../ui/basics";
import { Empty, Shown } from "../ui/states";
import { Ago, Exact } from "../ui/time";

export function KeysView() {
  const answer = useAnswer<Keys>("/v1/keys", ["keys"]);
  return (
    <>
      <Head title="Keys" about="Whose signatures count, and how long" />
      <Shown answer={answer}>
        {(keys) =>
          num(keys.key_set_version) === 0 ? (
            <Empty title="No key set is imported yet">
              Nothing can be rolled out without one. <code>tandem-fleetctl keys import keys.json</code>
            </Empty>
          ) : (
            <>
              {keys.warnings.map((warning) => (
                <Banner key={warning} tone="warn" title={warning} />
              ))}
              <Section title="Documents">
                <Facts
                  rows={[
                    [
                      "Key set",
                      <>
                        version {String(keys.key_set_version)}, ends <Ago time={keys.key_set_expires} />{" "}
                        <span class="muted">
                          (<Exact time={keys.key_set_expires} />)
                        </span>
                      </>,
                    ],
                    [
                      "Release list",
                      num(keys.release_list_version) ? (
                        <>
                          version {String(keys.release_list_version)} with {keys.releases_listed} releases, ends{" "}
                          <Ago time={keys.release_list_expires} />{" "}
                          <span class="muted">
                            (<Exact time={keys.release_list_expires} />)
                          </span>
                        </>
                      ) : (
                        <span class="tone-warn">! none: nothing can be assigned</span>
                      ),
                    ],
                    [
                      "This controller signs with",
                      <>
                        <Id text={keys.signing_keyid} short={16} />{" "}
                        {keys.signing_key_trusted ? (
                          <State state="pass" name="in the key set" />
                        ) : (
                          <State state="fail" name="not in the key set: units refuse its orders" />
                        )}
                      </>,
                    ],
                  ]}
                />
              </Section>
              <Section title="Keys of the key set">
                <Table
                  label="Keys"
                  head={
                    <>
                      <th>Role</th>
                      <th>Key</th>
                      <th>Algorithm</th>
                      <th class="right">Signatures needed</th>
                    </>
                  }
                >
                  {keys.keys.map((key) => (
                    <tr key={key.role + key.keyid}>
                      <td>{key.role}</td>
                      <td>
                        <Id text={key.keyid} short={16} />
                        {key.keyid === keys.signing_keyid && <span class="muted"> this controller</span>}
                      </td>
                      <td>{key.algorithm}</td>
                      <td class="right num">{key.threshold}</td>
                    </tr>
                  ))}
                </Table>
              </Section>
            </>
          )
        }
      </Shown>
    </>
  );
}
