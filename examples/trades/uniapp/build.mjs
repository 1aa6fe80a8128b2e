/**
 * Installs what is locked, and builds: `node build.mjs h5 mp-weixin`, with VITE_SERVER for a server of your own.
 *
 * - what is up to date is not built again, and two that build at once do not disturb each other.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL(".", import.meta.url)));

const LOCK = ".building";
const PATIENCE = 10 * 60; // seconds

/** Of all files that a build is made from. */
function fingerprint(...paths) {
  const hash = createHash("sha256").update(process.env.VITE_SERVER ?? "");
  const add = (path) => {
    if (statSync(path).isDirectory()) readdirSync(path).sort().forEach((name) => add(join(path, name)));
    else hash.update(path).update(readFileSync(path));
  };
  paths.forEach(add);
  return hash.digest("hex");
}

/** Do it unless it was done for this state of things. */
function once(stamp, state, act) {
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === state) return;
  const began = Date.now();
  act();
  writeFileSync(stamp, state);
  console.log(`${stamp}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

/** One at a time; a lock whose holder was killed is taken over. */
async function locked(act) {
  for (;;) {
    try {
      mkdirSync(LOCK);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const old = statSync(LOCK, { throwIfNoEntry: false });
      if (old && Date.now() - old.mtimeMs > PATIENCE * 1000) rmdirSync(LOCK);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  try {
    act();
  } finally {
    rmdirSync(LOCK);
  }
}

const run = (program, ...args) => execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });

const LIBRARY = "../../../js/dist/esm";
if (!existsSync(LIBRARY)) throw new Error("the library is not built: npm ci && npm run build in js/");

await locked(() => {
  once("node_modules/.installed", fingerprint("package.json", "package-lock.json"), () => {
    run("npm", "ci", "--ignore-scripts", "--prefer-offline");
  });
  const sources = fingerprint("src", "../page", "index.html", "vite.config.mjs", "package.json", LIBRARY);
  for (const platform of process.argv.slice(2)) {
    once(`dist/.built-${platform}`, sources, () => {
      run(process.execPath, "node_modules/@dcloudio/vite-plugin-uni/bin/uni.js", "build", "-p", platform);
    });
  }
});
