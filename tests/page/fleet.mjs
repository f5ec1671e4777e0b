// A real fleet for the page: Mosquitto, tandem-fleet on SQLite, and simulated units; all on loopback, in a folder of its
// own, as processes that end with it.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const kBinaries = process.env.TANDEM_BINARIES;
// What the simulated units answer does not depend on what is checked.
const kDiagnostics = `diagnostics:
  - {name: inference, description: One frame through the detector, run_after_ota: true, timeout_secs: 20, check: {exec: {command: [/bin/true]}}}
  - {name: disk, run_after_ota: true, check: {free_disk: {path: /, min_bytes: 1}}}
`;
const kPatienceMs = 30_000;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export async function waitFor(what, work) {
  const end = Date.now() + kPatienceMs;
  for (;;) {
    const value = await Promise.resolve()
      .then(work)
      .catch(() => undefined);
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(50);
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

export class Fleet {
  static async start({ units }) {
    const fleet = new Fleet();
    fleet.folder = mkdtempSync(join(tmpdir(), "tandem-fleet-"));
    fleet.brokerPort = await freePort();
    fleet.port = await freePort();
    fleet.url = `http://127.0.0.1:${fleet.port}/`;
    fleet.#write(
      "mosquitto.conf",
      `listener ${fleet.brokerPort} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 10000\n${process.getuid() === 0 ? "user root\n" : ""}`,
    );
    fleet.#write(
      "fleet.yaml",
      `namespace: acme\ndata: ${fleet.folder}/data\nbroker: {url: "mqtt://localhost:${fleet.brokerPort}"}\napi: {grpc: none, http: "127.0.0.1:${fleet.port}"}\nopen_registration: true\nlog: {level: warning}\n`,
    );
    fleet.#start("mosquitto", "/usr/sbin/mosquitto", ["-c", join(fleet.folder, "mosquitto.conf")]);
    await fleet.startController();
    fleet.token = readFileSync(join(fleet.folder, "data/admin.token"), "utf8").trim();
    await waitFor("the broker", async () => (await fleet.get("/v1/fleet")).broker.connected);
    await fleet.#release();
    fleet.#start("sim", join(kBinaries, "tandem-fleet-sim"), [
      "--broker",
      `mqtt://localhost:${fleet.brokerPort}`,
      "--namespace",
      "acme",
      "--units",
      String(units),
      "--key-set",
      join(fleet.folder, "keyset.json"),
      "--update-time",
      "200ms..900ms",
      "--resend",
      "1s",
      "--seed",
      "7",
      "--bad-release",
      "r3=0.5",
      "--bad-diagnostic",
      "bad-*/inference=0.5",
      "--diagnostic-time",
      "300ms..1500ms",
      "--quiet",
    ]);
    await waitFor("the units", async () => Number((await fleet.get("/v1/fleet")).online) === units);
    return fleet;
  }

  processes = new Map();

  #write(name, text) {
    writeFileSync(join(this.folder, name), text);
  }

  #start(name, program, args) {
    const child = spawn(program, args, { stdio: "ignore" });
    child.ended = new Promise((done) => child.once("exit", done));
    this.processes.set(name, child);
  }

  async startController() {
    this.#start("controller", join(kBinaries, "tandem-fleet"), ["--config", join(this.folder, "fleet.yaml")]);
    await waitFor(
      "the controller",
      async () => existsSync(join(this.folder, "data/admin.token")) && (await fetch(`${this.url}healthz`)).ok,
    );
  }

  async stop(name, signal = "SIGKILL") {
    const child = this.processes.get(name);
    child.kill(signal);
    await child.ended;
    this.processes.delete(name);
  }

  // r3 fails on half of the units as it is installed; bad-1 to bad-3 are installed, and half of the units find them wrong.
  async #release() {
    const run = (...args) => execFileSync(join(kBinaries, "tandem-release"), args, { cwd: this.folder, stdio: "pipe" });
    run("key", "new", "--out", "root.pem");
    run("key", "new", "--out", "release.pem");
    run(
      "keyset",
      "new",
      "--namespace",
      "acme",
      "--root",
      "root.pem",
      "--release",
      "release.pem",
      "--assignment",
      "data/assignment.pem",
      "--out",
      "keyset.json",
    );
    mkdirSync(join(this.folder, "site"));
    const envelopes = [];
    const releases = {
      r1: "",
      r2: "",
      r3: "",
      good: kDiagnostics,
      "bad-1": kDiagnostics,
      "bad-2": kDiagnostics,
      "bad-3": kDiagnostics,
    };
    for (const [index, [id, diagnostics]] of Object.entries(releases).entries()) {
      const version = `${index + 1}.0.0`;
      this.#write(`${id}.img`, `image ${version}`);
      this.#write(
        `${id}.yaml`,
        `namespace: acme\nrelease_id: ${id}\ncomponents:\n  - {component_id: rootfs, component_type: rootfs, plane: firmware, version: "${version}", file: ${this.folder}/${id}.img}\n${diagnostics}`,
      );
      run("create", "--spec", `${id}.yaml`, "--out", "site", "--key", "release.pem");
      envelopes.push(join(this.folder, `site/releases/${id}.json`));
    }
    run(
      "list",
      "--namespace",
      "acme",
      ...envelopes.flatMap((path) => ["--release", path]),
      "--key",
      "release.pem",
      "--out",
      "list.json",
    );
    const text = (path) => readFileSync(path, "utf8");
    await this.post("/v1/keys/key-sets", { envelopes: [text(join(this.folder, "keyset.json"))] });
    for (const path of envelopes)
      await this.post("/v1/releases", { envelope: text(path), base_urls: ["http://127.0.0.1:1/"] });
    await this.post("/v1/keys/release-list", { envelopes: [text(join(this.folder, "list.json"))] });
  }

  async #call(path, init = {}) {
    const response = await fetch(new URL(path, this.url), {
      ...init,
      headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
    });
    const body = await response.json();
    if (!response.ok) throw new Error(`${path}: ${body.error.message}`);
    return body;
  }
  get = (path) => this.#call(path);
  post = (path, body) => this.#call(path, { method: "POST", body: JSON.stringify(body) });

  async close() {
    for (const name of ["sim", "controller", "mosquitto"]) if (this.processes.has(name)) await this.stop(name);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
