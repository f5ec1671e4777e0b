// Keyboard, themes, a phone: each view in each of them. The real page, against a stand-in for the controller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { kPhone, page, picture, signIn } from "./states.mjs";

test("keyboard: g goes, j and k move, / filters, ? helps, Esc leaves", async () => {
  await signIn();
  await page.sees("What runs");
  for (const [key, title] of [
    ["r", "Rollouts"],
    ["e", "Releases"],
    ["v", "Verification"],
    ["u", "Units"],
    ["p", "Plan"],
    ["s", "Stops"],
    ["k", "Keys"],
    ["a", "Audit"],
    ["f", "Fleet"],
  ]) {
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
  await page.until(() => !document.querySelector("dialog"));
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

const kViews = [
  "#/",
  "#/rollouts",
  "#/rollouts/7",
  "#/releases",
  "#/releases/gw-2026.11",
  "#/verification",
  "#/units",
  "#/units/gw-00017",
  "#/plan",
  "#/stops",
  "#/keys",
  "#/audit",
];

for (const [name, options] of [
  ["light", {}],
  ["dark", { dark: true }],
  ["phone", kPhone],
  ["phone-dark", { ...kPhone, dark: true }],
]) {
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
    const name =
      control.innerText?.trim() || control.getAttribute("aria-label") || control.labels?.[0]?.innerText?.trim();
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
    const [light, dark] = [luminance(rgba(getComputedStyle(element).color)), luminance(behind(element))].sort(
      (a, b) => b - a,
    );
    const contrast = (light + 0.05) / (dark + 0.05);
    const key = `${element.className} ${contrast.toFixed(1)}`;
    if (contrast < 4.5 && !seen.has(key)) {
      seen.add(key);
      faults.push(`contrast ${contrast.toFixed(2)}: "${text.data.trim().slice(0, 40)}" ${element.className}`);
    }
  }
  return faults;
}
