/** S1: identity, then binding, against a Node server of that wire. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { LoginRefused } from "heartline";
import { card } from "heartline/dialects";
import { Bench, cardServer, type Foreign, pause, until } from "../kit/foreign.js";

let bench: Bench;
let bindings: Map<string, unknown>;
let server: Foreign;
beforeEach(async () => {
  bench = new Bench();
  bindings = new Map();
  server = await bench.server(cardServer(bindings));
});
afterEach(() => bench.end());

const login = { token: "t", user: 7 };
const args = { baseId: "6", BusinessName: "B", memberId: "4", phone: "3", BusinessID: "2", cardId: "1" };
const BEAT = { type: "heartBeat", msg: "this is heatbeat" };
const BINDING = '{"type":"bindCard","cardId":"1","BusinessID":"2","phone":"3","memberId":"4","BusinessName":"B","baseId":"6"}';
const withoutBeats = (said: any[]): any[] => said.filter(({ type }) => type !== "heartBeat");

test("beat, identity and binding at each open, spelt exactly; bound once", async () => {
  const conn = bench.connect(server.url, card, { login });
  const bound: unknown[] = [];
  const gaps: unknown[] = [];
  conn.on("bindCard_ack", (data) => bound.push(data));
  conn.subscribe("card/1", { args, onEntry: () => {}, onGap: (gap) => gaps.push(gap) });
  await until(() => bound.length === 1);
  expect(server.last.said).toContainEqual(BEAT);
  expect(withoutBeats(server.last.said).map((one) => JSON.stringify(one))).toEqual([JSON.stringify(login), BINDING]);
  server.cut();
  await until(() => bound.length === 2);
  expect(withoutBeats(server.last.said).map((one) => JSON.stringify(one))).toEqual([JSON.stringify(login), BINDING]);
  expect([bindings.size, gaps.length]).toEqual([1, 1]);
  expect(bound[0]).toEqual({ type: "bindCard_ack", cardId: "1" });
});

test.each(["200", 200])("auth_ack with the code %j", async (code) => {
  const other = await bench.server((client) => client.say({ code, success: true, msgType: "auth_ack", extra: 1 }));
  await bench.connect(other.url, card, { login }).connected(4);
});

describe("faults of the field that are none here", () => {
  test("half-open links are never noticed", async () => {
    // Nothing answers the beat and a mini program has no ping: a server that pushes something is watched by that.
    const watched = { ...card, subscribe: { ...card.subscribe!, items: { type: "state", ...{ data: "$data" } }, stale_after: 0.3 } };
    const conn = bench.connect(server.url, watched, { login });
    conn.subscribe("card/1", { args, onEntry: () => {}, onGap: () => {} });
    const push = setInterval(() => server.open.forEach((client) => client.say({ type: "state", data: 1 })), 100);
    bench.onEnd(() => clearInterval(push));
    await conn.connected(4);
    await pause(0.5);
    expect(server.clients.length).toBe(1);
    const frozen = Date.now();
    bench.network.freeze();
    await until(() => server.clients.length === 2);
    expect(Date.now() - frozen).toBeLessThan(1000); // twice stale_after, and the wait
  });

  test("each reconnect adds one more beat loop", async () => {
    const conn = bench.connect(server.url, card, { login });
    await conn.connected(4);
    for (let i = 0; i < 3; i++) {
      server.cut();
      await until(() => server.clients.length === i + 2 && conn.state === "open");
    }
    const count = (): number => server.said.filter(({ type }) => type === "heartBeat").length;
    const before = count();
    await pause(0.9);
    expect(count() - before).toBeLessThanOrEqual(5);
    expect(count() - before).toBeGreaterThanOrEqual(3);
  });

  test("a first connection that fails is never retried", async () => {
    await server.die();
    const conn = bench.connect(server.url, card, { login });
    await until(() => bench.network.dials >= 3);
    await server.begin();
    await conn.connected(4);
  });

  test("closing on a dead link fails, and later reconnects with the page gone", async () => {
    const conn = bench.connect(server.url, card, { login });
    await conn.connected(4);
    bench.network.freeze();
    await conn.close();
    await pause(0.6);
    expect([conn.state, bench.network.dials, bench.errors]).toEqual(["closed", 1, []]);
  });

  test("input that is no JSON throws", async () => {
    const conn = bench.connect(server.url, card, { login });
    const got: unknown[] = [];
    conn.on("state", (data) => got.push(data));
    await conn.connected(4);
    for (const text of ["", "[", "null", "[1]", "7", '"x"', "{}", '{"type":{}}', '{"type":null,"msgType":5}']) server.last.say(text);
    server.last.socket.send(Buffer.from([0xff, 0xfe, 0]));
    server.last.say({ type: "state" });
    await until(() => got.length);
    expect([conn.state, got, bench.errors]).toEqual(["open", [{ type: "state" }], []]);
  });

  test("a refused identity is ignored", async () => {
    const conn = bench.connect(server.url, card, { login: { token: "wrong" } });
    await expect(conn.connected(4)).rejects.toBeInstanceOf(LoginRefused);
    expect(conn.state).toBe("refused");
    await expect(conn.connected()).rejects.toThrow("who are you (403)");
    await pause(0.3);
    expect(bench.network.dials).toBe(1);
    expect(withoutBeats(server.said)).toEqual([{ token: "wrong" }]);
  });
});
