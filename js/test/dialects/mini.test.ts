/** Dialects on a mini program's sockets, which are as bad as devices have them. */

import { WebSocket } from "ws";
import { afterEach, beforeEach, expect, test } from "vitest";

import { type Connection, type Dialect, miniProgram, type Options } from "heartline";
import { card, community, echo, heart, trades } from "heartline/dialects";
import { MiniProgramHost } from "heartline/testing";
import { type Answer, Bench, cardServer, communityServer, echoServer, type Foreign, heartServer, hole, pause, tradesServer, until } from "../kit/foreign.js";

let bench: Bench;
let host: MiniProgramHost;
beforeEach(() => {
  bench = new Bench();
  host = new MiniProgramHost({ WebSocket, background: 0.05, lateClose: 0.3 });
  bench.onEnd(() => host.kill());
});
afterEach(() => bench.end());

const join = (url: string, dialect: Dialect, more: Options = {}): Connection =>
  bench.connect(url, dialect, { platform: miniProgram(host.wx as any), connectSocket: undefined, ...more });

const answered: Answer = (client, message, text) => {
  tradesServer(client, message, text);
  if (message.type === "Ping" || message.type === "heartBeat") client.say({ type: "Pong" });
  else cardServer(new Map())(client, message, text);
};
const ponged = { answer: { type: "Pong" } };

// What card and trades send is answered by no server of the field: one that answers is watched.
test.each<[string, Dialect, Answer, Options?]>([
  ["heart", heart, heartServer],
  ["echo", echo, echoServer],
  ["community", community, communityServer(), { login: { userCode: "c" } }],
  ["card", { ...card, beat: { ...card.beat, ...ponged } }, answered, { login: { token: 1 } }],
  ["trades", { ...trades, beat: { ...trades.beat, ...ponged } }, answered],
])("a half-open link is found within the bound of %s, with a silent server and with a frozen network", async (_name, dialect, answer, more) => {
  const server: Foreign = await bench.server(answer);
  const conn = join(server.url, dialect, { helloTimeout: 0.3, ...more });
  await conn.connected(4);
  await until(() => server.last.said.length);
  await pause(0.05);
  const started = Date.now();
  host.freeze();
  await until(() => server.clients.length === 2 && conn.state === "open");
  server.silent = true;
  await until(() => server.clients.length === 3);
  expect(Date.now() - started).toBeLessThan(1600); // twice 0.3, and what dialling takes
  server.silent = false;
  await until(() => conn.state === "open");
});

test("hanging attempts do not stack up, and one that opens late is closed", async () => {
  const deaf = await hole();
  bench.onEnd(deaf.close);
  join(deaf.url, heart, { connectTimeout: 0.1, maxAttempts: 4 });
  await until(() => host.dials === 4);
  await pause(0.2);
  expect([host.dials, host.sockets]).toEqual([4, expect.any(Number)]);
  // a device ignores a close while connecting: the sockets that hang are the platform's, and no link
});

test("a server that accepts and drops is dialled ever more slowly, up to the limit", async () => {
  const server = await bench.server(heartServer);
  server.dropping = true;
  const waits: number[] = [];
  const conn = join(server.url, heart, { backOff: { base: 0.02, cap: 1 }, maxAttempts: 5, random: () => 0.999 });
  conn.onState(({ retryIn }) => retryIn !== null && waits.push(retryIn));
  await until(() => conn.state === "gave up");
  expect(waits.map((wait) => Math.round(wait * 100))).toEqual([2, 4, 8, 16]);
});

test("close while connecting, and while waiting", async () => {
  const server = await bench.server(tradesServer);
  const connecting = join(server.url, trades);
  await connecting.close();
  await pause(0.2);
  expect([server.open.length, server.said]).toEqual([0, []]);
  await server.die();
  const waiting = join(server.url, trades);
  await until(() => waiting.state === "waiting");
  await waiting.close();
  await server.begin();
  const { dials } = host;
  await pause(0.3);
  expect([host.dials, host.sockets]).toEqual([dials, 0]);
});

test("two requests of one name, while the app goes to the background and returns", async () => {
  const server = await bench.server(communityServer());
  const conn = join(server.url, community, { login: { userCode: "c" } });
  await conn.connected(4);
  host.hide();
  await pause(0.2);
  const ask = (id: number) => conn.request("GetInvitation", { id }, { delivery: "at_least_once" });
  const replies = Promise.all([ask(1), ask(2), ask(3)]);
  await pause(0.1);
  host.show();
  expect(await replies).toEqual([1, 2, 3].map((id) => ({ data: [id], serverTime: 1 })));
  expect(server.open.length).toBe(1);
});
