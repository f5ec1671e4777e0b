// Stops, keys, audit and plan. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { audit, keys, plan } from "./examples.mjs";
import { ApiFault } from "./stand_in.mjs";
import { confirm, lastCall, page, picture, server, signIn } from "./states.mjs";

test("stops: add one, lift one, none", async () => {
  await signIn("#/stops");
  await page.sees("broker maintenance");
  await page.click("Add a stop");
  await page.fill("dialog[open] input[name=target]", 'customer == "acme"');
  await confirm("Stop new orders", "their audit week");
  await page.sees("The stop is in force.");
  assert.deepEqual(lastCall(), {
    path: "/v1/stops",
    body: { target: 'customer == "acme"', reason: "their audit week" },
  });
  await page.click("Lift");
  await confirm("Lift stop 2");
  await page.sees("Stop 2 is lifted.");
  assert.equal(lastCall().path, "/v1/stops/2/lift");
  server.answers["GET /v1/stops"] = { stops: [] };
  server.tell("stop/2");
  await page.sees("No stop is in force");
});

test("keys: documents, warnings, and a key that is not trusted", async () => {
  server.answers["GET /v1/keys"] = keys({
    warnings: ["this controller's assignment key is not in key set 3"],
    signing_key_trusted: false,
  });
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
    return {
      entries: [audit(1), audit(2, { event: "unit.release.auto_rolled_back", severity: 3 })],
      next_page_token: "older",
    };
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
  for (const text of [
    "gw-2026.11 to 1,000 units",
    "4 h",
    "4.5 %",
    "cannot promote by the statistical gate",
    "needs bootloader >= 2024.4",
    "gw-00999",
  ])
    await page.sees(text);
  const { spec } = lastCall().body;
  assert.equal(spec.target, 'region == "eu"');
  assert.equal(spec.score_age, "1200s");
  assert.deepEqual(
    spec.rings.map((ring) => ring.percent),
    [5, 10, 100],
  );
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
  server.answers["POST /v1/plan"] = new ApiFault(400, "INVALID_ARGUMENT", "spec.rings[0].percent: 0 to 100, not 500");
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
  await signIn("#/plan");
  assert.match(await page.disabled("Plan"), /needs the role operator/);
});
