/** Against the real Python server. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { connect, type Connection, Expired, LoginRefused, memoryStore, type Options, Rejected } from "heartline";
import { Network } from "../kit/network.js";
import { serve, type Server } from "../kit/server.js";

let server: Server;
let network: Network;
let conns: Connection[];

beforeAll(async () => {
  server = await serve("shop:app", "--port", "0");
}, 20_000);
afterAll(() => server?.kill());
beforeEach(() => {
  network = new Network();
  conns = [];
});
afterEach(() => conns.forEach((conn) => void conn.end()));

function open(options: Options = {}): Connection {
  const conn = connect(server.url, {
    connectSocket: network.connectSocket,
    backOff: { base: 0.02, cap: 0.2 },
    heartbeat: { interval: 0.3, timeout: 0.3 },
    ...options,
  });
  conns.push(conn);
  return conn;
}

describe("up", () => {
  test("a request gets its reply", async () => {
    const conn = open();
    expect(await conn.request("echo", { a: ["ü", null, 1.5] })).toEqual({ a: ["ü", null, 1.5] });
    await expect(conn.request("no such event")).rejects.toMatchObject({ name: "Rejected", code: "unknown_event" });
    await expect(conn.request("no such event")).rejects.toBeInstanceOf(Rejected);
  });

  test("packets in order and never twice, over cuts", async () => {
    const conn = open();
    const receipts = [];
    for (let i = 0; i < 600; i++) {
      receipts.push(conn.send("mark", `cuts ${i}`));
      if (i % 100 === 50) {
        await receipts[i - 20]?.handled();
        network.cut();
      }
    }
    await conn.settled(20);
    expect(receipts.every((receipt) => receipt.outcome === "handled")).toBe(true);
    const seen = await conn.request<string[]>("seen");
    expect(seen.filter((what) => what.startsWith("cuts"))).toEqual(receipts.map((_, i) => `cuts ${i}`));
    expect(network.dials).toBeGreaterThan(3);
  }, 30_000);

  test("a frozen link is found and replaced at once", async () => {
    const conn = open();
    await conn.connected(5);
    network.freeze();
    const began = Date.now();
    expect(await conn.request("echo", 1, { timeout: 10 })).toBe(1);
    expect(Date.now() - began).toBeLessThan(3000); // 0.6 s, and not the minute of a closing handshake
    expect(network.dials).toBe(2);
  }, 15_000);

  test("one outcome for each", async () => {
    const conn = open();
    network.refusing = true;
    network.cut();
    const other = open();
    await expect(other.request("echo", 1, { timeout: 0.2 })).rejects.toBeInstanceOf(Expired);
    await expect(other.send("mark", "never", { expires: 0.1 }).handled()).rejects.toMatchObject({ outcome: "expired" });
    network.refusing = false;
    await conn.connected(10);
    await expect(conn.request("slow", 5, { timeout: 0.5 })).rejects.toMatchObject({ name: "RequestTimeout" });
  });

  test("a login that is refused for good", async () => {
    let token = "wrong";
    const conn = open({ login: () => Promise.resolve(token) });
    await expect(conn.request("echo", 1)).rejects.toBeInstanceOf(LoginRefused);
    expect(conn.state).toBe("refused");
    token = "right";
    conn.retry();
    expect(await conn.request("echo", 2)).toBe(2);
  });
});

describe("down", () => {
  test("entries once, in order, over cuts", async () => {
    const conn = open();
    const writer = open({ connectSocket: new Network().connectSocket });
    const got: unknown[] = [];
    const sub = conn.subscribe<number>("log/cuts", { onEntry: ({ data }) => got.push(data) });
    await sub.ready();
    for (let i = 0; i < 300; i++) {
      writer.send("write", ["log/cuts", "n", i]);
      if (i % 60 === 30) {
        await writer.settled(5);
        network.cut();
      }
    }
    await writer.settled(10);
    await until(() => got.length >= 300);
    expect(got).toEqual(Array.from({ length: 300 }, (_, i) => i));
  }, 30_000);

  test("a loop over a channel, from its beginning, and what may be lost", async () => {
    const conn = open();
    for (let i = 1; i <= 6; i++) conn.send("write", ["short/a", "n", i]);
    await conn.settled(5);
    const got: unknown[] = [];
    const sub = conn.subscribe("short/a", { since: "beginning" });
    for await (const item of sub) {
      got.push(item.kind === "gap" ? `gap to ${item.to}` : item.data);
      if (got.length === 4) break;
    }
    expect(got).toEqual(["gap to 3", 4, 5, 6]);
    expect(sub.closed).toBe(true);
    expect(sub.place).toMatchObject({ offset: 5 });
    const again = conn.subscribe("short/a", { since: sub.place! });
    expect((await again.next()).value).toMatchObject({ kind: "entry", data: 6 });
  });

  test("the inbox, volatile messages, presence and a refusal", async () => {
    const conn = open();
    const greeted = new Promise((resolve) => conn.once("greeting", (text, item) => resolve([text, item?.kind])));
    await conn.send("greet", "Ann").handled();
    expect(await greeted).toEqual(["Hello Ann", "entry"]);

    await conn.subscribe("room/1").ready();
    const volatile = new Promise((resolve) => conn.once("tick", (n, item) => resolve([n, item?.kind])));
    await conn.send("write now", ["room/1", "tick", 7]).handled();
    expect(await volatile).toEqual([7, "volatile"]);

    const who = conn.subscribe("@who/room/1");
    await who.ready();
    expect(who.state).toHaveLength(1);

    const refused = conn.subscribe("nowhere");
    await expect(refused.next()).rejects.toMatchObject({ name: "SubscriptionRefused" });
    expect(refused.closed).toBe(true);
  });
});

describe("over the end of a process", () => {
  test("a reload loses nothing and repeats nothing", async () => {
    const store = memoryStore();
    const before = open({ store });
    await before.connected(5);
    await before.send("mark", "reload 0").handled();
    const got: unknown[] = [];
    const sub = before.subscribe("log/reload", { onEntry: ({ data }) => got.push(data) });
    await sub.ready();
    await before.send("write", ["log/reload", "n", 1]).handled();
    await until(() => got.length === 1);
    network.refusing = true;
    network.cut();
    for (let i = 1; i < 20; i++) before.send("mark", `reload ${i}`);
    await before.close();

    network.refusing = false;
    const after = open({ store });
    expect(after.restored.map(({ event, data }) => [event, data])).toHaveLength(19);
    after.subscribe("log/reload", { onEntry: ({ data }) => got.push(data) });
    const writer = open();
    await writer.send("write", ["log/reload", "n", 2]).handled();
    await after.settled(5);
    expect(after.restored.every(({ outcome }) => outcome === "handled")).toBe(true);
    const seen = await after.request<string[]>("seen");
    expect(seen.filter((what) => what.startsWith("reload"))).toEqual(Array.from({ length: 20 }, (_, i) => `reload ${i}`));
    await until(() => got.length === 2);
    expect(got).toEqual([1, 2]);
  });
});

async function until(met: () => boolean, seconds = 10): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !met(); ) {
    if (Date.now() > end) throw new Error("it did not come about in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
