/** S4: operators, against a Node server of that wire, on a mini program's sockets. */

import { WebSocket } from "ws";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { type Connection, LoginRefused, miniProgram, miniProgramStore, type Options } from "heartline";
import { community } from "heartline/dialects";
import { MiniProgramHost } from "heartline/testing";
import { Bench, communityServer, type Foreign, pause, until } from "../kit/foreign.js";

let bench: Bench;
let wire: ReturnType<typeof communityServer>;
let server: Foreign;
let host: MiniProgramHost;
beforeEach(async () => {
  bench = new Bench();
  wire = communityServer();
  server = await bench.server(wire);
  host = new MiniProgramHost({ WebSocket, background: 0.05, lateClose: 0.3 });
  bench.onEnd(() => host.kill());
});
afterEach(() => bench.end());

function join(more: Options = {}): Connection {
  const login = { userCode: "c", userInfo: { nick: "n" } };
  return bench.connect(server.url, community, { platform: miniProgram(host.wx as any), connectSocket: undefined, login, ...more });
}
const operators = (client = server.last): string[] => client.said.map(({ Operator }) => Operator).filter((name) => name !== "Heart");
const titles = (): unknown[] => wire.posts.map(({ Table }) => Table);

test("login, then everything, spelt exactly; the openId is kept for the next login, and over a restart", async () => {
  const store = (): Options => ({ store: miniProgramStore(host.wx as any) });
  const conn = join(store());
  await conn.connected(4);
  expect(server.last.said[0]).toEqual({ Operator: "userLogin", userCode: "c", userInfo: { nick: "n" } });
  await conn.send("CreateInvitation", { isRichText: false, Table: "T", Image: undefined, Text: "x" }).handled();
  expect(await conn.request("GetInvitation", { time: 1, limt: 10, skip: 0 })).toEqual({ data: [null], serverTime: 1 });
  expect(server.last.said.slice(1).map((one) => JSON.stringify(one))).toEqual([
    '{"Operator":"CreateInvitation","isRichText":false,"Table":"T","Text":"x"}',
    '{"Operator":"GetInvitation","time":1,"limt":10,"skip":0}',
  ]);
  host.cut();
  await until(() => server.clients.length === 2 && conn.state === "open");
  const again = { Operator: "userLogin", userCode: "c", userInfo: { nick: "n" }, userOpenId: "open-c" };
  expect(server.last.said[0]).toEqual(again);
  await conn.close();
  host.kill();
  host = new MiniProgramHost({ WebSocket, storage: host.storage });
  await join(store()).connected(4);
  expect(server.last.said[0]).toEqual(again);
});

test("what an earlier process could not send goes out, in order", async () => {
  await server.die();
  const store = (): Options => ({ store: miniProgramStore(host.wx as any), login: { userCode: "c" } });
  const before = join(store());
  before.send("CreateInvitation", { Table: "one" }, { delivery: "at_least_once" });
  before.send("CreateInvitation", { Table: "two" });
  await until(() => host.dials > 1);
  host.kill();
  host = new MiniProgramHost({ WebSocket, storage: host.storage });
  await server.begin();
  const after = join(store());
  await until(() => after.restored.length === 2);
  await Promise.all(after.restored.map((receipt) => receipt.handled()));
  await until(() => titles().length === 2);
  expect(titles()).toEqual(["one", "two"]);
});

test("a login that is refused, and one that is banned", async () => {
  const wrong = join({ login: { userCode: "bad" } });
  await expect(wrong.connected(4)).rejects.toThrow("no such code");
  wire.banned = true;
  const banned = join();
  const reasons: string[] = [];
  banned.onState(({ new: state, reason }) => state === "refused" && reasons.push(reason));
  await expect(banned.connected(4)).rejects.toBeInstanceOf(LoginRefused);
  expect(reasons).toEqual([expect.stringContaining("banned")]);
  await pause(0.3);
  expect(server.clients.length).toBe(2);
});

describe("faults of the field that are none here", () => {
  test("the buffer is sent in reverse; several sends while offline open several sockets, and all data is lost", async () => {
    await server.die();
    const conn = join();
    const receipts = [1, 2, 3, 4, 5].map((Table) => conn.send("CreateInvitation", { Table }));
    const reply = conn.request("GetInvitation", { id: 6 });
    await until(() => host.dials >= 3);
    expect(host.sockets).toBeLessThanOrEqual(1);
    await server.begin();
    await Promise.all(receipts.map((receipt) => receipt.handled()));
    expect(await reply).toEqual({ data: [6], serverTime: 1 });
    expect(titles()).toEqual([1, 2, 3, 4, 5]);
    expect(operators()).toEqual(["userLogin", ...Array(5).fill("CreateInvitation"), "GetInvitation"]);
    expect(server.open.length).toBe(1);
  });

  test("with the platform's socket limit reached every later send is lost silently", async () => {
    const others = Array.from({ length: 5 }, () => host.wx["connectSocket"]({ url: server.url }));
    await until(() => server.open.length === 5);
    const conn = join();
    const receipt = conn.send("CreateInvitation", { Table: "kept" });
    await until(() => host.dials >= 7);
    expect([receipt.outcome, conn.pending]).toEqual([null, 1]);
    others[0].close();
    await receipt.handled();
    await until(() => titles().length);
    expect(titles()).toEqual(["kept"]);
  });

  test("one beat for each open socket; an old socket's close breaks the new one", async () => {
    const conn = join();
    await conn.connected(4);
    for (let i = 0; i < 3; i++) {
      host.freeze(); // dead, and its close comes late or never
      await until(() => server.clients.length === i + 2 && conn.state === "open");
    }
    host.cut(); // told 0.3 s late
    await until(() => server.clients.length === 5 && conn.state === "open");
    const hearts = (): number => server.said.filter(({ Operator }) => Operator === "Heart").length;
    const before = hearts();
    await pause(0.9);
    expect(hearts() - before).toBeLessThanOrEqual(5);
    expect([conn.state, server.clients.length]).toEqual(["open", 5]);
    await conn.send("CreateInvitation", { Table: "works" }).handled();
    await until(() => titles().length);
    expect(titles()).toEqual(["works"]);
  });

  test("after a drop or a return from the background nothing reconnects until the next send", async () => {
    const conn = join();
    await conn.connected(4);
    server.cut();
    await until(() => server.clients.length === 2 && conn.state === "open");
    host.hide();
    await pause(0.2);
    expect(server.open.length).toBe(0);
    conn.send("CreateInvitation", { Table: "written in the background" }, { delivery: "at_least_once" });
    host.show();
    await until(() => titles().length === 1);
    expect([server.open.length, server.clients.length]).toEqual([1, 3]);
  });

  test("answers are matched by name, so two requests in flight both reach the last callback", async () => {
    const held: (() => void)[] = [];
    const slow = await bench.server((client, message, text) => {
      if (message.Operator === "GetInvitation" && message.id !== "late") held.push(() => wire(client, message, text));
      else if (message.Operator !== "GetInvitation") wire(client, message, text);
    });
    const conn = bench.connect(slow.url, community, { login: { userCode: "c" } });
    const one = conn.request("GetInvitation", { id: 1 });
    const two = conn.request("GetInvitation", { id: 2 });
    const like = conn.request("LoveInvitation", { id: 3 });
    expect(await like).toEqual({});
    expect(held).toHaveLength(2);
    for (const answer of held.splice(0)) answer();
    expect([await one, await two]).toEqual([
      { data: [1], serverTime: 1 },
      { data: [2], serverTime: 1 },
    ]);
    // one that nobody waits for any more keeps its place
    const impatient = conn.request("GetInvitation", { id: 4 }, { timeout: 0.05 });
    await expect(impatient).rejects.toMatchObject({ name: "RequestTimeout" });
    const five = conn.request("GetInvitation", { id: 5 });
    await until(() => held.length === 2);
    for (const answer of held) answer();
    expect(await five).toEqual({ data: [5], serverTime: 1 });
    expect(conn.pending).toBe(0);
  });

  test("the ban callback is lost after a reconnect", async () => {
    const conn = join();
    const states: string[] = [];
    conn.onState(({ new: state }) => states.push(state));
    await conn.connected(4);
    wire.banned = true;
    server.cut();
    await until(() => states.includes("refused"));
    expect(() => conn.send("CreateInvitation", {})).toThrow(LoginRefused);
  });

  test("an operator named like a built-in method calls it", async () => {
    const names = ["toString", "constructor", "hasOwnProperty", "__proto__", "valueOf", "on", "close", "emit"];
    const conn = join();
    const got: string[] = [];
    for (const name of names.slice(0, 4)) conn.on(name, ({ Operator }) => got.push(Operator));
    const own: unknown[] = [];
    for (const name of ["@state", "@gap", "@error"] as const) conn.on(name, (data) => own.push(data));
    await conn.connected(4);
    own.length = 0;
    for (const name of [...names, "@state", "@gap", "@error", ""]) server.last.say(`{"Operator":"${name}","x":1}`);
    await until(() => got.length === 4);
    await pause(0.05);
    expect(got).toEqual(names.slice(0, 4));
    expect([own, conn.state]).toEqual([[], "open"]);
    for (const name of names) await expect(conn.request(name, {}, { timeout: 0.02 })).rejects.toMatchObject({ name: "RequestTimeout" });
    server.last.say('{"Operator":"toStringOK","x":1}');
  });
});
