// Errors, answers that take long or never come, hostile texts, and more of everything than anybody has. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { overview, rollout, unit, unitDetail } from "./examples.mjs";
import { ApiFault } from "./stand_in.mjs";
import { endServer, fleetIs, kPhone, page, picture, server, signIn } from "./states.mjs";

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
  const comeBack = await endServer();
  await page.sees("Not live:");
  await page.sees("98,231 of 100,000");
  await picture("gone");
  await comeBack({ "GET /v1/fleet": overview({ online: "12345" }) });
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
    units: "10000000000",
    online: "9999999999",
    versions: Array.from({ length: 60 }, (_, i) => ({
      plane: "firmware",
      release_id: `${long}-${i}`,
      release_digest: "",
      units: String(1000 * (60 - i)),
    })),
    active_rollouts: Array.from({ length: 50 }, (_, i) =>
      rollout(i + 1, { spec: { ...rollout(1).spec, name: `${long} ${i}` } }),
    ),
  });
  server.answers["GET /v1/units"] = {
    units: Array.from({ length: 1000 }, (_, i) => unit(`${long}-${i}`)),
    next_page_token: "n",
  };
  for (const [name, options] of [
    ["desk", {}],
    ["phone", kPhone],
  ]) {
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
