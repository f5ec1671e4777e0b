// What the tests of states share: one Chromium for a file, and for each test a stand-in and a page that is signed in.
//
//   test("…", async () => {
//     fleetIs({ storm_units: "2" });
//     await signIn("#/units");
//     await page.sees("2 units failed again");
//   });
//
// After each test the page must not have complained: no exception, nothing refused by its security policy.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, beforeEach } from "node:test";
import { Browser } from "./browser.mjs";
import { overview } from "./examples.mjs";
import { StandIn, kToken } from "./stand_in.mjs";

export const kPhone = { width: 390, height: 844 };
export let server;
export let page;
let browser;

before(async () => void (browser = await Browser.launch()));
after(() => browser.close());
beforeEach(async () => void (server = await StandIn.start()));
afterEach(async () => {
  await closePage();
  await server.close();
});

async function closePage() {
  if (!page) return;
  assert.deepEqual(page.complaints, [], "what the page complained of");
  await page.close();
  page = undefined;
}

// In place of the one that is open, if any; with a storage of its own.
export async function newPage(options = {}) {
  await closePage();
  page = await browser.newPage(options);
}

export async function signIn(hash = "#/", options = {}) {
  await newPage(options);
  await page.open(server.url + hash);
  await page.fill("input[name=token]", kToken);
  await page.click("Sign in");
  await page.has("nav#places");
}

// The same stand-in over TLS, whose certificate nobody knows.
export async function useTls() {
  await server.close();
  server = await StandIn.start({ tls: true });
  await newPage();
  await page.send("Security.setIgnoreCertificateErrors", { ignore: true });
}

// The controller dies, and `next` comes in its place when its answer is taken.
export async function endServer() {
  const { port } = server;
  await server.close();
  return async (answers) => {
    server = new StandIn();
    Object.assign(server.answers, answers);
    await server.listen(port);
  };
}

export const picture = (name, whole) =>
  page.screenshot(join(process.env.TANDEM_PAGE_OUTPUT, "states", `${name}.png`), { whole });
export const fleetIs = (more) => void (server.answers["GET /v1/fleet"] = overview(more));
export const lastCall = () => server.calls.at(-1);

// Fills the reason when the dialog asks for one, and confirms.
export async function confirm(button, reason) {
  await page.has("dialog[open]");
  if (reason) await page.fill("dialog[open] input[name=reason]", reason);
  await page.click(button, "dialog[open] button[type=submit]");
}
