// Signing in and out, and what becomes of a session that ends. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiFault, kToken } from "./stand_in.mjs";
import { newPage, page, picture, server, signIn, useTls } from "./states.mjs";

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
  await newPage();
  await page.open(server.url);
  await page.fill("input[name=token]", kToken);
  await page.evaluate(() => document.querySelector("input[type=checkbox]").click());
  await page.click("Sign in");
  await page.sees("100,000 units");
  assert.equal(await page.evaluate(() => localStorage.getItem("tandem.token")), kToken);
});

test("wrong tokens are told apart: mistyped, and unknown here", async () => {
  await newPage();
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
  await newPage();
  await page.open(server.url);
  await page.has("input[name=token]");
  assert.deepEqual(
    page.requests.filter((url) => url.includes("/v1/")),
    [],
  );
});

test("too many failed logins: said where the token is asked for, and nothing is asked again by itself", async () => {
  await newPage();
  await page.open(server.url);
  server.refusal = new ApiFault(
    429,
    "RESOURCE_EXHAUSTED",
    "too many failed logins from this address; try again in a minute",
  );
  await page.fill("input[name=token]", "tnd_other");
  await page.click("Sign in");
  await page.sees("too many failed logins from this address; try again in a minute");
  await page.has("input[name=token]");
});

test("a stream that is refused ends the session: no login fails twice", async () => {
  await signIn();
  await page.sees("98,231 of 100,000");
  server.refusal = new ApiFault(401, "UNAUTHENTICATED", "a valid token is needed");
  server.hangUp();
  await page.sees("no longer takes your token");
  const asked = page.requests.length;
  await new Promise((done) => setTimeout(done, 1500));
  assert.equal(page.requests.length, asked);
});

test("over TLS a client certificate that is known is enough: no token is asked for", async () => {
  await useTls();
  server.knowsCaller = true;
  await page.open(server.url);
  await page.sees("100,000 units");
  assert.equal(
    await page.evaluate(() => [...document.querySelectorAll("button")].some((each) => each.innerText === "Sign out")),
    false,
  );
});

test("over TLS without a certificate a token is asked for, and only one login fails", async () => {
  await useTls();
  for (let i = 0; i < 2; ++i) {
    await page.open(server.url);
    await page.has("input[name=token]");
  }
  assert.equal(page.requests.filter((url) => url.includes("/v1/")).length, 1);
  await page.fill("input[name=token]", kToken);
  await page.click("Sign in");
  await page.sees("100,000 units");
});

test("a token that is revoked while the page is open leads back to signing in, at the same place", async () => {
  await signIn("#/audit");
  await page.sees("rollout.paused");
  server.answers["GET /v1/audit"] = new ApiFault(401, "UNAUTHENTICATED", "a valid token is needed");
  server.tell("audit");
  await page.sees("no longer takes your token");
  assert.match(await page.evaluate(() => location.hash), /audit/);
});
