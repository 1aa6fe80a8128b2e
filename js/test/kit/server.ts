/** The real Python server, for tests: a relay, or one of the applications beside this file, or an example. */

import { type ChildProcess, spawn } from "node:child_process";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const HERE = fileURLToPath(new URL("./", import.meta.url));

export interface Server {
  readonly url: string;
  /** Gone at once, as in a crash. */
  kill(): Promise<void>;
}

/** Start `python -m heartline serve`; resolves when clients can connect. */
export function serve(...args: string[]): Promise<Server> {
  const python = `${ROOT}.venv/bin/python`;
  const child = spawn(python, ["-m", "heartline", "serve", ...args], {
    cwd: HERE,
    env: { ...process.env, PYTHONPATH: [HERE, ROOT].join(delimiter) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return addressOf(child);
}

function addressOf(child: ChildProcess): Promise<Server> {
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return new Promise((resolve, reject) => {
    let errors = "";
    let out = "";
    child.stderr!.on("data", (data) => (errors += data));
    child.stdout!.on("data", (data) => {
      out += data;
      const found = /wss?:\/\/\S+/.exec(out);
      if (!found) return;
      resolve({
        url: found[0],
        kill: () => {
          child.kill("SIGKILL");
          return gone;
        },
      });
    });
    child.once("exit", () => reject(new Error(`the server did not start: ${errors}`)));
  });
}
