/** S2: messages and heartbeats in one envelope, against a Node server of that wire. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { type Connection, GaveUp } from "heartline";
import { echo } from "heartline/dialects";
import { Bench, echoServer, type Foreign, pause, until } from "../kit/foreign.js";

let bench: Bench;
beforeEach(() => void (bench = new Bench()));
afterEach(() => bench.end());

const beats = (server: Foreign): any[] => server.said.filter(({ ModeCode }) => ModeCode === "heart_beat");
const messages = (server: Foreign): any[] => server.said.filter(({ ModeCode }) => ModeCode === "message").map(({ msg }) => msg);
function collect(conn: Connection, event = "message"): any[] {
  const got: any[] = [];
  conn.on(event, (data) => void got.push(data));
  return got;
}

test("the server of the field: echoes, beats, and its death and return", async () => {
  const path = fileURLToPath(new URL("../../../examples/echo/node_server.mjs", import.meta.url));
  const start = async (port: string): Promise<{ url: string; kill(): Promise<unknown> }> => {
    const child = spawn(process.execPath, [path, port], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await once(child.stdout, "data");
    const kill = (): Promise<unknown> => (child.kill("SIGKILL"), once(child, "exit"));
    return { url: String(line).trim(), kill };
  };
  const first = await start("0");
  const conn = bench.connect(first.url, echo);
  const got = collect(conn);
  await conn.connected(4);
  await conn.send("message", { text: "one", n: 1.5, list: [null, true] }).handled();
  await pause(0.5); // beats are answered
  expect(conn.state).toBe("open");
  await first.kill();
  await until(() => conn.state === "waiting");
  const kept = [conn.send("message", "two"), conn.send("message", "three")];
  const second = await start(new URL(first.url).port);
  bench.onEnd(second.kill);
  await Promise.all(kept.map((receipt) => receipt.handled()));
  expect(got).toEqual([{ text: "one", n: 1.5, list: [null, true] }, "two", "three"]);
});

describe("faults of the field that are none here", () => {
  test("the close button reconnects", async () => {
    const server = await bench.server(echoServer);
    const conn = bench.connect(server.url, echo);
    await conn.connected(4);
    await conn.close();
    await until(() => server.last.code);
    expect(server.last.code).toBe(1000);
    await pause(0.4);
    expect([bench.network.dials, conn.state]).toEqual([1, "closed"]);
    conn.retry(); // the Connect button
    await conn.connected(4);
    expect(bench.network.dials).toBe(2);
  });

  test("a half-open link is replaced only after the closing time-out", async () => {
    const server = await bench.server(echoServer);
    const conn = bench.connect(server.url, echo);
    await conn.connected(4);
    await until(() => beats(server).length);
    const frozen = Date.now();
    bench.network.freeze(); // not even close() reports
    await until(() => server.open.length === 2);
    expect(Date.now() - frozen).toBeLessThan(1000); // 0.2 + 0.1, the wait of 0.05, and slack
    await conn.connected(4);
    await conn.send("message", "over the new link").handled();
  });

  test("what is sent while a link is dying is lost silently", async () => {
    const server = await bench.server(echoServer);
    const conn = bench.connect(server.url, echo);
    await conn.connected(4);
    bench.network.freeze();
    const once = conn.send("message", "once");
    const again = conn.send("message", "again", { delivery: "at_least_once" });
    await expect(once.handled()).rejects.toMatchObject({ name: "OutcomeUnknown", outcome: "unknown" });
    await again.handled();
    expect(messages(server)).toEqual(["again"]);
  });

  test("buttons crash while closing, connecting and closed", async () => {
    const server = await bench.server(echoServer);
    const conn = bench.connect(server.url, echo);
    conn.retry();
    conn.retry();
    const early = conn.send("message", 1);
    await early.handled();
    for (let i = 0; i < 3; i++) void conn.close();
    expect(() => conn.send("message", 2)).toThrow(expect.objectContaining({ name: "ConnectionClosed" }));
    conn.retry();
    conn.retry();
    void conn.close();
    conn.retry();
    await conn.connected(4);
    await until(() => server.open.length === 1);
    expect(bench.errors).toEqual([]);
  });

  test("slow answers kill a live link", async () => {
    const server = await bench.server((client, message) => setTimeout(() => echoServer(client, message, ""), 75));
    const conn = bench.connect(server.url, echo);
    await conn.connected(4);
    await pause(1);
    expect([conn.state, bench.network.dials]).toEqual(["open", 1]);
    expect(beats(server).length).toBeGreaterThan(2);

    // and where beats are not answered at all, other traffic is life
    const busy = await bench.server(() => {});
    const other = bench.connect(busy.url, echo);
    await other.connected(4);
    const talk = setInterval(() => busy.last.say({ ModeCode: "message", msg: 1 }), 50);
    await pause(0.8);
    clearInterval(talk);
    expect([other.state, busy.clients.length]).toEqual(["open", 1]);
    await until(() => other.state === "waiting"); // and now there is none
  });

  test("connect while a reconnect waits connects at once, and once", async () => {
    const server = await bench.server(echoServer);
    const conn = bench.connect(server.url, echo, { backOff: { base: 20 } });
    await conn.connected(4);
    server.cut();
    await until(() => conn.state === "waiting");
    conn.retry();
    conn.retry();
    await conn.connected(4);
    await pause(0.1);
    expect([server.open.length, bench.network.dials]).toEqual([1, 2]);
  });

  test("a second connection has beats of its own, and the first one's are gone", async () => {
    const server = await bench.server(echoServer);
    const conn = bench.connect(server.url, echo);
    await conn.connected(4);
    for (let i = 0; i < 3; i++) {
      server.cut();
      await until(() => server.open.length === 0);
      await until(() => server.open.length === 1 && conn.state === "open");
    }
    const before = beats(server).length;
    await pause(0.9);
    expect(beats(server).length - before).toBeLessThanOrEqual(5); // one every 0.2 s
    await conn.close();
    const last = beats(server).length;
    await pause(0.4);
    expect(beats(server).length).toBe(last);
  });
});

test("a message is confirmed by its echo, by no other, and in any order", async () => {
  const held: (() => void)[] = [];
  const server = await bench.server((client, message) => {
    if (message.ModeCode === "message") held.push(() => client.say({ ...message, msg: { ...message.msg, seen: true }, extra: 1 }));
    else echoServer(client, message, "");
  });
  const conn = bench.connect(server.url, echo);
  const a = conn.send("message", { a: 1 });
  const b = conn.send("message", { b: 2 });
  await until(() => held.length === 2);
  server.last.say({ ModeCode: "message", msg: { c: 3 } });
  held[1]!();
  await b.handled();
  expect(a.outcome).toBeNull();
  held[0]!();
  await a.handled();
});

test("the bus: on, off, once, emit, and events of the connection", async () => {
  const server = await bench.server(echoServer);
  const states: string[] = [];
  const conn = bench.connect(server.url, echo, { on: { "@state": ({ new: state }) => void states.push(state) } });
  const got = collect(conn);
  const once: any[] = [];
  conn.once("message", (data) => once.push(data));
  const gone = (): void => expect.unreachable();
  conn.on("message", gone);
  conn.off("message", gone);
  conn.emit("message", "here only");
  await conn.send("message", 1).handled();
  await conn.send("message", 2).handled();
  await until(() => got.length === 3);
  expect([got, once]).toEqual([["here only", 1, 2], ["here only"]]);
  server.cut();
  await until(() => states.includes("waiting"));
  await conn.connected(4);
  await conn.close();
  await until(() => states.includes("closed"));
  expect(states).toEqual([
    ...["dialling", "greeting", "open", "waiting", "dialling", "greeting", "open", "closed"],
  ]);
});

test("beat, answer and reconnecting are configurable, and the dialect's own by default", async () => {
  const server = await bench.server(echoServer);
  const conn = bench.connect(server.url, { ...echo, beat: { ...echo.beat, interval: 0.1 }, reconnect: { delay: 0.1, cap: 1, attempts: 2 } }, {
    heartbeat: undefined,
    backOff: undefined,
  });
  const waits: number[] = [];
  conn.onState(({ retryIn }) => retryIn !== null && waits.push(retryIn));
  await conn.connected(4);
  await until(() => beats(server).length > 1, "beats", 1);
  await server.die();
  await until(() => conn.state === "gave up");
  await expect(conn.connected()).rejects.toBeInstanceOf(GaveUp);
  expect(waits).toHaveLength(2);
  for (const wait of waits) expect(wait).toBeGreaterThanOrEqual(0.05);
  await server.begin();
  conn.retry();
  await conn.connected(4);
});

test("a close code of theirs means nothing to us", async () => {
  const server = await bench.server(echoServer);
  const conn = bench.connect(server.url, echo);
  for (const code of [4001, 4100, 4201, 4202, 4203, 4999]) {
    await conn.connected(4);
    const { length } = server.clients;
    const receipt = conn.send("message", code);
    await receipt.handled();
    server.last.socket.close(code, "see you");
    await until(() => server.clients.length === length + 1);
  }
});

test("a dead link is found although the application goes on writing", async () => {
  const server = await bench.server(echoServer);
  const conn = bench.connect(server.url, { ...echo, send: { say: echo.send!.say } }); // what is written is done
  await conn.connected(4);
  await until(() => beats(server).length);
  bench.network.freeze();
  const writing = setInterval(() => conn.state === "open" && conn.send("message", "into the void"), 20);
  bench.onEnd(() => clearInterval(writing));
  await until(() => server.clients.length === 2, "a new link", 1);
});

test("no subprotocol is asked for", async () => {
  const server = await bench.server(echoServer);
  const conn = bench.connect(server.url, echo);
  await conn.connected(4);
  expect(server.last.socket.protocol).toBe("");
  expect(server.last.headers["sec-websocket-protocol"]).toBeUndefined();
});
