// What numbers and times look like.
import assert from "node:assert/strict";
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

// Node reads no TypeScript; the page's own build brings what does.
const { transformSync } = createRequire(join(process.env.TANDEM_PAGE_FILES, "../package.json"))("esbuild");
const folder = mkdtempSync(join(tmpdir(), "tandem-format-"));
after(() => rmSync(folder, { recursive: true }));
const source = readFileSync(
  join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../../fleet/web/src/format.ts"),
  "utf8",
);
writeFileSync(join(folder, "format.mjs"), transformSync(source, { loader: "ts", format: "esm" }).code);
const { bytes, count, countdown, decimal, percent, relative, span, units } = await import(
  pathToFileURL(join(folder, "format.mjs"))
);

test("a share is never all or nothing unless it is", () => {
  assert.equal(percent(100000, 100000), "100 %");
  assert.equal(percent(99999, 100000), "99.9 %");
  assert.equal(percent(0, 7), "0 %");
  assert.equal(percent(1, 100000), "< 0.1 %");
  assert.equal(percent(1, 3), "33.3 %");
  assert.equal(percent(0, 0), "–");
});

test("64-bit numbers come as texts", () => {
  assert.equal(count("1234567"), "1,234,567");
  assert.equal(count(null), "0");
  assert.equal(units("1"), "1 unit");
  assert.equal(units("2"), "2 units");
});

test("times are short and never negative zero", () => {
  assert.equal(span(59), "59 s");
  assert.equal(span(90), "2 min");
  assert.equal(span(3600), "1 h");
  assert.equal(span(3600 + 1200), "1 h 20 min");
  assert.equal(span(86400 * 3), "3 days");
  const at = new Date(1_000_000_000_000).toISOString();
  assert.equal(relative(at, 1_000_000_001), "now");
  assert.equal(relative(at, 1_000_000_030), "30 s ago");
  assert.equal(relative(at, 999_999_700), "in 5 min");
  assert.equal(relative(null, 0), "never");
  assert.equal(countdown(at, 999_999_871), "2:09");
  assert.equal(countdown(at, 1_000_000_005), "0:00");
});

test("numbers have the digits that say something", () => {
  assert.equal(decimal(-2.9444), "-2.94");
  assert.equal(decimal(412), "412");
  assert.equal(decimal(0.000123456), "0.000123");
  assert.equal(bytes("734003200"), "700 MiB");
  assert.equal(bytes(12), "12 B");
});
