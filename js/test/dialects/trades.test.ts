/** S3: one subscription, pushed positions, a stop before the close, against a Node server of that wire. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Connection, Options } from "heartline";
import { trades } from "heartline/dialects";
import { Bench, type Foreign, hole, pause, tradesServer, until } from "../kit/foreign.js";

let bench: Bench;
let server: Foreign;
beforeEach(async () => {
  bench = new Bench();
  server = await bench.server(tradesServer);
});
afterEach(() => bench.end());

const args = { type: "subscribe", id: 7 };
const stop = { type: "stop", id: 7 };
const PING = { traderid: 10260, type: "Ping" };
const EVENT = "getPositonsOrder";

/** A page with two tabs: the first one holds the connection. */
function page(more: Options = {}): { conn: Connection; rows: any[]; entries: any[]; gaps: any[] } {
  const conn = bench.connect(server.url, trades, { params: { stop }, ...more });
  const [rows, entries, gaps]: any[][] = [[], [], []];
  conn.on(EVENT, (message) => rows!.push(message));
  conn.subscribe("positions", { args, onEntry: ({ data }) => entries!.push(data), onGap: (gap) => gaps!.push(gap) });
  return { conn, rows: rows!, entries: entries!, gaps: gaps! };
}

test("subscription, pushes, beats, and a stop before the close, spelt exactly", async () => {
  const { conn, rows, entries } = page();
  await until(() => rows.length && entries.length);
  server.last.say({ Code: 1, data: null });
  server.last.say({ Code: 1, data: 0 });
  server.last.say({ Code: 1 });
  server.last.say({ Code: 200, data: [{ id: 1 }], more: true });
  await until(() => rows.length === 2);
  expect(rows).toEqual([{ Code: 200, data: [{ id: 7 }] }, { Code: 200, data: [{ id: 1 }], more: true }]);
  expect(entries).toEqual(rows);
  await until(() => server.last.said.length >= 3);
  await conn.close();
  await until(() => server.last.code);
  expect(server.last.said).toEqual([args, ...Array(server.last.said.length - 2).fill(PING), stop]);
  expect(server.last.code).toBe(1000);
});

test("the trader and the beat are configurable", async () => {
  bench.connect(server.url, trades, { params: { traderid: 5 }, heartbeat: { interval: 0.1, timeout: 0.1 } });
  await until(() => server.said.length >= 2);
  expect(server.said[0]).toEqual({ traderid: 5, type: "Ping" });
});

test("tab 0 holds the connection, tab 1 releases it, with the stop message", async () => {
  const { conn, rows } = page({ linger: 0 });
  await until(() => rows.length === 1);
  conn.release();
  await until(() => server.last.code);
  expect([server.last.said.slice(-1), server.last.code, conn.state]).toEqual([[stop], 1000, "idle"]);
  await pause(0.3);
  expect(bench.network.dials).toBe(1);
  conn.hold();
  await until(() => rows.length === 2);
  expect(server.open.length).toBe(1);
});

test("five attempts with a notice for each, then it gives up, and a restart by hand works", async () => {
  await server.die();
  const notices: number[] = [];
  const { conn, rows } = page({ backOff: { base: 0.02, cap: 0.02 } });
  conn.onState(({ new: state, attempt }) => void ((state === "waiting" || state === "gave up") && notices.push(attempt)));
  await until(() => conn.state === "gave up");
  expect(notices).toEqual([1, 2, 3, 4, 5]);
  await pause(0.1);
  expect(bench.network.dials).toBe(5);
  await server.begin();
  conn.retry();
  await until(() => rows.length === 1);
});

describe("faults of the field that are none here", () => {
  test("beats are never checked", async () => {
    // a server that answers them is found dead by that; one that pushes, by stale_after
    const answering = await bench.server((client, message) => {
      tradesServer(client, message, "");
      if (message.type === "Ping") client.say({ type: "Pong" });
    });
    const conn = bench.connect(answering.url, { ...trades, beat: { ...trades.beat, answer: { type: "Pong" } } });
    await conn.connected(4);
    await until(() => answering.said.length > 1);
    bench.network.freeze();
    await until(() => answering.clients.length === 2, "a new link", 1);
  });

  test("after an automatic reconnect the data reaches nobody", async () => {
    const { rows, entries, gaps } = page();
    await until(() => rows.length === 1);
    server.cut();
    await until(() => rows.length === 2 && entries.length === 2);
    expect(gaps).toHaveLength(1);
    server.last.say({ Code: 200, data: [1] });
    await until(() => rows.length === 3);
  });

  test("a close while connecting or waiting is ignored, and the socket outlives the page", async () => {
    const deaf = await hole();
    bench.onEnd(deaf.close);
    const connecting = bench.connect(deaf.url, trades, { params: { stop } });
    await until(() => deaf.sockets.size === 1);
    await connecting.close();
    await until(() => deaf.sockets.size === 0, "the dial is given up", 1);

    await server.die();
    const { conn } = page();
    await until(() => conn.state === "waiting");
    await conn.close();
    await server.begin();
    const { dials } = bench.network;
    await pause(0.3);
    expect([bench.network.dials, server.clients.length, conn.state]).toEqual([dials, 0, "closed"]);
  });

  test("hanging attempts stack up and all open at once", async () => {
    const deaf = await hole();
    bench.onEnd(deaf.close);
    bench.connect(deaf.url, trades, { connectTimeout: 0.1, maxAttempts: 6 });
    let most = 0;
    for (let i = 0; i < 60; i++) {
      await pause(0.01);
      most = Math.max(most, deaf.sockets.size);
    }
    expect(bench.network.dials).toBeGreaterThan(2);
    expect(most).toBeLessThanOrEqual(2); // the one before may still be closing
  });

  test("starting twice leaves an orphan", async () => {
    const { conn, rows } = page();
    conn.hold();
    conn.retry();
    conn.hold();
    await until(() => rows.length === 1);
    conn.retry();
    await pause(0.2);
    expect([server.clients.length, rows.length]).toEqual([1, 1]);
    await conn.close();
    await until(() => server.open.length === 0);
  });

  test("a server that accepts and drops is retried for ever without back-off", async () => {
    server.dropping = true;
    const waits: number[] = [];
    const { conn, rows } = page({ backOff: { base: 0.02, cap: 1 }, random: () => 0.999 });
    conn.onState(({ retryIn }) => retryIn !== null && waits.push(retryIn));
    conn.send("any", { some: "message" }); // what was only written is no progress
    await until(() => conn.state === "gave up");
    expect(server.clients.length).toBe(5);
    expect(waits.map((wait) => Math.round(wait * 100))).toEqual([2, 4, 8, 16]);
    server.dropping = false;
    conn.retry();
    await until(() => rows.length === 1);
  });

  test("one push is delivered many times", async () => {
    const { rows, entries } = page();
    for (let i = 1; i <= 4; i++) {
      await until(() => rows.length === i);
      server.cut();
    }
    await until(() => rows.length === 5);
    server.last.say({ Code: 200, data: ["last"] });
    await until(() => rows.length >= 6);
    await pause(0.05);
    expect([rows.length, entries.length]).toEqual([6, 6]);
  });
});
