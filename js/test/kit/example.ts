/** An example's own server as a process, on SQLite, which a test may kill and start again. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

export class Example {
  url = "";
  private _child: ChildProcess | null = null;
  private readonly _folder = mkdtempSync(join(tmpdir(), "heartline-example-"));

  private constructor(
    private readonly _name: string,
    private readonly _options: string[],
  ) {}

  /** A running one: `Example.serve("card", "--refuse", "m-7")`. */
  static async serve(name: string, ...options: string[]): Promise<Example> {
    const example = new Example(name, options);
    await example.start();
    return example;
  }

  /** Serve; a second time on the same port. */
  start(): Promise<void> {
    const port = this.url ? new URL(this.url).port : "0";
    const database = `sqlite:///${join(this._folder, "example.db")}`;
    const child = spawn(
      `${ROOT}.venv/bin/python`,
      ["-u", "-m", `examples.${this._name}.server`, "--port", port, "--database", database, ...this._options],
      { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] },
    );
    this._child = child;
    return new Promise((resolve, reject) => {
      let out = "";
      let errors = "";
      child.stderr.on("data", (data) => (errors += data));
      child.stdout.on("data", (data) => {
        out += data;
        const found = /ws:\/\/\S+(?=\n)/.exec(out);
        if (found) resolve(void (this.url = found[0]));
      });
      child.once("exit", () => reject(new Error(`it did not start: ${errors}`)));
    });
  }

  /** Gone at once, as in a crash. */
  kill(): Promise<void> {
    const child = this._child;
    this._child = null;
    if (!child || child.exitCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.kill("SIGKILL");
    });
  }

  /** For good. */
  async end(): Promise<void> {
    await this.kill();
    rmSync(this._folder, { recursive: true, force: true });
  }
}
