/** S0: text ping and pong, against a Node server of that wire. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { connect, GaveUp, shared } from "heartline";
import { heart } from "heartline/dialects";
import { ManualTimers } from "heartline/testing";
import { FakeSocket } from "../kit/fake.js";
import { Bench, type Foreign, heartServer, hole, pause, until } from "../kit/foreign.js";

let bench: Bench;
beforeEach(() => void (bench = new Bench()));
afterEach(() => bench.end());

const pings = (server: Foreign): number => server.said.filter((text) => text === "ping").length;

test("everything but pong is application data, whatever it looks like", async () => {
  const server = await bench.server(heartServer);
  const got: unknown[] = [];
  const conn = bench.connect(`${server.url}websocket?7&42`, heart, { on: { message: (data) => got.push(data) } });
  conn.send("message", "hello");
  conn.send("message", "");
  await until(() => got.length === 2);
  for (const text of ['"pong"', " pong", "PONG", "{}", "ping", "\u0000"]) server.last.say(text);
  await until(() => got.length === 8);
  expect(got).toEqual(["you said hello", "you said ", '"pong"', " pong", "PONG", "{}", "ping", "\u0000"]);
  expect(server.last.url).toBe("/websocket?7&42");
  expect(() => conn.send("message", { no: "text" })).toThrow("data must be text");
  await expect(conn.request("message", "x")).rejects.toThrow("spells no call");
  expect(() => conn.subscribe("c")).toThrow(TypeError);
  expect(bench.errors).toEqual([]);
});

test("ping 10 s after open and 10 s after each answer; dead 10 s after an unanswered one; 5 s to the next dial", () => {
  const timers = new ManualTimers();
  const sockets: Text[] = [];
  class Text extends FakeSocket {
    readonly texts: string[] = [];
    override send(text: string): void {
      this.texts.push(text);
    }
  }
  const conn = connect("ws://h/", {
    dialect: heart,
    timers,
    random: () => 0.999999,
    connectSocket: (url, protocols) => (sockets.push(new Text(url, protocols)), sockets[sockets.length - 1]!),
  });
  const [first] = sockets as [Text];
  expect(first.protocols).toEqual([]);
  first.open();
  expect(conn.state).toBe("open");
  timers.advance(9.9);
  expect(first.texts).toEqual([]);
  timers.advance(0.2);
  expect(first.texts).toEqual(["ping"]);
  timers.advance(6.9); // at 17 s the answer
  first.onmessage!({ data: "pong" });
  timers.advance(9.9);
  expect(first.texts).toHaveLength(1);
  timers.advance(0.2);
  expect(first.texts).toHaveLength(2);
  timers.advance(9.8);
  expect([conn.state, first.closed]).toEqual(["open", null]);
  timers.advance(0.2);
  expect(conn.state).toBe("waiting");
  expect(first.closed).not.toBeNull();
  timers.advance(4.8);
  expect(sockets).toHaveLength(1);
  timers.advance(0.2);
  expect(sockets).toHaveLength(2);
  void conn.close();
  expect(timers.count).toBe(0);
});

describe("faults of the field that are none here", () => {
  test("the attempt counter never resets", async () => {
    const server = await bench.server(heartServer);
    const conn = bench.connect(server.url, { ...heart, reconnect: { ...heart.reconnect, attempts: 4 } }, {
      backOff: { base: 0.2, cap: 0.2 },
    });
    await conn.connected(4);
    for (let i = 0; i < 4; i++) {
      await until(() => pings(server) > i); // it proved good
      await pause(0.02);
      const { dials } = bench.network;
      await server.die();
      await until(() => bench.network.dials > dials); // in each outage one dial fails
      await until(() => conn.state === "waiting");
      await server.begin();
      await conn.connected(4);
    }
  });

  test("after the limit nothing can revive it and nobody is told", async () => {
    const server = await bench.server(heartServer);
    const reasons: string[] = [];
    const conn = bench.connect(server.url, heart, { backOff: { base: 0.01, cap: 0.01 } });
    conn.onState(({ new: state, reason }) => state === "gave up" && reasons.push(reason));
    await conn.connected(4);
    await until(() => pings(server));
    await pause(0.02);
    const { dials } = bench.network;
    await server.die();
    await until(() => conn.state === "gave up");
    expect(bench.network.dials - dials).toBe(12);
    expect(reasons).toEqual([expect.stringContaining("12 attempts")]);
    await expect(conn.connected()).rejects.toBeInstanceOf(GaveUp);
    await server.begin();
    conn.retry();
    await conn.connected(4);
  });

  test("other traffic does not count as life", async () => {
    const server = await bench.server(() => {});
    const conn = bench.connect(server.url, heart);
    await conn.connected(4);
    const talk = setInterval(() => server.last.say("tick"), 50);
    bench.onEnd(() => clearInterval(talk));
    await pause(1);
    expect([conn.state, server.clients.length]).toEqual(["open", 1]);
  });

  test("timers survive close and kill the next connection", async () => {
    const server = await bench.server(heartServer);
    const conn = bench.connect(server.url, heart);
    await conn.connected(4);
    await pause(0.15);
    await conn.close();
    conn.retry();
    await conn.connected(4);
    await pause(0.7);
    expect([conn.state, server.clients.length, server.open.length]).toEqual(["open", 2, 1]);
  });

  test("leaving the page stops nothing, entering it twice leaves two sockets", async () => {
    const server = await bench.server(heartServer);
    const { connectSocket } = bench.network;
    const enter = () =>
      shared(`${server.url}page`, { dialect: heart, connectSocket, heartbeat: { interval: 0.1, timeout: 0.1 } }).scope();
    const [one, two] = [enter(), enter()];
    await one.connection.connected(4);
    expect(server.open.length).toBe(1);
    one.close();
    await pause(0.15);
    expect(server.open.length).toBe(1);
    two.close();
    await until(() => server.open.length === 0);
    expect(server.last.code).toBe(1000);
    const before = pings(server);
    await pause(0.3);
    expect([pings(server), server.clients.length]).toEqual([before, 1]);
    const again = enter();
    await again.connection.connected(4);
    expect([server.clients.length, server.open.length]).toEqual([2, 1]);
    again.close();
  });

  test('it claims "connected" before it is', async () => {
    const deaf = await hole();
    bench.onEnd(deaf.close);
    const conn = bench.connect(deaf.url, heart, { connectTimeout: 0.2 });
    const states: string[] = [];
    conn.onState(({ new: state }) => states.push(state));
    await until(() => states.includes("waiting"));
    expect(states).not.toContain("open");
    await expect(conn.connected(0.05)).rejects.toMatchObject({ name: "Timeout" });
  });
});
