// The fleet, and every banner with its button. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ahead, guards, keys, takenBack } from "./examples.mjs";
import { confirm, fleetIs, kPhone, lastCall, page, picture, server, signIn } from "./states.mjs";

test("fleet: numbers, versions of each plane, rollouts and stops", async () => {
  await signIn();
  for (const text of [
    "98.2 %",
    "98,231 of 100,000",
    "214",
    "gw-2026.10",
    "96,120",
    "detector-7.1",
    "No unit runs a known release here",
    "globex",
    "mqtt://broker:1883",
    "❄",
  ])
    await page.sees(text);
  await picture("fleet");
});

test("fleet: empty says what to do next", async () => {
  fleetIs({
    units: "0",
    online: "0",
    stale: "0",
    revoked: "0",
    held_units: "0",
    versions: [],
    active_rollouts: [],
    stops: [],
  });
  await signIn();
  await page.sees("No unit is registered yet");
  await page.sees("tandem-fleetctl units register");
  await picture("fleet-empty");
});

test("what changes is shown without being asked for", async () => {
  await signIn();
  await page.sees("98,231 of 100,000");
  fleetIs({ online: "97000" });
  server.tell("fleet");
  await page.sees("97,000 of 100,000");
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

test("banner: the streak of the storm guard", async () => {
  fleetIs({ guards: guards({ streak: 2, streak_releases: ["gw-2026.12", "gw-2026.13"] }) });
  await signIn();
  await page.sees("streak 2 of 3");
  await page.sees("gw-2026.12, gw-2026.13 failed in a row");
});

test("banner: automatic rollback is off, and Re-enable switches it on", async () => {
  fleetIs({
    guards: guards({ auto_rollback: false, streak: 3, streak_releases: ["a", "b", "c"], disabled_until: ahead(86000) }),
  });
  await signIn("#/units");
  await page.sees("Automatic rollback is off until");
  await picture("banner-storm-guard");
  await page.click("Re-enable");
  await confirm("Re-enable automatic rollback", "the camera driver is mended");
  fleetIs({});
  await page.sees("Automatic rollback is on.");
  assert.deepEqual(lastCall(), {
    path: "/v1/guards/auto-rollback",
    body: { on: true, reason: "the camera driver is mended" },
  });
  await page.seesNot("is off until");
});

test("automatic rollback is switched off by a button", async () => {
  await signIn();
  await page.click("Switch off");
  await confirm("Switch automatic rollback off", "the lab does it by hand");
  await page.sees("Automatic rollback is off.");
  assert.deepEqual(lastCall().body, { on: false, reason: "the lab does it by hand" });
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
  fleetIs({
    broker: { connected: false, endpoint: "mqtt://broker:1883", error: "connection refused" },
    unpublished: "17",
  });
  await signIn();
  await page.sees("The broker is away.");
  await page.sees("17 units wait for their orders");
});

test("banner: keys that expire", async () => {
  server.answers["GET /v1/keys"] = keys({
    warnings: ["key set 3 expires in 6 days", "the release list expires in 9 days"],
  });
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
    guards: guards({
      auto_rollback: false,
      streak: 3,
      streak_releases: ["gw-2026.12", "gw-2026.13", "gw-2026.14"],
      disabled_until: ahead(86000),
    }),
    storm_units: "2",
    failed_releases: [takenBack()],
    broker: { connected: false, endpoint: "mqtt://broker:1883", error: "connection refused" },
  });
  server.answers["GET /v1/keys"] = keys({ warnings: ["key set 3 expires in 6 days"] });
  for (const [name, options] of [
    ["desk", {}],
    ["dark", { dark: true }],
    ["phone", kPhone],
  ]) {
    await signIn("#/", options);
    await page.sees("Automatic rollback is off");
    await page.sees("key set 3");
    assert.ok(await page.fits(), name);
    await picture(`banners-${name}`);
  }
  assert.equal(
    await page.evaluate(() => [...document.querySelectorAll(".banner")].every((one) => one.hasAttribute("aria-live"))),
    true,
  );
});
