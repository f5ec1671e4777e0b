// Stands in for a controller: serves the real page, and answers its API calls from a plain object that a test changes.
// It is for states that a real controller seldom has, such as a storm; it knows no rules of its own.
//
//   const server = await StandIn.start();
//   server.answers["GET /v1/fleet"] = { ... };                    // or a function of (request), or an ApiFault
//   server.tell("fleet");                                         // an event of /v1/events
//   server.calls                                                  // what the page changed: { path, body }
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { everything } from "./examples.mjs";

const kTypes = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const kPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";
export const kToken = "tnd_stand-in";

export class ApiFault {
  constructor(status, code, message) {
    Object.assign(this, { status, code, message });
  }
}

// For one run; nobody checks it.
function certificate() {
  const folder = mkdtempSync(join(tmpdir(), "tandem-page-tls-"));
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(folder, name));
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-subj",
    "/CN=localhost",
  ];
  execFileSync("openssl", [...request, "-keyout", key, "-out", cert, "-days", "1"], { stdio: "ignore" });
  const files = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(folder, { recursive: true });
  return files;
}

export class StandIn {
  static async start({ tls = false } = {}) {
    const server = new StandIn();
    server.tls = tls;
    await server.listen(0);
    return server;
  }

  async listen(port) {
    const serve = (request, response) => this.#serve(request, response);
    this.http = this.tls ? createTlsServer(certificate(), serve) : createServer(serve);
    await new Promise((done) => this.http.listen(port, "127.0.0.1", done));
    this.port = this.http.address().port;
    this.url = `${this.tls ? "https" : "http"}://127.0.0.1:${this.port}/`;
  }

  folder = process.env.TANDEM_PAGE_FILES;
  // The role that whoever comes with kToken has.
  role = "RELEASE_MANAGER";
  // "METHOD /path" with or without the query, or "METHOD /path/*".
  answers = everything();
  calls = [];
  delayMs = 0;
  // What everybody gets for an answer, if anything.
  refusal = undefined;
  // Seconds by which the controller's clock is ahead.
  clockAhead = 0;
  // As with a client certificate: whoever comes is let in.
  knowsCaller = false;
  // No events while true.
  deaf = false;
  #streams = new Set();

  tell(...changed) {
    for (const stream of this.#streams) stream.write(`event: change\ndata: ${JSON.stringify({ changed })}\n\n`);
  }

  // Ends the streams, as a controller does that restarts.
  hangUp() {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
  }

  get streams() {
    return this.#streams.size;
  }

  async close() {
    this.hangUp();
    this.http.closeAllConnections();
    await new Promise((done) => this.http.close(done));
  }

  #file(path, response) {
    const file = path === "/" ? "/index.html" : path;
    response.writeHead(200, { "Content-Type": kTypes[extname(file)], "Content-Security-Policy": kPolicy });
    response.end(readFileSync(join(this.folder, file)));
  }

  async #serve(request, response) {
    const url = new URL(request.url, this.url);
    if (url.pathname === "/" || url.pathname.startsWith("/assets/")) return this.#file(url.pathname, response);
    let body = "";
    for await (const data of request) body += data;
    if (this.delayMs) await new Promise((done) => setTimeout(done, this.delayMs));
    const fault = (status, code, message) => {
      response.writeHead(status, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ error: { code, message } }));
    };
    if (this.refusal) return fault(this.refusal.status, this.refusal.code, this.refusal.message);
    if (!this.knowsCaller && request.headers.authorization !== `Bearer ${kToken}`)
      return fault(401, "UNAUTHENTICATED", "a valid token is needed");
    if (url.pathname === "/v1/events") {
      if (this.deaf) return fault(429, "RESOURCE_EXHAUSTED", "this controller already has 64 event streams");
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(`event: hello\ndata: ${JSON.stringify({ now: Date.now() / 1000 + this.clockAhead })}\n\n`);
      this.#streams.add(response);
      request.on("close", () => this.#streams.delete(response));
      return;
    }
    if (url.pathname === "/v1/whoami") {
      response.writeHead(200, { "Content-Type": "application/json" });
      return response.end(JSON.stringify({ actor: "token:rita", role: this.role }));
    }
    const path = `${request.method} ${url.pathname}`;
    const parent = path.slice(0, path.lastIndexOf("/")) + "/*";
    let answer = this.answers[`${request.method} ${request.url}`] ?? this.answers[path] ?? this.answers[parent];
    if (request.method === "POST") {
      this.calls.push({ path: url.pathname, body: JSON.parse(body || "{}") });
      answer ??= {};
    }
    if (typeof answer === "function") answer = answer({ url, query: url.searchParams, body: body && JSON.parse(body) });
    if (answer === undefined) return fault(404, "NOT_FOUND", `there is no ${url.pathname}`);
    if (answer instanceof ApiFault) return fault(answer.status, answer.code, answer.message);
    if (typeof answer === "string") {
      response.writeHead(200, { "Content-Type": "application/x-ndjson" });
      return response.end(answer);
    }
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify(answer));
  }
}
