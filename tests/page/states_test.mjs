// The real page in a real Chromium, against a stand-in for the controller: every button, every banner, and the states that
// a real fleet seldom has. page_test.mjs shows that it works with a real one.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Browser } from "./browser.mjs";
import { ago, ahead, audit, guards, keys, overview, plan, release, rollout, takenBack, unit, unitDetail, verification } from "./examples.mjs";
import { ApiFault, StandIn, kToken } from "./stand_in.mjs";

const kOutput = join(process.env.TANDEM_PAGE_OUTPUT, "states");
const kPhone = { width: 390, height: 844 };

let browser, server, page;
before(async () => void (browser = await Browser.launch()));
after(() => browser.close());
beforeEach(async () => void (server = await StandIn.start()));
afterEach(async () => {
  if (page) {
    assert.deepEqual(page.complaints, [], "what the page complained of");
    await page.close();
  }
  page = undefined;
  await server.close();
});

async function signIn(hash = "#/", options = {}) {
  page = await browser.newPage(options);
  await page.open(server.url + hash);
  await page.fill("input[name=token]", kToken);
  await page.click("Sign in");
  await page.has("nav#places");
  return page;
}
const picture = (name, whole) => page.screenshot(join(kOutput, `${name}.png`), { whole });
const fleetIs = (more) => void (server.answers["GET /v1/fleet"] = overview(more));
// Fills the reason when the dialog asks for one, and confirms.
async function confirm(button, reason) {
  await page.has("dialog[open]");
  if (reason) await page.fill("dialog[open] input[name=reason]", reason);
  await page.click(button, "dialog[open] button[type=submit]");
}
const lastCall = () => server.calls.at(-1);

// --- signing in ---

test("a token is asked for, kept for the tab, and forgotten at signing out", async () => {
  await signIn();
  await page.sees("100,000 units");
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 1);
  assert.equal(await page.evaluate(() => sessionStorage.getItem("tandem.token")), kToken);
  await page.open(server.url);
  await page.sees("100,000 units");
  await page.click("Sign out");
  await page.has("input[name=token]");
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
});

test("a remembered token outlives the tab", async () => {
  page = await browser.newPage();
  await page.open(server.url);
  await page.fill("input[name=token]", kToken);
  await page.evaluate(() => document.querySelector("input[type=checkbox]").click());
  await page.click("Sign in");
  await page.sees("100,000 units");
  assert.equal(await page.evaluate(() => localStorage.getItem("tandem.token")), kToken);
});

test("wrong tokens are told apart: mistyped, and unknown here", async () => {
  page = await browser.newPage();
  await page.open(server.url);
  await page.fill("input[name=token]", "hunter2");
  await page.click("Sign in");
  await page.sees('A token begins with "tnd_"');
  await page.fill("input[name=token]", "tnd_other");
  await page.click("Sign in");
  await page.sees("That token is not good here");
  await picture("sign-in-refused");
});

test("without TLS nobody is asked for a certificate, so no failed login is counted", async () => {
  page = await browser.newPage();
  await page.open(server.url);
  await page.has("input[name=token]");
  assert.deepEqual(page.requests.filter((url) => url.includes("/v1/")), []);
});

test("a token that is revoked while the page is open leads back to signing in, at the same place", async () => {
  await signIn("#/audit");
  await page.sees("rollout.paused");
  server.answers["GET /v1/audit"] = new ApiFault(401, "UNAUTHENTICATED", "a valid token is needed");
  server.tell("audit");
  await page.sees("no longer takes your token");
  assert.match(await page.evaluate(() => location.hash), /audit/);
});

// --- fleet ---

test("fleet: numbers, versions of each plane, rollouts and stops", async () => {
  await signIn();
  for (const text of ["98.2 %", "98,231 of 100,000", "214", "gw-2026.10", "96,120", "detector-7.1", "No unit runs a known release here", "globex", "mqtt://broker:1883"]) await page.sees(text);
  await picture("fleet");
});

test("fleet: empty says what to do next", async () => {
  fleetIs({ units: "0", online: "0", stale: "0", revoked: "0", held_units: "0", versions: [], active_rollouts: [], stops: [] });
  await signIn();
  await page.sees("No unit is registered yet");
  await page.sees("tandem-fleetctl units register");
  await picture("fleet-empty");
});

test("what changes is shown within a second", async () => {
  await signIn();
  await page.sees("98,231 of 100,000");
  fleetIs({ online: "97000" });
  const told = performance.now();
  server.tell("fleet");
  await page.sees("97,000 of 100,000");
  assert.ok(performance.now() - told < 1000, `${performance.now() - told} ms`);
});

test("many changes at once are asked for a few times, not each", async () => {
  await signIn();
  await page.sees("98,231 of 100,000");
  const before = page.requests.filter((url) => url.endsWith("/v1/fleet")).length;
  for (let i = 0; i < 40; ++i) {
    server.tell("fleet", "audit", "rollout/7");
    await new Promise((done) => setTimeout(done, 25));
  }
  const asked = page.requests.filter((url) => url.endsWith("/v1/fleet")).length - before;
  // The frame and the view ask, each at most every 400 ms.
  assert.ok(asked >= 2 && asked <= 10, `${asked} times`);
});

// --- banners ---

test("banner: the streak of the storm guard", async () => {
  fleetIs({ guards: guards({ streak: 2, streak_releases: ["gw-2026.12", "gw-2026.13"] }) });
  await signIn();
  await page.sees("streak 2 of 3");
  await page.sees("gw-2026.12, gw-2026.13 failed in a row");
});

test("banner: automatic rollback is off, and Re-enable switches it on", async () => {
  fleetIs({ guards: guards({ auto_rollback: false, streak: 3, streak_releases: ["a", "b", "c"], disabled_until: ahead(86000) }) });
  await signIn("#/units");
  await page.sees("Automatic rollback is off until");
  await picture("banner-storm-guard");
  await page.click("Re-enable");
  await confirm("Re-enable automatic rollback", "the camera driver is mended");
  fleetIs({});
  await page.sees("Automatic rollback is on.");
  assert.deepEqual(lastCall(), { path: "/v1/guards/auto-rollback", body: { on: true, reason: "the camera driver is mended" } });
  await page.seesNot("is off until");
});

test("banner: switched off by an operator", async () => {
  fleetIs({ guards: guards({ auto_rollback: false, switched_on: false }) });
  await signIn();
  await page.sees("Automatic rollback is switched off");
});

test("banner: units in a storm, with the way to them", async () => {
  fleetIs({ storm_units: "2" });
  await signIn();
  await page.sees("2 units failed again after the way back");
  await page.click("Show them");
  await page.until(() => location.hash.includes("presence=storm"));
});

test("banner: a release that was taken back by itself, on the fleet and on the release", async () => {
  fleetIs({ failed_releases: [takenBack()] });
  await signIn();
  await page.sees("Release gw-2026.12 was taken back by itself");
  await page.sees("inference: 412 ms, at most 80 ms");
  await picture("banner-taken-back");
  server.answers["GET /v1/releases/*"] = takenBack();
  await page.click("Show it");
  await page.sees("This release was taken back by itself");
  await picture("release-taken-back", true);
});

test("banner: the broker is away", async () => {
  fleetIs({ broker: { connected: false, endpoint: "mqtt://broker:1883", error: "connection refused" }, unpublished: "17" });
  await signIn();
  await page.sees("The broker is away.");
  await page.sees("17 units wait for their orders");
});

test("banner: keys that expire", async () => {
  server.answers["GET /v1/keys"] = keys({ warnings: ["key set 3 expires in 6 days", "the release list expires in 9 days"] });
  await signIn();
  await page.sees("key set 3 expires in 6 days");
  await page.sees("and 1 more");
  await page.click("Show them");
  await page.sees("Keys of the key set");
});

test("banner: not live, with the reason; live again, what was missed is asked for", async () => {
  await signIn();
  await page.sees("98,231 of 100,000");
  await page.sees("Live");
  server.deaf = true;
  server.hangUp();
  await page.sees("Not live:");
  await page.sees("64 event streams");
  await picture("banner-not-live");
  fleetIs({ online: "90000" });
  server.deaf = false;
  await page.click("Try now");
  await page.seesNot("Not live:");
  await page.sees("90,000 of 100,000");
});

test("all banners at once still leave the view readable", async () => {
  fleetIs({
    guards: guards({ auto_rollback: false, streak: 3, streak_releases: ["gw-2026.12", "gw-2026.13", "gw-2026.14"], disabled_until: ahead(86000) }),
    storm_units: "2", failed_releases: [takenBack()], broker: { connected: false, endpoint: "mqtt://broker:1883", error: "connection refused" },
  });
  server.answers["GET /v1/keys"] = keys({ warnings: ["key set 3 expires in 6 days"] });
  for (const [name, options] of [["desk", {}], ["dark", { dark: true }], ["phone", kPhone]]) {
    if (page) await page.close();
    await signIn("#/", options);
    await page.sees("Automatic rollback is off");
    await page.sees("key set 3");
    assert.ok(await page.fits(), name);
    await picture(`banners-${name}`);
  }
  assert.equal(await page.evaluate(() => [...document.querySelectorAll(".banner")].every((one) => one.hasAttribute("aria-live"))), true);
});

// --- rollouts ---

test("rollouts: release, ring, states, gate and reason in a row; Enter opens it", async () => {
  await signIn("#/rollouts");
  for (const text of ["gateway 2026.11 to Europe", "2/3", "412 verified", "hold", "428 of 950", "aborted", "gw-00017 failed"]) await page.sees(text);
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
  for (const text of ["422 passed", "6 failed", "more clean passes promote", "1 % and 2 %", "2 of 210", "0.41", "gw-00017", "taken back by attempt 44"]) await page.sees(text);
  await page.has("svg.chart[aria-label*='aborts at 2.94']");
  await picture("rollout", true);
  await page.click("canary", ".ring-head .ring-name");
  await page.until(() => [...document.querySelectorAll(".ring.open .ring-name")].map((each) => each.innerText).join() === "canary");
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
  for (const name of ["Pause", "Promote", "Retry", "Abort"]) assert.match(await page.disabled(name), /it is complete/, name);
  server.role = "VIEWER";
  server.answers["GET /v1/rollouts/7"] = rollout(7);
  await page.close();
  await signIn("#/rollouts/7");
  for (const name of ["Pause", "Promote", "Retry", "Abort"]) assert.match(await page.disabled(name), /needs the role operator; you are viewer/, name);
});

test("a needed reason is needed; Esc closes; an answer that says no stays to be read", async () => {
  await signIn("#/rollouts/7");
  await page.click("Abort", ".actions button");
  await confirm("Abort the rollout");
  assert.equal(server.calls.length, 0);
  await page.press("Escape");
  await page.until(() => !document.querySelector("dialog[open]"));
  server.answers["POST /v1/rollouts/7/change"] = new ApiFault(409, "ABORTED", "rollout 7 is at revision 13, not 12: somebody else changed it");
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

// --- releases ---

test("releases: verification, freeze, and those that are not listed", async () => {
  server.answers["GET /v1/releases"].releases.push(release("gw-2027.1", { listed: false }));
  await signIn("#/releases");
  for (const text of ["verifying", "taken back by itself", "frozen", "not in the release list", "rootfs 2026.11"]) await page.sees(text);
  await picture("releases");
});

test("releases: none", async () => {
  server.answers["GET /v1/releases"] = { releases: [], next_page_token: "" };
  await signIn("#/releases");
  await page.sees("No release is imported yet");
});

test("release: components, needs, signers, diagnostics; Freeze, and Let it go for release managers only", async () => {
  await signIn("#/releases/gw-2026.11");
  for (const text of ["bootloader >= 2024.4", "700 MiB", "config, then model, then firmware", "One frame through the detector", "only when asked for", "120 s"]) await page.sees(text);
  await picture("release", true);
  await page.click("Freeze");
  await confirm("Freeze gw-2026.11", "CVE-2026-1234");
  await page.sees("gw-2026.11 is frozen.");
  assert.deepEqual(lastCall().body, { frozen: true, reason: "CVE-2026-1234" });
  server.answers["GET /v1/releases/*"] = release("gw-2026.11", { frozen: true, frozen_reason: "CVE-2026-1234" });
  server.tell("release/gw-2026.11");
  await page.click("Let it go");
  await confirm("Let gw-2026.11 go", "mended");
  await page.sees("may be assigned again");
  server.role = "OPERATOR";
  await page.close();
  await signIn("#/releases/gw-2026.11");
  assert.match(await page.disabled("Let it go"), /needs the role release manager/);
});

// --- verification ---

test("verification: a grid of units and diagnostics with signs, deadlines that count down, and late results", async () => {
  await signIn("#/verification");
  for (const text of ["inference", "camera", "disk", "timeout", "late", "superseded", "412 verified, 34 verifying, 2 failed"]) await page.sees(text);
  const first = await page.until(() => document.querySelector(".cell time")?.innerText);
  assert.match(first, /^2:\d\d$/);
  await page.until((before) => document.querySelector(".cell time").innerText < before, first);
  await picture("verification");
});

test("verification: a result opens with its measurements and its log", async () => {
  await signIn("#/verification");
  await page.click("gw-00017, inference: failed", "button");
  for (const text of ["412 ms, at most 80 ms", "latency", "outside", "within", "falling back to CPU", "5d1c0f9a2b7e4c38", "the update"]) await page.sees(text);
  await picture("verification-result");
  await page.press("Escape");
  await page.click("gw-00021, inference: timeout", "button");
  await page.sees("it decided nothing");
});

test("verification: by state; nothing in it; nothing at all", async () => {
  const asked = [];
  server.answers["GET /v1/verification"] = ({ query }) => {
    asked.push(query.get("state"));
    return query.get("state") ? { ...verification(), units: [] } : verification();
  };
  await signIn("#/verification");
  await page.sees("gw-00017");
  await page.fill("select[name=state]", "verification_storm");
  await page.sees("No unit is verification storm");
  assert.equal(asked.at(-1), "verification_storm");
  await page.click("Show all");
  await page.sees("gw-00017");
  server.answers["GET /v1/verification"] = { diagnostics: [], units: [], next_page_token: "", release: null };
  server.tell("*");
  await page.sees("Nothing to verify yet");
});

test("verification: a result that arrives while one looks is shown within a second, though nothing tells of it", async () => {
  await signIn("#/verification");
  await page.sees("gw-00018");
  const next = verification();
  next.units[2].runs[0].state = "passed";
  next.units[2].runs[2].state = "passed";
  server.answers["GET /v1/verification"] = next;
  const changed = performance.now();
  await page.until(() => ![...document.querySelectorAll(".cell")].some((each) => each.querySelector("time")));
  assert.ok(performance.now() - changed < 1500, `${performance.now() - changed} ms`);
});

// --- units ---

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
  await page.until(() => location.hash.includes("presence=offline"));
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
    query.get("filter") ? new ApiFault(400, "INVALID_ARGUMENT", 'filter: "regon" is no attribute; did you mean region?') : { units: [], next_page_token: "" };
  await signIn("#/units?filter=regon%20%3D%3D%201");
  await page.sees("did you mean region?");
  await picture("units-wrong-filter");
  await page.click("Clear");
  await page.sees("No unit is registered yet");
  await page.go("#/units?presence=held");
  await page.sees("No unit is like that");
  await page.click("Show all units");
  await page.sees("No unit is registered yet");
  server.answers["GET /v1/units"] = { units: [], next_page_token: "more" };
  await page.go("#/units?presence=stale");
  await page.sees("None among the first ten thousand");
});

test("unit: ordered against reported, slots, boots left, attempts with their way back, runs, events", async () => {
  await signIn("#/units/gw-00017");
  for (const text of ["not taken yet", "differs", "as ordered", "healthy for 12 s", "taken back", "by attempt 44", "Boots left", "412 MiB of 700 MiB", "track=beta"]) await page.sees(text);
  await picture("unit", true);
  await page.click("gw-00017, inference: failed", "button");
  await page.sees("falling back to CPU");
});

for (const [button, title, reason, path, body, done] of [
  ["Run diagnostics", "Run diagnostics", "", "diagnostics", {}, "Diagnostics run on gw-00017."],
  ["Hold", "Hold gw-00017", "on the bench", "hold", { held: true, reason: "on the bench" }, "gw-00017 is held."],
  ["Go back", "Return to the last verified release", "it stutters", "rollback", { reason: "it stutters" }, "gw-00017 goes back."],
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
  server.answers["GET /v1/units/*"] = unitDetail("gw-00017", { storm: "gw-2026.10 failed its diagnostics too: camera" });
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
    unit: unit("new", { online: false, last_seen: null, planes: [], desired_sequence: "0", published_sequence: "0", reported_sequence: "0", rollout: "0" }),
    reported: null, attempts: [], events: [], runs: [],
  };
  server.answers["GET /v1/units/ghost"] = new ApiFault(404, "NOT_FOUND", 'unit "ghost" is not registered');
  await signIn("#/units/new");
  for (const text of ["heard never", "It was not ordered to anything", "No rollout has asked it", "It has said nothing yet"]) await page.sees(text);
  assert.match(await page.disabled("Go back"), /nothing to go back to/);
  await picture("unit-new");
  await page.go("#/units/ghost");
  await page.sees('unit "ghost" is not registered');
});

// --- stops, keys, audit, plan ---

test("stops: add one, lift one, none", async () => {
  await signIn("#/stops");
  await page.sees("broker maintenance");
  await page.click("Add a stop");
  await page.fill("dialog[open] input[name=target]", 'customer == "acme"');
  await confirm("Stop new orders", "their audit week");
  await page.sees("The stop is in force.");
  assert.deepEqual(lastCall(), { path: "/v1/stops", body: { target: 'customer == "acme"', reason: "their audit week" } });
  await page.click("Lift");
  await confirm("Lift stop 2");
  await page.sees("Stop 2 is lifted.");
  assert.equal(lastCall().path, "/v1/stops/2/lift");
  server.answers["GET /v1/stops"] = { stops: [] };
  server.tell("stop/2");
  await page.sees("No stop is in force");
});

test("keys: documents, warnings, and a key that is not trusted", async () => {
  server.answers["GET /v1/keys"] = keys({ warnings: ["this controller's assignment key is not in key set 3"], signing_key_trusted: false });
  await signIn("#/keys");
  await page.sees("units refuse its orders");
  await page.sees("version 14 with 9 releases");
  await picture("keys");
  server.answers["GET /v1/keys"] = keys({ key_set_version: "0", keys: [], warnings: [] });
  server.tell("keys");
  await page.sees("No key set is imported yet");
});

test("audit: what changed, by object, page by page, and the export", async () => {
  server.answers["GET /v1/audit"] = ({ query }) => {
    if (query.get("object") === "unit/x") return { entries: [], next_page_token: "" };
    if (query.get("page_token")) return { entries: [audit(9, { event: "stop.created" })], next_page_token: "" };
    return { entries: [audit(1), audit(2, { event: "unit.release.auto_rolled_back", severity: 3 })], next_page_token: "older" };
  };
  await signIn("#/audit");
  await page.sees("‼ unit.release.auto_rolled_back");
  await page.sees("lab");
  await picture("audit");
  await page.click("Next ›");
  await page.sees("stop.created");
  await page.click("Export");
  await page.sees("The audit log is saved");
  await page.fill("input[name=object]", "unit/x");
  await page.click("Filter");
  await page.sees("Nothing was done to unit/x");
  await page.click("Show all");
  await page.sees("rollout.paused");
  server.answers["GET /v1/audit/export"] = new ApiFault(503, "UNAVAILABLE", "the store does not answer");
  await page.click("Export");
  await page.sees("It was not saved: the store does not answer");
});

test("plan: the form, what it would do, and the start", async () => {
  await signIn("#/plan");
  await page.until(() => document.querySelector("select[name=release]").value !== "");
  await page.fill("input[name=name]", "gateway 2026.11 to Europe");
  await page.fill("input[name=target]", 'region == "eu"');
  await page.fill("input[name=score_age]", "20");
  await page.click("Add a ring");
  await page.click("Remove ring ring 4");
  await page.click("Plan", "form button");
  for (const text of ["gw-2026.11 to 1,000 units", "4 h", "4.5 %", "cannot promote by the statistical gate", "needs bootloader >= 2024.4", "gw-00999"]) await page.sees(text);
  const { spec } = lastCall().body;
  assert.equal(spec.target, 'region == "eu"');
  assert.equal(spec.score_age, "1200s");
  assert.deepEqual(spec.rings.map((ring) => ring.percent), [5, 10, 100]);
  await picture("plan", true);
  await page.fill("input[name=target]", 'region == "us"');
  assert.match(await page.disabled("Start"), /plan again/);
  await page.click("Plan", "form button");
  await page.until(() => !document.querySelector(".section-head .primary").disabled);
  await page.click("Start");
  await confirm("Start the rollout");
  await page.until(() => location.hash === "#/rollouts/8");
  assert.equal(lastCall().path, "/v1/rollouts");
  assert.equal(lastCall().body.spec.target, 'region == "us"');
});

test("plan: as JSON, wrong JSON, a plan that is refused, one that reaches nobody", async () => {
  await signIn("#/plan?release=abc");
  await page.click("JSON");
  assert.equal(JSON.parse(await page.evaluate(() => document.querySelector("textarea").value)).release, "abc");
  await page.fill("textarea", '{"name": "x", "release": "gw"');
  await page.click("Plan", "form button");
  await page.sees("This is no JSON");
  server.answers["POST /v1/plan"] = new ApiFault(400, "INVALID_ARGUMENT", 'spec.rings[0].percent: 0 to 100, not 500');
  await page.fill("textarea", '{"name": "x", "release": "gw", "rings": [{"name": "a", "percent": 500}]}');
  await page.click("Plan", "form button");
  await page.sees("spec.rings[0].percent: 0 to 100, not 500");
  server.answers["POST /v1/plan"] = plan({ units: "0", rings: [], warnings: ["no unit would get this release"] });
  await page.click("Plan", "form button");
  await page.sees("no unit would get this release");
  assert.match(await page.disabled("Start"), /no unit would get it/);
  await page.click("Form");
  await page.until(() => document.querySelector("input[name=name]")?.value === "x");
  server.role = "VIEWER";
  await page.close();
  await signIn("#/plan");
  assert.match(await page.disabled("Plan"), /needs the role operator/);
});

// --- errors, loading, huge ---

for (const [status, code, message, title] of [
  [403, "PERMISSION_DENIED", "ListAudit needs the role operator; token:vera is viewer", "You may not see this"],
  [503, "UNAVAILABLE", "the store does not answer; try again", "The store does not answer"],
  [429, "RESOURCE_EXHAUSTED", "too many failed logins from this address", "Too much at a time"],
  [405, "UNIMPLEMENTED", "not yet", "This controller cannot do this"],
  [500, "INTERNAL", "the controller failed at this request", "Something went wrong"],
]) {
  test(`an error ${status} says what it is and what to do, and passes when tried again`, async () => {
    const good = server.answers["GET /v1/audit"];
    server.answers["GET /v1/audit"] = new ApiFault(status, code, message);
    await signIn("#/audit");
    await page.sees(title);
    await page.sees(message);
    await picture(`error-${status}`);
    server.answers["GET /v1/audit"] = good;
    await page.click("Try again");
    await page.sees("rollout.paused");
  });
}

test("an error over what was read before leaves it there, and says so", async () => {
  await signIn("#/audit");
  await page.sees("rollout.paused");
  server.answers["GET /v1/audit"] = new ApiFault(503, "UNAVAILABLE", "the store does not answer; try again");
  server.tell("audit");
  await page.sees("This is what was known before.");
  await page.sees("rollout.paused");
});

test("a controller that is gone: what was read stays, and comes alive again by itself", async () => {
  await signIn();
  await page.sees("98,231 of 100,000");
  const { port } = server;
  await server.close();
  await page.sees("Not live:");
  await page.sees("98,231 of 100,000");
  await picture("gone");
  server = new StandIn();
  fleetIs({ online: "12345" });
  await server.listen(port);
  await page.sees("12,345 of 100,000");
  await page.seesNot("Not live:");
});

test("a slow answer shows that it loads, then that it is slow, then what came", async () => {
  await signIn();
  server.delayMs = 5000;
  await page.go("#/stops");
  await page.has(".skeleton");
  await picture("loading");
  await page.sees("the controller is slow to answer");
  await page.sees("their audit week");
});

test("a view that does not exist, and an id with everything in it", async () => {
  await signIn("#/nonsense");
  await page.sees("There is no such view");
  const hostile = `<img src=x onerror=alert(1)>"'%/`;
  server.answers["GET /v1/units/*"] = unitDetail("x", { unit_id: hostile, region: "<script>alert(1)</script>" });
  await page.go(`#/units/${encodeURIComponent(hostile)}`);
  await page.sees("<script>alert(1)</script>");
  assert.equal(await page.evaluate(() => document.querySelector("main img, main script")), null);
});

test("huge: long names, ten thousand million units, a thousand rows in a page", async () => {
  const long = "a-very-long-name-that-nobody-should-have-chosen-but-somebody-did";
  fleetIs({
    units: "10000000000", online: "9999999999",
    versions: Array.from({ length: 60 }, (_, i) => ({ plane: "firmware", release_id: `${long}-${i}`, release_digest: "", units: String(1000 * (60 - i)) })),
    active_rollouts: Array.from({ length: 50 }, (_, i) => rollout(i + 1, { spec: { ...rollout(1).spec, name: `${long} ${i}` } })),
  });
  server.answers["GET /v1/units"] = { units: Array.from({ length: 1000 }, (_, i) => unit(`${long}-${i}`)), next_page_token: "n" };
  for (const [name, options] of [["desk", {}], ["phone", kPhone]]) {
    if (page) await page.close();
    await signIn("#/", options);
    await page.sees("9,999,999,999 of 10,000,000,000");
    await page.sees("99.9 %");
    await page.sees("56 others");
    assert.ok(await page.fits(), `fleet ${name}`);
    await picture(`huge-fleet-${name}`);
    await page.go("#/units");
    await page.sees(`${long}-999`);
    assert.ok(await page.fits(), `units ${name}`);
  }
});

// --- keyboard, themes, phone ---

test("keyboard: g goes, j and k move, / filters, ? helps, Esc leaves", async () => {
  await signIn();
  await page.sees("What runs");
  for (const [key, title] of [["r", "Rollouts"], ["e", "Releases"], ["v", "Verification"], ["u", "Units"], ["p", "Plan"], ["s", "Stops"], ["k", "Keys"], ["a", "Audit"], ["f", "Fleet"]]) {
    await page.press("g", key);
    await page.until((wanted) => document.querySelector("h1")?.innerText === wanted, title);
  }
  await page.press("g", "u");
  await page.sees("gw-00001");
  await page.press("j", "j", "k", "j");
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "gw-00001");
  await page.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.name), "filter");
  await page.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.value), "j");
  await page.press("Escape", "?");
  await page.sees("Next or previous row");
  await picture("keys-help");
  await page.press("Escape");
  await page.until(() => !document.querySelector("dialog[open]"));
});

test("themes: as the system has it, and as the switch says", async () => {
  await signIn("#/", { dark: true });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.click("Colours: Auto");
  const light = await background();
  assert.notEqual(light, dark);
  await page.click("Colours: Light");
  assert.equal(await background(), dark);
  await page.dark(false);
  assert.equal(await background(), dark);
  await page.click("Colours: Dark");
  assert.equal(await background(), light);
});

const kViews = ["#/", "#/rollouts", "#/rollouts/7", "#/releases", "#/releases/gw-2026.11", "#/verification", "#/units", "#/units/gw-00017", "#/plan", "#/stops", "#/keys", "#/audit"];

for (const [name, options] of [["light", {}], ["dark", { dark: true }], ["phone", kPhone], ["phone-dark", { ...kPhone, dark: true }]]) {
  test(`every view, ${name}: fits, is readable, and is named for those who cannot see`, async () => {
    await signIn("#/", options);
    for (const view of kViews) {
      await page.go(view);
      await page.until(() => document.querySelector("main h1") && !document.querySelector("main .loading"));
      assert.ok(await page.fits(), `${view} is wider than the window`);
      const faults = await page.evaluate(accessibilityFaults);
      assert.deepEqual(faults, [], view);
      await picture(`views/${name}${view.replace(/[#/]+/g, "-").replace(/-$/, "-fleet")}`, true);
    }
  });
}

// Runs in the page: controls without a name, and texts that are too faint against what is behind them (WCAG AA, 4.5).
function accessibilityFaults() {
  const faults = [];
  const shown = (element) => element.getClientRects().length > 0;
  for (const control of document.querySelectorAll("button, a[href], input, select, textarea")) {
    const name = control.innerText?.trim() || control.getAttribute("aria-label") || control.labels?.[0]?.innerText?.trim();
    if (shown(control) && !name) faults.push(`no name: ${control.outerHTML.slice(0, 120)}`);
  }
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] > 0.99) return color;
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !shown(element) || element.closest(":disabled, option, [aria-hidden]")) continue;
    const [light, dark] = [luminance(rgba(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    const key = `${element.className} ${contrast.toFixed(1)}`;
    if (contrast < 4.5 && !seen.has(key)) {
      seen.add(key);
      faults.push(`contrast ${contrast.toFixed(2)}: "${text.data.trim().slice(0, 40)}" ${element.className}`);
    }
  }
  return faults;
}
