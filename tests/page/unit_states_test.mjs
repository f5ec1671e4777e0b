// Units and one unit, with all their buttons. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { rollout, unit, unitDetail } from "./examples.mjs";
import { waitFor } from "./fleet.mjs";
import { ApiFault } from "./stand_in.mjs";
import { confirm, lastCall, page, picture, server, signIn } from "./states.mjs";

test("units: a page at a time, with a filter and a presence", async () => {
  const asked = [];
  const first = server.answers["GET /v1/units"];
  server.answers["GET /v1/units"] = ({ query }) => {
    asked.push(Object.fromEntries(query));
    return query.get("page_token") ? { units: [unit("zz-last")], next_page_token: "" } : first;
  };
  await signIn("#/units");
  await page.sees("gw-00099");
  await page.click("Next ›");
  await page.sees("zz-last");
  await page.sees("Page 2");
  await page.click("‹ Back");
  await page.sees("gw-00099");
  await page.press("/");
  await page.fill("input[name=filter]", 'region == "eu"');
  await page.press("Enter");
  await page.until(() => location.hash.includes("filter=region"));
  await page.click("Offline");
  await waitFor("the question", () => asked.at(-1).presence === "offline");
  await page.sees("gw-00099");
  assert.deepEqual(asked.at(-1), { filter: 'region == "eu"', presence: "offline", page_size: "100" });
  assert.ok(asked.every((query) => query.page_size === "100"));
  await page.press("Escape");
  await page.fill("input[name=filter]", "gw-0");
  await page.click("Filter");
  await page.until(() => new URLSearchParams(location.hash.split("?")[1]).get("filter") === 'unit_id =~ "gw-0*"');
  await picture("units");
});

test("units: a filter that is wrong says how; one that finds none offers the way out", async () => {
  server.answers["GET /v1/units"] = ({ query }) =>
    query.get("filter")
      ? new ApiFault(400, "INVALID_ARGUMENT", 'filter: "regon" is no attribute; did you mean region?')
      : { units: [], next_page_token: "" };
  await signIn("#/units?filter=regon%20%3D%3D%201");
  await page.sees("did you mean region?");
  await picture("units-wrong-filter");
  await page.click("Clear");
  await page.sees("No unit is registered yet");
  await page.go("#/units?presence=held");
  await page.sees("No unit is like that");
  await page.click("Show all units");
  await page.sees("No unit is registered yet");
  let empty = 0;
  server.answers["GET /v1/units"] = () =>
    ++empty > 25 ? { units: [unit("at-last")], next_page_token: "" } : { units: [], next_page_token: `${empty}` };
  await page.go("#/units?presence=stale");
  await page.sees("None among the first 200,000 units");
  await page.click("Go on");
  await page.sees("at-last");
});

test("unit: ordered against reported, slots, boots left, attempts with their way back, runs, events", async () => {
  await signIn("#/units/gw-00017");
  for (const text of [
    "not taken yet",
    "differs",
    "as ordered",
    "healthy for 12 s",
    "taken back",
    "by attempt 44",
    "Boots left",
    "412 MiB of 700 MiB",
    "track=beta",
  ])
    await page.sees(text);
  await picture("unit", true);
  await page.click("gw-00017, inference: failed", "button");
  await page.sees("falling back to CPU");
});

for (const [button, title, reason, path, body, done] of [
  ["Run diagnostics", "Run diagnostics", "", "diagnostics", {}, "Diagnostics run on gw-00017."],
  ["Hold", "Hold gw-00017", "on the bench", "hold", { held: true, reason: "on the bench" }, "gw-00017 is held."],
  [
    "Go back",
    "Return to the last verified release",
    "it stutters",
    "rollback",
    { reason: "it stutters" },
    "gw-00017 goes back.",
  ],
  ["Revoke", "Revoke gw-00017", "stolen", "revoke", { revoked: true, reason: "stolen" }, "gw-00017 is revoked."],
]) {
  test(`unit: ${button}`, async () => {
    await signIn("#/units/gw-00017");
    await page.click(button, ".actions button");
    await confirm(title, reason);
    await page.sees(done);
    assert.deepEqual(lastCall(), { path: `/v1/units/gw-00017/${path}`, body });
  });
}

test("unit: Release and Reinstate in place of Hold and Revoke; one plane only may go back", async () => {
  server.answers["GET /v1/units/*"] = unitDetail("gw-00017", { held: "on the bench" });
  await signIn("#/units/gw-00017");
  await page.sees("on the bench");
  await page.click("Release", ".actions button");
  await confirm("Release gw-00017", "done");
  await page.sees("gw-00017 gets updates again.");
  assert.deepEqual(lastCall().body, { held: false, reason: "done" });
  await page.click("Go back", ".actions button");
  await page.fill("dialog[open] select[name=planes]", "model");
  await confirm("Return to the last verified release", "the model only");
  await page.sees("gw-00017 goes back.");
  assert.deepEqual(lastCall().body, { reason: "the model only", planes: ["model"] });
  server.answers["GET /v1/units/*"] = unitDetail("gw-00017", { revoked: true });
  server.tell("unit/gw-00017");
  await page.click("Reinstate");
  await confirm("Reinstate gw-00017", "found");
  await page.sees("gw-00017 is reinstated.");
  assert.deepEqual(lastCall().body, { revoked: false, reason: "found" });
});

test("unit: a verification storm is red, and Re-enable ends it", async () => {
  server.answers["GET /v1/units/*"] = unitDetail("gw-00017", {
    storm: "gw-2026.10 failed its diagnostics too: camera",
  });
  await signIn("#/units/gw-00017");
  await page.sees("Verification storm.");
  await picture("unit-storm");
  await page.click("Re-enable");
  await confirm("Re-enable updates of this unit", "camera replaced");
  await page.sees("gw-00017 gets updates again.");
  assert.deepEqual(lastCall(), { path: "/v1/units/gw-00017/hold", body: { held: false, reason: "camera replaced" } });
});

test("unit: one that never said anything, and one that is not there", async () => {
  server.answers["GET /v1/units/new"] = {
    unit: unit("new", {
      online: false,
      last_seen: null,
      planes: [],
      desired_sequence: "0",
      published_sequence: "0",
      reported_sequence: "0",
      rollout: "0",
    }),
    reported: null,
    attempts: [],
    events: [],
    runs: [],
  };
  server.answers["GET /v1/units/ghost"] = new ApiFault(404, "NOT_FOUND", 'unit "ghost" is not registered');
  await signIn("#/units/new");
  for (const text of [
    "heard never",
    "It was not ordered to anything",
    "No rollout has asked it",
    "It has said nothing yet",
  ])
    await page.sees(text);
  assert.match(await page.disabled("Go back"), /nothing to go back to/);
  await picture("unit-new");
  await page.go("#/units/ghost");
  await page.sees('unit "ghost" is not registered');
});
