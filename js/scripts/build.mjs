/**
 * Builds `dist/`: ES module and CommonJS, small and for ES2017, with types for both.
 *
 * Names that are neither public nor on the wire nor stored become short.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { minify } from "terser";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });

execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
cpSync("dist/types", "dist/types-cjs", { recursive: true });

/** Every word of the public types, of the frames and of what is stored: these names stay. */
const PUBLIC = [
  ...["bus", "connect", "connection", "items", "journal", "options", "receipts", "scope", "subscription"].map(
    (name) => `dist/types/client/${name}.d.ts`,
  ),
  ...["errors", "frames", "policy", "saved", "states"].map((name) => `dist/types/core/${name}.d.ts`),
  "dist/types/dialects/spec.d.ts",
  // and every word of the code that speaks to a platform, whose names nobody lists
  ...["client/platform", "client/link", "platforms/browser", "platforms/mini-program", "platforms/detect"].map(
    (name) => `src/${name}.ts`,
  ),
  ...["indexed-db", "key-value", "slots"].map((name) => `src/stores/${name}.ts`),
];
const words = PUBLIC.flatMap((name) => readFileSync(name, "utf8").match(/\b[a-zA-Z]\w*/g));
// of effects.ts only these reach an application
const items = ["kind", "channel", "epoch", "offset", "event", "data", "after", "to", "reason"];
const change = ["old", "new", "attempt", "code", "retryIn"];
// what forms are made of, and what variables in them stand for
const forms = ["$text", "$one_of", "param", "keep", "now_ms", "id", "event", "data", "channel", "args", "sub", "login"];
const heard = ["reply", "code", "why", "error", "retry"];
const reserved = [...new Set([...words, ...items, ...change, ...forms, ...heard])];

/** Bundle one entry and write it in one format. Data keeps all its names. */
async function bundle(entry, format, out, properties = { reserved, keep_quoted: true }) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format,
    target: "es2017",
    platform: "neutral",
    write: false,
  });
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2017,
    module: format === "esm",
    toplevel: true,
    compress: { passes: 3, unsafe_arrows: true, pure_getters: true },
    mangle: { properties },
    format: { comments: false },
  });
  writeFileSync(out, code);
}

/** What runs in Node only is bundled and left readable. */
async function copy(entry, format, outfile) {
  await build({ entryPoints: [entry], bundle: true, format, platform: "node", target: "node18", outfile });
}

for (const folder of ["dist/esm", "dist/cjs", "dist/testing"]) mkdirSync(folder, { recursive: true });
await bundle("src/index.ts", "esm", "dist/esm/index.js");
await bundle("src/index.ts", "cjs", "dist/cjs/index.js");
await bundle("src/dialects/presets.ts", "esm", "dist/esm/dialects.js", false);
await bundle("src/dialects/presets.ts", "cjs", "dist/cjs/dialects.js", false);
await copy("src/testing/index.ts", "esm", "dist/testing/index.js");
await copy("src/testing/index.ts", "cjs", "dist/testing/index.cjs");

const commonjs = JSON.stringify({ type: "commonjs" });
for (const folder of ["dist/cjs", "dist/types-cjs"]) writeFileSync(`${folder}/package.json`, commonjs);
