// Releases, and the grid of their verification. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { release, verification } from "./examples.mjs";
import { confirm, lastCall, page, picture, server, signIn } from "./states.mjs";

test("releases: verification, freeze, and those that are not listed", async () => {
  server.answers["GET /v1/releases"].releases.push(release("gw-2027.1", { listed: false }));
  await signIn("#/releases");
  for (const text of ["verifying", "taken back by itself", "frozen", "not in the release list", "rootfs 2026.11"])
    await page.sees(text);
  await picture("releases");
});

test("releases: none", async () => {
  server.answers["GET /v1/releases"] = { releases: [], next_page_token: "" };
  await signIn("#/releases");
  await page.sees("No release is imported yet");
});

test("release: components, needs, signers, diagnostics; Freeze, and Let it go for release managers only", async () => {
  await signIn("#/releases/gw-2026.11");
  for (const text of [
    "bootloader >= 2024.4",
    "700 MiB",
    "config, then model, then firmware",
    "One frame through the detector",
    "only when asked for",
    "120 s",
  ])
    await page.sees(text);
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
  await signIn("#/releases/gw-2026.11");
  assert.match(await page.disabled("Let it go"), /needs the role release manager/);
});

test("verification: a grid of units and diagnostics with signs, deadlines that count down, and late results", async () => {
  await signIn("#/verification");
  for (const text of [
    "inference",
    "camera",
    "disk",
    "timeout",
    "late",
    "superseded",
    "412 verified, 34 verifying, 2 failed",
  ])
    await page.sees(text);
  const first = await page.until(() => document.querySelector(".cell time")?.innerText);
  assert.match(first, /^2:\d\d$/);
  await page.until((before) => document.querySelector(".cell time").innerText < before, first);
  await picture("verification");
});

test("verification: deadlines count by the controller's clock, however wrong this computer's is", async () => {
  server.clockAhead = 60;
  await signIn("#/verification");
  await page.until(() => /^1:\d\d$/.test(document.querySelector(".cell time")?.innerText ?? ""));
});

test("verification: a result opens with its measurements and its log", async () => {
  await signIn("#/verification");
  await page.click("gw-00017, inference: failed", "button");
  for (const text of [
    "412 ms, at most 80 ms",
    "latency",
    "outside",
    "within",
    "falling back to CPU",
    "5d1c0f9a2b7e4c38",
    "the update",
  ])
    await page.sees(text);
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

test("verification: a result that arrives while one looks is shown, though nothing tells of it", async () => {
  await signIn("#/verification");
  await page.sees("gw-00018");
  const next = verification();
  next.units[2].runs[0].state = "passed";
  next.units[2].runs[2].state = "passed";
  server.answers["GET /v1/verification"] = next;
  await page.until(() => ![...document.querySelectorAll(".cell")].some((each) => each.querySelector("time")));
});
