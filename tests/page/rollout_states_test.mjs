// Rollouts and one rollout, with all their buttons. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { rollout } from "./examples.mjs";
import { ApiFault } from "./stand_in.mjs";
import { confirm, lastCall, page, picture, server, signIn } from "./states.mjs";

test("rollouts: release, ring, states, gate and reason in a row; Enter opens it", async () => {
  await signIn("#/rollouts");
  for (const text of [
    "gateway 2026.11 to Europe",
    "2/3",
    "412 verified",
    "hold",
    "428 of 950",
    "aborted",
    "gw-00017 failed",
  ])
    await page.sees(text);
  await picture("rollouts");
  await page.press("j", "Enter");
  await page.sees("How it was asked for");
  assert.match(await page.evaluate(() => location.hash), /#\/rollouts\/7$/);
});

test("rollouts: none", async () => {
  server.answers["GET /v1/rollouts"] = { rollouts: [], next_page_token: "" };
  await signIn("#/rollouts");
  await page.sees("There was no rollout yet");
  await page.click("Under way");
  await page.sees("Nothing is being rolled out");
});

test("rollout: rings, gate evidence as a chart, units and their attempts", async () => {
  await signIn("#/rollouts/7");
  for (const text of [
    "422 passed",
    "6 failed",
    "more clean passes promote",
    "1 % and 2 %",
    "2 of 210",
    "0.41",
    "gw-00017",
    "taken back by attempt 44",
  ])
    await page.sees(text);
  await page.has("svg.chart[aria-label*='aborts at 2.94']");
  await picture("rollout", true);
  await page.click("canary", ".ring-head .ring-name");
  await page.until(
    () => [...document.querySelectorAll(".ring.open .ring-name")].map((each) => each.innerText).join() === "canary",
  );
  await page.sees("50 scored, 50 needed");
});

test("rollout: units by state, page by page", async () => {
  const asked = [];
  server.answers["GET /v1/rollouts/7/attempts"] = ({ query }) => {
    asked.push(Object.fromEntries(query));
    return { attempts: [], next_page_token: query.get("page_token") ? "" : "second" };
  };
  await signIn("#/rollouts/7");
  await page.sees("This ring has no units yet");
  await page.fill("select[name=state]", "failed");
  await page.sees("No unit of this ring is failed");
  assert.deepEqual(asked.at(-1), { ring: "10 %", state: "failed", page_size: "50" });
});

for (const [button, title, reason, verb, done] of [
  ["Pause", "Pause the rollout", "lab", "pause", "Rollout 7 is paused."],
  ["Promote", "Promote the ring", "looked at by hand", "promote", "Rollout 7: promoted."],
  ["Retry", "Try failed units again", "", "retry", "Rollout 7: failed units are tried again."],
  ["Abort", "Abort the rollout", "wrong driver", "abort", "Rollout 7 is aborted."],
]) {
  test(`rollout: ${button} asks, and sends the verb with the revision that was seen`, async () => {
    await signIn("#/rollouts/7");
    await page.click(button, ".actions button");
    await confirm(title, reason);
    await page.sees(done);
    assert.deepEqual(lastCall(), { path: "/v1/rollouts/7/change", body: { verb, reason, revision: "12" } });
  });
}

test("rollout: Resume in place of Pause; Abort with what becomes of the units", async () => {
  server.answers["GET /v1/rollouts/7"] = rollout(7, { paused: true });
  await signIn("#/rollouts/7");
  await page.click("Resume");
  await confirm("Resume the rollout");
  await page.sees("Rollout 7 goes on.");
  assert.equal(lastCall().body.verb, "resume");
  await page.click("Abort", ".actions button");
  await page.fill("dialog[open] select[name=on_abort]", "KEEP_UPDATED");
  await confirm("Abort the rollout", "enough");
  await page.sees("Rollout 7 is aborted.");
  assert.equal(lastCall().body.on_abort, "KEEP_UPDATED");
});

test("rollout: one failed unit is tried again", async () => {
  await signIn("#/rollouts/7");
  await page.sees("gw-00017");
  await page.click("Retry", "table button");
  await confirm("Try gw-00017 again");
  await page.sees("gw-00017 is tried again.");
  assert.equal(lastCall().body.unit_id, "gw-00017");
});

test("rollout: buttons say why they cannot be used: the state, and the role", async () => {
  server.answers["GET /v1/rollouts/7"] = rollout(7, { state: "complete" });
  await signIn("#/rollouts/7");
  for (const name of ["Pause", "Promote", "Retry", "Abort"])
    assert.match(await page.disabled(name), /it is complete/, name);
  server.role = "VIEWER";
  server.answers["GET /v1/rollouts/7"] = rollout(7);
  await signIn("#/rollouts/7");
  for (const name of ["Pause", "Promote", "Retry", "Abort"])
    assert.match(await page.disabled(name), /needs the role operator; you are viewer/, name);
});

test("a needed reason is needed; Esc closes; an answer that says no stays to be read", async () => {
  await signIn("#/rollouts/7");
  await page.click("Abort", ".actions button");
  await confirm("Abort the rollout");
  assert.equal(server.calls.length, 0);
  await page.press("Escape");
  await page.until(() => !document.querySelector("dialog"));
  server.answers["POST /v1/rollouts/7/change"] = new ApiFault(
    409,
    "ABORTED",
    "rollout 7 is at revision 13, not 12: somebody else changed it",
  );
  await page.click("Abort", ".actions button");
  await confirm("Abort the rollout", "wrong driver");
  await page.sees("somebody else changed it. Look again, then decide.");
  await picture("dialog-refused");
});

test("a rollout that was aborted shows its way back", async () => {
  server.answers["GET /v1/rollouts/6"] = server.answers["GET /v1/rollouts"].rollouts[1];
  await signIn("#/rollouts/6");
  await page.sees("On the way back");
  await page.sees("gw-00017 failed");
  await picture("rollout-aborted", true);
});
