/** What no server should say, on each wire: nothing throws, nothing is forged, and the next good message is heard. */

import { afterEach, beforeEach, expect, test } from "vitest";

import { WebSocket } from "ws";

import { type Dialect, miniProgram, type Options } from "heartline";
import { card, community, echo, heart, okx, phoenix, plain, trades } from "heartline/dialects";
import { MiniProgramHost } from "heartline/testing";
import { type Answer, Bench, cardServer, communityServer, echoServer, heartServer, tradesServer, until } from "../kit/foreign.js";

let bench: Bench;
beforeEach(() => void (bench = new Bench()));
afterEach(() => bench.end());

const DEEP = 20_000;
const RUBBISH: (string | Buffer)[] = [
  ...["", " ", "nul", "{", "[", "]", "null", "true", "0", "-1e999", '"x"', "[]", "[[]]", "{}", "\ufeff{}", "\u0000"],
  ...['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}'],
  ...['{"ModeCode":{}}', '{"ModeCode":"__proto__","msg":1}', '{"ModeCode":"@state","msg":{"new":"closed"}}'],
  ...['{"Operator":null}', '{"Operator":"@error"}', '{"Operator":"OK"}', '{"Operator":"LoginOK"}', '{"Operator":"BanLogin"}'],
  ...['{"msgType":"auth_ack","code":"403"}', '{"msgType":[]}', '{"type":"@gap"}'],
  ...['{"data":{"length":-1}}', '{"data":"x","data":null}', '{"event":"error","code":{}}', '{"id":"1","op":1,"code":"0"}'],
  ...["[null,null,null,null,null]", '["1","1","c","phx_reply",{"status":"ok"}]', '["1",null,"c","phx_close",{}]', '[1,2,"@",3,4]'],
  "x".repeat(1 << 20),
  JSON.stringify({ ModeCode: "x".repeat(100_000), msg: 1 }),
  "[".repeat(DEEP) + "]".repeat(DEEP),
  `{"Operator":"deepOK","a":${"[".repeat(DEEP)}${"]".repeat(DEEP)}}`,
  Buffer.from([0xff, 0xfe, 0x00, 0x80]),
  Buffer.alloc(0),
];

const WIRES: [string, Dialect, Answer, unknown, string, Options?][] = [
  ["heart", heart, heartServer, "good", "message"],
  ["echo", echo, echoServer, { ModeCode: "good", msg: "good" }, "good"],
  ["card", card, cardServer(new Map()), { type: "good" }, "good", { login: { token: 1 } }],
  ["trades", trades, tradesServer, { data: "good" }, "getPositonsOrder"],
  ["community", community, communityServer(), { Operator: "good" }, "good", { login: { userCode: "c" } }],
  ["okx", okx, (client, _message, text) => text === "ping" && client.say("pong"), { event: "good" }, "good"],
  ["phoenix", phoenix, () => {}, ["1", null, "c", "good", { text: "good" }], "good"],
  ["plain", plain, () => {}, { good: true }, "message"],
];

const RUNS = WIRES.flatMap(([name, ...rest]) =>
  ["a browser", "a mini program"].map((runtime): [string, string, ...typeof rest] => [name, runtime, ...rest]),
);

test.each(RUNS)("rubbish on the wire %s, in %s", async (_name, runtime, dialect, answer, good, event, more = {}) => {
  const host = new MiniProgramHost({ WebSocket });
  bench.onEnd(() => host.kill());
  const options: Options = { ...more, ...(runtime === "a mini program" && { platform: miniProgram(host.wx as any) }) };
  const server = await bench.server(answer);
  const life = { heartbeat: { interval: 5, timeout: 5 } };
  const conn = bench.connect(server.url, dialect, { ...life, ...options });
  const own: unknown[] = [];
  await conn.connected(4);
  for (const name of ["@state", "@error"] as const) conn.on(name, (data) => own.push(data));
  if (dialect.request) void conn.request("any", {}, { timeout: 0.3, channel: dialect === phoenix ? "c" : "" }).catch(() => {});
  if (dialect.subscribe) conn.subscribe("c", { args: { any: 1 }, onEntry: () => {}, onGap: () => {}, onEnd: () => {} });
  const heard: unknown[] = [];
  conn.on(event, (data) => heard.push(data));
  for (const rubbish of RUBBISH) server.last.socket.send(rubbish);
  server.last.say(good);
  await until(() => heard.length && JSON.stringify(heard[heard.length - 1]).includes("good"));
  expect(own).toEqual([]);
  expect([conn.state, server.clients.length]).toEqual(["open", 1]);
  expect((Object.prototype as { polluted?: unknown }).polluted).toBeUndefined();
  for (const emitted of ["@state", "@error"] as const) conn.off(emitted);
});
