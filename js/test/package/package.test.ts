/** What is shipped: its size, its language, its entries. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

import { expect, test } from "vitest";

import codes from "../../../protocol/close_codes.json" with { type: "json" };
import { classify, REFUSALS } from "../../src/core/codes.js";
import * as dialects from "../../src/dialects/presets.js";
import * as source from "../../src/index.js";
import * as testing from "../../src/testing/index.js";

const require = createRequire(import.meta.url);
const text = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test.each(["dist/esm/index.js", "dist/cjs/index.js"])("the size of %s", (path) => {
  expect(gzipSync(text(path), { level: 9 }).length).toBeLessThanOrEqual(14_000);
});

test.each(["dist/esm/dialects.js", "dist/cjs/dialects.js"])("the size of %s", (path) => {
  expect(gzipSync(text(path), { level: 9 }).length).toBeLessThanOrEqual(6_900);
});

test.each([
  ["heartline", source],
  ["heartline/dialects", dialects],
  ["heartline/testing", testing],
])("%s is the same for import and require", async (name, from) => {
  const names = Object.keys(from).sort();
  expect(Object.keys(await import(name)).sort()).toEqual(names);
  expect(Object.keys(require(name)).sort()).toEqual(names);
});

test("what is shipped is ES2017 and asks for nothing", () => {
  for (const path of ["dist/esm/index.js", "dist/cjs/index.js", "dist/esm/dialects.js", "dist/cjs/dialects.js"]) {
    const code = text(path);
    expect(code).not.toMatch(/\?\?|\?\.[a-zA-Z[(]|for await|\bglobalThis\b|\bBigInt\b|\bTextEncoder\b|catch\{/);
    expect(code).not.toMatch(/\brequire\(|\bimport[ ({"]/);
  }
  expect(JSON.parse(text("package.json")).dependencies).toBeUndefined();
});

test("the types are those of a strict user, for both kinds of module", () => {
  const program = new URL("./user/", import.meta.url).pathname;
  const tsc = new URL("../../node_modules/typescript/bin/tsc", import.meta.url).pathname;
  execFileSync(process.execPath, [tsc, "-p", program], { stdio: "pipe" });
}, 30_000);

test("the package holds what was built, its README and its licence, and nothing else", () => {
  const folder = new URL("../../", import.meta.url);
  const [{ files }] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: folder, encoding: "utf8", stdio: "pipe" }),
  );
  const paths: string[] = files.map(({ path }: { path: string }) => path);
  const beside = paths.filter((path) => !/^dist\/(esm|cjs|types|types-cjs|testing)\//.test(path));
  expect(beside.sort()).toEqual(["LICENSE", "README.md", "README.zh-CN.md", "package.json"]);
  for (const path of ["esm/index.js", "cjs/index.js", "esm/dialects.js", "types/index.d.ts", "testing/index.cjs"]) {
    expect(paths).toContain(`dist/${path}`);
  }
}, 30_000);

test("the lock names no registry", () => {
  const { packages } = JSON.parse(text("package-lock.json"));
  expect(Object.values<object>(packages).filter((one) => "resolved" in one)).toEqual([]);
});

test("codes equal the data file, and every code has a class", () => {
  for (const { code, class: kind } of codes.codes) expect(classify(code), String(code)).toBe(kind);
  for (const { from, to, class: kind } of codes.ranges.slice(1)) {
    for (let code = from; code <= to; code++) expect(classify(code)).toBe(kind);
  }
  const fatal = codes.codes.filter(({ code }) => code >= 4200 && code < 4300);
  expect(fatal.map(({ name }) => name)).toEqual(REFUSALS);
  expect(fatal.map(({ code }) => code)).toEqual(REFUSALS.map((_, i) => 4200 + i));
  const known = codes.codes.map(({ code, name }) => `${name.toUpperCase()} = ${code}`);
  const named = [...text("src/core/codes.ts").matchAll(/[A-Z_]+ = \d+/g)].map(([match]) => match);
  expect(named.length).toBeGreaterThan(10);
  for (const one of named) expect(known).toContain(one);
});
