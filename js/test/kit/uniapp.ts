/** The uni-app project of the trades example, built by uni-app's own compiler where it is not up to date. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const PROJECT = fileURLToPath(new URL("../../../examples/trades/uniapp/", import.meta.url));

/** Seconds that the first build on a machine may take: it installs the compiler. */
export const PATIENCE = 600;

/** The folder of the build for this platform: "h5" or "mp-weixin". */
export async function built(platform: string): Promise<string> {
  await promisify(execFile)(process.execPath, ["build.mjs", platform], { cwd: PROJECT, timeout: PATIENCE * 1000 });
  return `${PROJECT}dist/build/${platform}`;
}
