/**
 * Builds `dist/`: ES module and CommonJS, small and for ES2017, with types for both.
 *
 * Names that begin with `_` are private and become short; nothing else is renamed, so that stack traces and debuggers
 * show the names of the documentation.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { minify } from "terser";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });

const PRIVATE = /^_/;

/** Bundle one entry and write it in one format. */
async function bundle(entry, format, out, options = {}) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    target: "es2017",
    platform: "neutral",
    write: false,
    ...options,
  });
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2017,
    module: true,
    compress: { passes: 3, unsafe_arrows: true, pure_getters: true },
    mangle: { properties: { regex: PRIVATE } },
    format: { comments: false },
  });
  if (format === "esm") return writeFileSync(out, code);
  const common = await build({ stdin: { contents: code }, format, target: "es2017", minify: true, write: false });
  writeFileSync(out, common.outputFiles[0].text);
}

for (const folder of ["dist/esm", "dist/cjs", "dist/testing"]) mkdirSync(folder, { recursive: true });
await bundle("src/index.ts", "esm", "dist/esm/index.js");
await bundle("src/index.ts", "cjs", "dist/cjs/index.js");
const node = { platform: "node" };
await bundle("src/testing/index.ts", "esm", "dist/testing/index.js", node);
await bundle("src/testing/index.ts", "cjs", "dist/testing/index.cjs", node);

execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
cpSync("dist/types", "dist/types-cjs", { recursive: true });
const commonjs = JSON.stringify({ type: "commonjs" });
for (const folder of ["dist/cjs", "dist/types-cjs"]) writeFileSync(`${folder}/package.json`, commonjs);
