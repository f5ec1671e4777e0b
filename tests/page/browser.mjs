// A real headless Chromium, driven over the DevTools protocol through a pipe: no packages, no port.
//
//   const browser = await Browser.launch();
//   const page = await browser.newPage();
//   await page.open("http://127.0.0.1:7480/");
//   await page.click("Pause");
//   await page.sees("Rollout 7 is paused");
//   await browser.close();
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const kNames = ["chromium", "chromium-browser", "google-chrome"];
const kFlags = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-sync",
  "--disable-component-update",
  "--no-first-run",
  "--disable-dev-shm-usage",
  "--hide-scrollbars",
  "--mute-audio",
  "--remote-debugging-pipe",
];
// A machine under load may be slow; what must be fast is measured where it is said.
const kPatienceMs = 20_000;
const kPollMs = 25;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function findChromium() {
  const found = [process.env.CHROMIUM, ...kNames]
    .filter(Boolean)
    .find((name) => spawnSync(name, ["--version"]).status === 0);
  if (!found) throw new Error("there is no Chromium; tools/setup installs it");
  return found;
}

export class Browser {
  static async launch() {
    const browser = new Browser();
    browser.folder = mkdtempSync(join(tmpdir(), "tandem-page-"));
    browser.process = spawn(findChromium(), [...kFlags, `--user-data-dir=${browser.folder}`, "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      env: { ...process.env, HOME: browser.folder },
    });
    browser.ended = new Promise((done) => browser.process.once("exit", done));
    let text = Buffer.alloc(0);
    browser.process.stdio[4].on("data", (data) => {
      text = Buffer.concat([text, data]);
      for (let end = text.indexOf(0); end >= 0; end = text.indexOf(0)) {
        browser.#take(JSON.parse(text.subarray(0, end).toString()));
        text = text.subarray(end + 1);
      }
    });
    await browser.send("Browser.getVersion");
    return browser;
  }

  #next = 1;
  #calls = new Map();
  #pages = new Map();

  #take(message) {
    if (message.id !== undefined) {
      const call = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      if (message.error) call?.reject(new Error(`${call.method}: ${message.error.message}`));
      else call?.resolve(message.result);
    } else if (message.sessionId) {
      this.#pages.get(message.sessionId)?.take(message);
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { method, resolve, reject });
      this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    });
  }

  // With a storage of its own.
  async newPage({ width = 1280, height = 860, dark = false } = {}) {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, targetId);
    this.#pages.set(sessionId, page);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    await page.resize(width, height);
    await page.dark(dark);
    return page;
  }

  async close() {
    this.send("Browser.close").catch(() => {});
    const late = setTimeout(() => this.process.kill("SIGKILL"), 3000);
    await this.ended;
    clearTimeout(late);
    // Its helpers may write for a moment longer.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

// Runs in the page: the topmost visible control with this name.
function findControl(name, tag) {
  const dialogs = document.querySelectorAll("dialog[open]");
  const root = dialogs.length ? dialogs[dialogs.length - 1] : document;
  const named = (element) => {
    const label = element.getAttribute("aria-label") ?? "";
    const text = element.innerText?.trim() ?? "";
    return label === name || text === name;
  };
  return [...root.querySelectorAll(tag)].find((element) => named(element) && element.getClientRects().length > 0);
}

class Page {
  constructor(browser, sessionId, targetId) {
    this.browser = browser;
    this.sessionId = sessionId;
    this.targetId = targetId;
    // What the page complained of: exceptions, refused styles and scripts.
    this.complaints = [];
    this.requests = [];
  }

  take({ method, params }) {
    if (method === "Runtime.exceptionThrown")
      this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error" && params.entry.source !== "network")
      this.complaints.push(params.entry.text);
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  async open(url) {
    await this.send("Page.navigate", { url });
    await this.until(() => document.readyState === "complete");
  }

  async evaluate(work, ...args) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression: `(${work})(...${JSON.stringify(args)})`,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // What `work` returned once it was true-like.
  async until(work, ...args) {
    const end = Date.now() + kPatienceMs;
    for (;;) {
      const value = await this.evaluate(work, ...args).catch((error) => {
        if (/context|navigat/i.test(error.message)) return undefined;
        throw error;
      });
      if (value) return value;
      if (Date.now() > end)
        throw new Error(`waited in vain for ${work} ${JSON.stringify(args)}\non the page:\n${await this.text()}`);
      await sleep(kPollMs);
    }
  }

  text = () => this.evaluate(() => document.body?.innerText ?? "");
  sees = (text) => this.until((wanted) => document.body?.innerText.includes(wanted), text);
  seesNot = (text) => this.until((wanted) => !document.body.innerText.includes(wanted), text);
  has = (selector) => this.until((wanted) => document.querySelector(wanted) !== null, selector);

  async go(hash) {
    await this.evaluate((to) => void (location.hash = to), hash);
  }

  // By the mouse. A page that is live may move under it: then the click hit nothing or its neighbour's edge, and is made
  // again where the control is by now.
  async click(name, tag = "button, a, summary, [role=button]") {
    const end = Date.now() + kPatienceMs;
    for (;;) {
      const at = await this.evaluate(
        `async (name, tag) => {
          const element = (${findControl})(name, tag);
          if (!element) return "there is none";
          if (element.disabled) return "it is disabled: " + element.title;
          element.scrollIntoView({ block: "center" });
          const before = element.getBoundingClientRect();
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          const box = element.getBoundingClientRect();
          if (!element.isConnected || box.x !== before.x || box.y !== before.y) return "it moves";
          window.clickArrived = false;
          element.addEventListener("click", () => (window.clickArrived = true), { once: true, capture: true });
          return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
        }`,
        name,
        tag,
      );
      if (typeof at === "object") {
        for (const type of ["mousePressed", "mouseReleased"]) {
          await this.send("Input.dispatchMouseEvent", { type, ...at, button: "left", clickCount: 1 });
        }
        if (await this.evaluate(() => window.clickArrived)) return;
      }
      if (Date.now() > end) {
        const why = typeof at === "object" ? "something else is in its place" : at;
        throw new Error(`cannot click "${name}": ${why}\non the page:\n${await this.text()}`);
      }
      await sleep(kPollMs);
    }
  }

  // Why a button cannot be used; "" when it can.
  disabled(name) {
    return this.until(
      `(name) => {
      const element = (${findControl})(name, "button");
      return element && (element.disabled ? element.title || "disabled" : "usable");
    }`,
      name,
    ).then((text) => (text === "usable" ? "" : text));
  }

  async fill(selector, text) {
    await this.has(selector);
    await this.evaluate(
      (wanted, value) => {
        const dialogs = document.querySelectorAll("dialog[open]");
        const root = dialogs.length ? dialogs[dialogs.length - 1] : document;
        const field = root.querySelector(wanted);
        field.focus();
        if (field.tagName === "SELECT") {
          field.value = value;
          field.dispatchEvent(new Event("change", { bubbles: true }));
        } else {
          field.select?.();
        }
      },
      selector,
      text,
    );
    const isSelect = await this.evaluate((wanted) => document.querySelector(wanted).tagName === "SELECT", selector);
    if (!isSelect) await this.send("Input.insertText", { text });
  }

  async press(...keys) {
    const codes = { Enter: 13, Escape: 27, Tab: 9 };
    for (const key of keys) {
      const text = key.length === 1 ? key : key === "Enter" ? "\r" : undefined;
      const more = { key, text, windowsVirtualKeyCode: codes[key] ?? key.toUpperCase().charCodeAt(0) };
      await this.send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", ...more });
      await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...more });
    }
  }

  resize = (width, height) =>
    this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  dark = (on) =>
    this.send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: on ? "dark" : "light" }],
    });

  // True when nothing sticks out to the right.
  fits = () => this.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth);

  async screenshot(path, { whole = false } = {}) {
    mkdirSync(dirname(path), { recursive: true });
    // Fonts and the last frame.
    await this.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const { data } = await this.send("Page.captureScreenshot", {
      format: "png",
      captureBeyondViewport: whole,
      ...(whole && { clip: await this.#all() }),
    });
    writeFileSync(path, Buffer.from(data, "base64"));
  }

  async #all() {
    const { cssContentSize } = await this.send("Page.getLayoutMetrics");
    return { ...cssContentSize, scale: 1 };
  }

  close = () => this.browser.send("Target.closeTarget", { targetId: this.targetId });
}
