/** A native mini program in the host, with the library as it is shipped, against the real server. */

import { fileURLToPath } from "node:url";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { connect, type Connection, miniProgram } from "heartline";
import { type HostOptions, type Instance, MiniProgramHost } from "heartline/testing";
import { serve, type Server } from "../kit/server.js";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PROJECT = file("../kit/project");
const modules = { heartline: file("../../dist/cjs/index.js") };

let server: Server;
let hosts: MiniProgramHost[] = [];

beforeAll(async () => {
  server = await serve("shop:app", "--port", "0");
}, 20_000);
afterAll(() => server?.kill());
afterEach(() => hosts.splice(0).forEach((host) => host.kill()));

function start(options: HostOptions = {}): MiniProgramHost {
  const host = new MiniProgramHost({
    WebSocket,
    strict: true,
    modules,
    resolve: (url) => url.replace("wss://mini.example/", server.url),
    background: 0.1,
    lateClose: 0.1,
    ...options,
  });
  hosts.push(host);
  return host;
}

async function until(met: () => unknown, seconds = 8): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !met(); ) {
    if (Date.now() > end) throw new Error("it did not come about in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const isOpen = (page: Instance) => () => page.data["state"] === "open";

async function seen(prefix: string): Promise<string[]> {
  const { connectSocket } = miniProgram(start().wx as never);
  const conn = connect("wss://mini.example/", { connectSocket });
  const all = await conn.request<string[]>("seen");
  await conn.end();
  return all.filter((what) => what.startsWith(prefix));
}

describe("a native project", () => {
  test("scripts see a mini program, pages live as on a device", async () => {
    const host = start();
    const page = host.launch(PROJECT);
    await until(isOpen(page));
    expect(host.pages.application!["globalData"].seesWindow).toBe(false);
    page["mark"]("native 1");
    await until(async () => true);
    await until(() => !page["scope"].connection.pending);
    expect(await seen("native")).toEqual(["native 1"]);
    host.wx["navigateBack"]({});
    await until(() => host.sockets === 0);
    expect(host.errors).toEqual([]);
  });

  test("five pages use one socket, and the last one out closes it", async () => {
    const host = start();
    const pages = [host.launch(PROJECT)];
    for (let i = 0; i < 4; i++) pages.push(host.open("pages/list"));
    await Promise.all(pages.map((page) => page["scope"].connection.connected()));
    await pages[0]!["scope"].connection.request("write", ["log/mini", "e", "for all"]);
    await until(() => pages.every((page) => page.data["entries"].length === 1));
    expect(host.dials).toBe(1);
    for (let i = 0; i < 4; i++) host.wx["navigateBack"]({});
    expect(host.sockets).toBe(1);
    host.wx["navigateBack"]({});
    await until(() => host.sockets === 0);
  });

  test("the background cuts sockets, and the return goes on at once", async () => {
    const host = start({ lateClose: 3 });
    const page = host.launch(PROJECT);
    await until(isOpen(page));
    host.hide();
    page["mark"]("background 1");
    await new Promise((resolve) => setTimeout(resolve, 300));
    page["mark"]("background 2");
    host.show();
    const began = Date.now();
    await until(() => !page["scope"].connection.pending);
    expect(Date.now() - began).toBeLessThan(2000); // and not after the late close
    expect(await seen("background")).toEqual(["background 1", "background 2"]);
  });

  test("a killed mini program is silent, and loses nothing", async () => {
    const host = start();
    const page = host.launch(PROJECT);
    await until(isOpen(page));
    host.network(false);
    for (let i = 0; i < 5; i++) page["mark"](`killed ${i}`);
    host.kill();
    const { state } = page.data as { state: string };
    const next = start({ storage: host.storage });
    const again = next.launch(PROJECT);
    await until(isOpen(again));
    await until(() => !again["scope"].connection.pending);
    expect(await seen("killed")).toEqual([0, 1, 2, 3, 4].map((i) => `killed ${i}`));
    expect(page.data["state"]).toBe(state);
  });

  test("time may pass faster", async () => {
    const host = start({ speed: 100 });
    const began = Date.now();
    const [at, after] = await new Promise<number[]>((resolve) => {
      const script = file("../kit/clock.js");
      host.require(script)(10, (...times: number[]) => resolve(times));
    });
    expect(after! - at!).toBeGreaterThanOrEqual(9900);
    expect(Date.now() - began).toBeLessThan(5000);
    host.speed = 1;
    const next = await new Promise<number[]>((resolve) => host.require(file("../kit/clock.js"))(0.05, (...times: number[]) => resolve(times)));
    expect(next[0]).toBeGreaterThanOrEqual(after!); // it never goes back
    expect(next[1]! - next[0]!).toBeLessThan(5000);
  });

  test("the network goes and comes", async () => {
    const host = start();
    const page = host.launch(PROJECT);
    await until(isOpen(page));
    host.network(false);
    page["mark"]("network 1");
    host.network(true);
    await until(() => !page["scope"].connection.pending);
    expect(await seen("network")).toEqual(["network 1"]);
    expect(host.dials).toBe(2);
  });
});

describe("sockets as bad as on devices", () => {
  const closing: Connection[] = [];
  afterEach(() => closing.splice(0).forEach((conn) => void conn.close()));

  test("a sixth socket fails, strict hosts want wss, and none is lost by it", async () => {
    const host = start();
    const fails: string[] = [];
    const dial = (url: string): any => host.wx["connectSocket"]({ url, fail: ({ errMsg }: any) => fails.push(errMsg) });
    dial("ws://mini.example/");
    const tasks = Array.from({ length: 6 }, () => dial("wss://mini.example/"));
    expect(fails.map((text) => text.split("fail ")[1])).toEqual(["url not in domain list", "exceed max socket connection"]);
    const conn = connect("wss://mini.example/", { platform: miniProgram(host.wx as never), backOff: { base: 0.02, cap: 0.1 } });
    closing.push(conn);
    const asked = conn.request("echo", 1);
    tasks[0].onOpen(() => tasks[0].close({}));
    expect(await asked).toBe(1);
  });

  test("a failed dial gives an error alone, and is repeated", async () => {
    let target = "ws://127.0.0.1:9";
    const host = start({ resolve: () => target });
    const events: string[] = [];
    const task: any = host.wx["connectSocket"]({ url: "wss://x" });
    task.onError(() => events.push("error"));
    task.onClose(() => events.push("close"));
    const conn = connect("wss://x/", { platform: miniProgram(host.wx as never), backOff: { base: 0.02, cap: 0.1 } });
    closing.push(conn);
    const asked = conn.request("echo", 2);
    await until(() => host.dials > 3);
    expect(events).toEqual(["error"]);
    expect(host.sockets).toBeLessThan(2);
    target = server.url;
    expect(await asked).toBe(2);
  });

  test("an error without a close ends a link", async () => {
    const host = start();
    const conn = connect("wss://mini.example/", { platform: miniProgram(host.wx as never), backOff: { base: 0.02, cap: 0.1 } });
    closing.push(conn);
    await conn.connected();
    const ends: string[] = [];
    const task: any = host.wx["connectSocket"]({ url: "wss://mini.example/" });
    for (const name of ["Open", "Error", "Close"]) task[`on${name}`](() => ends.push(name));
    await until(() => ends.length);
    host.fail();
    expect(await conn.request("echo", 3)).toBe(3);
    expect([ends, host.dials]).toEqual([["Open", "Error"], 3]);
  });

  test("a close while connecting is ignored, and the socket is closed when it opens", async () => {
    const host = start();
    const conn = connect("wss://mini.example/", { platform: miniProgram(host.wx as never) });
    void conn.close();
    expect(host.sockets).toBe(1);
    await until(() => host.sockets === 0);
    expect(conn.state).toBe("closed");
  });

  test("tasks are as poor as the real ones: never the global listeners", () => {
    const host = start();
    expect(Object.keys(host.wx["connectSocket"]({ url: "wss://mini.example/" })).sort()).toEqual(
      ["close", "onClose", "onError", "onMessage", "onOpen", "send"],
    );
    expect(Object.keys(host.wx).filter((name) => /^onSocket|^sendSocket|^closeSocket/.test(name))).toEqual([]);
  });
});
