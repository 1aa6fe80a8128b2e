/**
 * Builds `dist/`: ES module and CommonJS, small and for ES2017, with types for both.
 *
 * Names that are neither public nor on the wire nor stored become short.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { minify } from "terser";

import { publicNames } from "./public-names.mjs";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
// What was built before stays until all of it is there anew.
rmSync("build", { recursive: true, force: true });
const tsc = ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"];
execFileSync(process.execPath, tsc, { stdio: "inherit" });
cpSync("build/types", "build/types-cjs", { recursive: true });

/** What applications, the wire and stores see; names of platforms are known to terser, or are in these types. */
const reserved = [...publicNames("build/types", ["SavedMessage"]), "ifAvailable"];

/** The files of dialects without what they say to people. */
const presets = {
  name: "presets",
  setup({ onLoad }) {
    onLoad({ filter: /\.json$/ }, ({ path }) => {
      const { about, ...rest } = JSON.parse(readFileSync(path, "utf8"));
      return { contents: JSON.stringify(rest), loader: "json" };
    });
  },
};

/** The names of properties given anew, the shortest to those that are used most. */
function byUse(given, text, reserved) {
  const uses = new Map();
  for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) uses.set(word, (uses.get(word) ?? 0) + 1);
  const names = Object.keys(given).sort((a, b) => (uses.get(b.slice(1)) ?? 0) - (uses.get(a.slice(1)) ?? 0));
  const letters = [..."tesinoracldhuvpfgmbkwyxzjqTESINORACLDHUVPFGMBKWYXZJQ_$"];
  const free = [...letters, ...letters.slice(0, 26).flatMap((one) => letters.slice(0, 26).map((other) => one + other))].filter(
    (name) => !reserved.includes(name) && !["do", "if", "in", "of"].includes(name),
  );
  return Object.fromEntries(names.map((name, i) => [name, free[i]]));
}

/** Bundle one entry and write it in both formats. */
async function bundle(entry, out, properties) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    target: "es2017",
    platform: "neutral",
    write: false,
    define: { CHECKED: "false" },
    plugins: [presets],
  });
  // one word for all is less to say, and `tsc` has seen to it that no constant changes
  const text = outputFiles[0].text.replace(/\b(const|var) /g, "let ");
  const small = (nameCache) =>
    minify(text, {
      ecma: 2017,
      module: true,
      toplevel: true,
      compress: { passes: 3, unsafe_arrows: true, pure_getters: true, hoist_funs: true },
      mangle: { properties: { ...properties } },
      format: { comments: false, preserve_annotations: entry.includes("presets") },
      nameCache,
    });
  const given = {};
  await small(given);
  const { code } = await small({ props: { props: byUse(given.props.props, text, properties.reserved ?? []) } });
  const exported = /export\{(.*)\};?\s*$/.exec(code);
  const members = exported[1].replace(/([\w$]+) as ([\w$]+)/g, "$2:$1");
  writeFileSync(`build/esm/${out}`, code);
  writeFileSync(`build/cjs/${out}`, `"use strict";${code.slice(0, exported.index)}module.exports={${members}};`);
}

/** What runs in Node only is bundled and left readable. */
async function copy(entry, format, outfile) {
  await build({ entryPoints: [entry], bundle: true, format, platform: "node", target: "node18", outfile });
}

for (const folder of ["build/esm", "build/cjs", "build/testing"]) mkdirSync(folder, { recursive: true });
await bundle("src/index.ts", "index.js", { reserved, keep_quoted: true });
// forms are data, which keeps its names
await bundle("src/dialects/presets.ts", "dialects.js", { regex: /^_/ });
await copy("src/testing/index.ts", "esm", "build/testing/index.js");
await copy("src/testing/index.ts", "cjs", "build/testing/index.cjs");

const commonjs = JSON.stringify({ type: "commonjs" });
for (const folder of ["build/cjs", "build/types-cjs"]) writeFileSync(`${folder}/package.json`, commonjs);

rmSync("dist", { recursive: true, force: true });
renameSync("build", "dist");

/** What a page loads at most, in bytes, gzipped; dialects are loaded by those who speak them. */
const LIMIT = 14_000;
for (const name of ["index", "dialects"]) {
  for (const format of ["esm", "cjs"]) {
    const size = gzipSync(readFileSync(`dist/${format}/${name}.js`), { level: 9 }).length;
    console.log(`dist/${format}/${name}.js: ${size} bytes gzipped`);
    if (name === "index" && size > LIMIT) {
      console.error(`that is more than ${LIMIT}`);
      process.exitCode = 1;
    }
  }
}
