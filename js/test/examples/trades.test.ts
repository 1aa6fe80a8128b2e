/**
 * The trades example as uni-app builds it for WeChat, in the host: what existing clients of that system get wrong, as its
 * page shows it. The same module holds the connection of the browser page.
 */

import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import { type HostOptions, MiniProgramHost } from "heartline/testing";
import { Peer } from "../kit/peer.js";
import { serve } from "../kit/server.js";
import { built, PATIENCE } from "../kit/uniapp.js";
import { quiet, until } from "../kit/until.js";

vi.setConfig({ testTimeout: 60_000 }); // on a busy machine

const FAST = 25; // its fifteen seconds are 0.6 of ours
const SUBSCRIBE = '{"type":"Subscribe","traderid":10260}';
const STOP = '{"type":"Stop","traderid":10260}';
const BEAT = '{"traderid":10260,"type":"Ping"}';
const ROWS = [
  { orderid: 1, traderid: 10260, symbol: "EURUSD", cmd: "buy", volume: 1, profit: 1.5, flwsig: false, sigtraderid: 0 },
  { orderid: 2, traderid: 10260, symbol: "USDJPY", cmd: "sell", volume: 2, profit: -2, flwsig: true, sigtraderid: 20001 },
  { orderid: 3, traderid: 10260, symbol: "XAUUSD", cmd: "buy", volume: 3, profit: 0, flwsig: true, sigtraderid: 20002 },
];
const PUSH = JSON.stringify({ Code: 200, data: ROWS });

let project: string;
let peer: Peer;
let pushing: ReturnType<typeof setInterval>;
const hosts: MiniProgramHost[] = [];

beforeAll(async () => {
  project = await built("mp-weixin");
}, PATIENCE * 1000);
beforeEach(async () => {
  peer = await Peer.start();
  peer.answer = (socket, text) => text === SUBSCRIBE && socket.send(PUSH);
  pushing = setInterval(() => peer.say(PUSH), 200); // every five of its seconds
});
afterEach(() => {
  clearInterval(pushing);
  hosts.splice(0).forEach((host) => host.kill());
  peer.stop();
});

function start(options: HostOptions = {}): MiniProgramHost {
  const resolve = (url: string): string => url.replace("wss://trades.example/", peer.url);
  const host = new MiniProgramHost({ WebSocket, strict: true, resolve, speed: FAST, ...options });
  hosts.push(host);
  host.launch(project);
  return host;
}

/** On the page, from the first one by a tap. */
async function enter(options: HostOptions = {}): Promise<MiniProgramHost> {
  const host = start(options);
  host.view().tap("Positions 10260");
  await until(() => host.pages.current!.route === "pages/trades/trades", "the page");
  return host;
}

/** On the page, with a push on the screen. */
async function live(options: HostOptions = {}): Promise<MiniProgramHost> {
  const host = await enter(options);
  await until(() => positions(host).length);
  return host;
}

const positions = (host: MiniProgramHost): string[] => host.view().texts("what");
const notice = (host: MiniProgramHost): string => host.view().texts("notice")[0] ?? "";
const toasts = (host: MiniProgramHost): string[] => host.shown.map(({ title }) => title);
const pushes = (host: MiniProgramHost): number => parseInt(host.view().text.match(/Pushes: (\d+)/)![1]!);
const back = (host: MiniProgramHost): void => host.wx["navigateBack"]({});
const failures = (host: MiniProgramHost): string[] => toasts(host).filter((text) => /trying|Could not/.test(text));
const tries = (...numbers: string[]): string[] => numbers.map((n) => `Connection failed, trying for the ${n} time`);

describe("the page", () => {
  test("subscribes at open, shows what is pushed, and filters it", async () => {
    const host = await live();
    expect(peer.paths).toEqual(["/trades"]);
    expect(peer.said[0]!.text).toBe(SUBSCRIBE);
    expect(positions(host)).toEqual(["USDJPY sell 2", "XAUUSD buy 3", "EURUSD buy 1"]);
    host.view().fire("Signal: All", "change", { value: 2 });
    await until(() => positions(host).length === 1);
    expect(positions(host)).toEqual(["XAUUSD buy 3"]);
    host.view().fire("Followed and own apart", "change", { value: true });
    await until(() => host.view().find("heading").length === 2);
    expect(host.view().texts("heading")).toEqual(["Followed", "Own"]);
    expect(positions(host)).toEqual(["XAUUSD buy 3", "EURUSD buy 1"]);
    expect(host.errors).toEqual([]);
  });

  test("what is no push with data is ignored, rubbish too", async () => {
    const host = await live();
    for (const text of ["", "x", "null", "[]", '{"Code":1}', '{"data":0}', '{"data":""}', '{"data":null}', '{"data":[null,1]}']) peer.say(text);
    await until(() => !positions(host).length, "the push without a row");
    peer.say(PUSH);
    await until(() => positions(host).length === 3);
    expect(host.errors).toEqual([]);
    expect(host.dials).toBe(1);
  });

  test("the beat is said every fifteen seconds, once per connection", async () => {
    const host = await live();
    await until(() => peer.texts().filter((text) => text === BEAT).length >= 3);
    const times = peer.said.filter(({ text }) => text === BEAT).map(({ at }) => at * FAST);
    expect((times.at(-1)! - times[0]!) / (times.length - 1)).toBeGreaterThan(11); // one of them may have come late
    expect(new Set(peer.texts())).toEqual(new Set([SUBSCRIBE, BEAT]));
    expect(host.dials).toBe(1);
  });
});

describe("holding and releasing", () => {
  test("the second tab says stop, closes with 1000, and nothing dials; the first one goes on", async () => {
    const host = await live();
    host.view().tap("Closed Trades");
    await until(() => peer.closes.length);
    expect(peer.closes).toEqual([{ link: 1, code: 1000 }]);
    expect(peer.texts(BEAT)).toEqual([SUBSCRIBE, STOP]);
    await until(() => toasts(host).includes("Connection closed")); // the person is told
    await quiet(1.2); // thirty seconds
    expect([peer.asked, host.sockets]).toEqual([1, 0]);
    const before = peer.said.length;
    host.view().tap("Open Trades");
    await until(() => peer.said.length > before);
    expect(peer.said[before]!.text).toBe(SUBSCRIBE);
    await until(() => positions(host).length === 3);
    expect(peer.asked).toBe(2);
  });

  test("whoever else follows keeps it: it is left when the last one releases it", async () => {
    const host = await live();
    host.view().fire("Keep following on the other tab", "change", { value: true });
    host.view().tap("Closed Trades");
    await quiet(0.3);
    expect([peer.open.length, host.dials]).toEqual([1, 1]);
    host.view().tap("Open Trades");
    await until(() => host.view().find("picker").length);
    host.view().fire("Keep following on the other tab", "change", { value: false });
    await quiet(0.2);
    expect(peer.open).toHaveLength(1); // the tab holds it
    host.view().tap("Closed Trades");
    await until(() => !peer.open.length);
  });

  test("starting twice is one socket, and holding twice is holding once", async () => {
    const host = await enter();
    for (let i = 0; i < 3; i++) host.view().tap("Open Trades");
    await until(() => positions(host).length);
    host.view().tap("Open Trades");
    await quiet(0.2);
    expect([peer.asked, peer.open.length]).toEqual([1, 1]);
    host.view().tap("Closed Trades");
    await until(() => !peer.open.length);
  });

  test("leaving the page says stop, closes, and nothing dials", async () => {
    const host = await live();
    back(host);
    await until(() => peer.closes.length);
    expect(peer.texts(BEAT)).toEqual([SUBSCRIBE, STOP]);
    expect(peer.closes).toEqual([{ link: 1, code: 1000 }]);
    const said = peer.said.length;
    await quiet(1.2);
    expect([peer.said.length, peer.asked, host.sockets]).toEqual([said, 1, 0]);
  });

  test("left while connecting or waiting, no socket outlives the page", async () => {
    const host = start();
    for (const mode of ["hang", "refuse"] as const) {
      peer.mode = mode;
      host.view().tap("Positions 10260");
      const asked = peer.asked;
      await until(() => peer.asked > asked);
      back(host);
      peer.mode = "take";
      peer.unhang();
      await quiet(0.5);
      expect(peer.open).toEqual([]);
      expect(peer.asked).toBe(asked + 1);
      expect(peer.texts()).toEqual([]);
    }
  });
});

describe("outages", () => {
  test("after a reconnect the data reaches the page again, each push once, link after link", async () => {
    const host = await live();
    for (let link = 2; link < 5; link++) {
      peer.cut();
      await until(() => peer.said.some((said) => said.link === link && said.text === SUBSCRIBE));
      clearInterval(pushing);
      await until(() => notice(host) === "Connected");
      await quiet(0.05);
      const before = pushes(host);
      for (let i = 0; i < 3; i++) peer.say(PUSH);
      await until(() => pushes(host) >= before + 3);
      await quiet(0.05);
      expect(pushes(host)).toBe(before + 3);
    }
  });

  test("an error without a close, as some devices have it, is the end of a link as well", async () => {
    const host = await live();
    host.fail();
    await until(() => peer.asked === 2);
    const before = pushes(host);
    await until(() => pushes(host) > before);
    expect(failures(host)).toEqual(tries("1st"));
    expect(peer.open).toHaveLength(1);
  });

  test("five tries, each with a notice, then connectError, and a restart by hand", async () => {
    const host = await live();
    host.speed = 500;
    peer.mode = "refuse";
    const asked = peer.asked;
    peer.cut();
    await until(() => host.view().text.includes("Retry"), "giving up");
    expect(peer.asked - asked).toBe(5);
    expect(failures(host)).toEqual([...tries("1st", "2nd", "3rd", "4th", "5th"), "Could not connect"]);
    await quiet(0.2); // a hundred seconds
    expect(peer.asked - asked).toBe(5);
    host.shown.length = 0;
    host.view().tap("Retry");
    await until(() => failures(host).includes("Could not connect"), "giving up again");
    expect(failures(host)).toEqual([...tries("2nd", "3rd", "4th", "5th"), "Could not connect"]);
    expect(peer.asked - asked).toBe(10);
    host.speed = FAST;
    peer.mode = "take";
    host.view().tap("Retry");
    await until(() => notice(host) === "Connected");
    await until(() => !host.view().text.includes("Retry"));
  });

  test("a first connection that fails is tried again", async () => {
    peer.mode = "refuse";
    const host = await enter();
    await until(() => peer.asked === 2);
    peer.mode = "take";
    await until(() => positions(host).length);
    expect(failures(host).slice(0, 1)).toEqual(tries("2nd"));
  });

  test("a server that accepts and drops is given up as well, ever more slowly", async () => {
    const host = await live();
    const at: number[] = [];
    peer.mode = "drop";
    const asked = peer.asked;
    peer.cut();
    while (at.length < 5) {
      const n = asked + at.length;
      await until(() => peer.asked > n, "a dial");
      at.push(Date.now());
    }
    await until(() => host.view().text.includes("Retry"));
    expect(peer.asked - asked).toBe(5);
    expect(at[4]! - at[3]!).toBeGreaterThan((10 / FAST) * 1000); // up to 5 s before the first, above 10 before the last
  });

  test("dials that hang do not pile up, and only one of them is used", async () => {
    peer.mode = "hang";
    const host = await enter({ sockets: 10 });
    await until(() => peer.asked === 3, "three dials", 20);
    peer.mode = "take";
    peer.unhang();
    await until(() => positions(host).length);
    await quiet(0.5);
    expect(peer.open).toHaveLength(1);
    expect(new Set(peer.said.map(({ link }) => link)).size).toBe(1); // the others were closed without a word
  });

  test("a link that died silently is found, although nothing answers", async () => {
    const host = await live();
    host.freeze();
    await until(() => host.dials === 2, "the second dial", 20);
    const before = pushes(host);
    await until(() => pushes(host) > before);
    await until(() => peer.said.filter(({ text }) => text === SUBSCRIBE).length === 2);
  });

  test("closed while a dial waits, it stays closed", async () => {
    const host = await live();
    peer.mode = "refuse";
    peer.cut();
    await until(() => failures(host).length);
    host.view().tap("Closed Trades");
    await quiet(0.1);
    peer.mode = "take";
    const asked = peer.asked;
    await quiet(1);
    expect([peer.asked - asked, peer.open.length]).toEqual([0, 0]);
    host.view().tap("Open Trades");
    await until(() => peer.open.length === 1);
  });
});

test("the background cuts the socket, and the return goes on", async () => {
  const host = await live({ speed: 10, background: 1, lateClose: 4 });
  host.hide();
  await until(() => !peer.open.length);
  await quiet(0.3);
  host.show();
  await until(() => peer.asked === 2, "the next dial", 2);
  const before = pushes(host);
  await until(() => pushes(host) > before);
  await quiet(0.5);
  expect([peer.open.length, host.dials]).toEqual([1, 2]);
});

describe("the real server", () => {
  test("pushes, closed trades, a restart and the way back", async () => {
    const server = await serve("systems:app", "--port", "0");
    const address = server.url.replace(/native$/, "");
    const resolve = (url: string): string =>
      url.replace("wss://trades.example/", address).replace("https://trades.example/", address.replace("ws:", "http:"));
    const host = await live({ resolve, speed: 10 });
    await until(() => pushes(host) > 3);
    expect(host.view().text).toMatch(/Signal 2000\d/);
    host.view().tap("Closed Trades");
    await until(() => !host.sockets);
    for (const end = Date.now() + 20_000; !positions(host).length; ) {
      if (Date.now() > end) throw new Error("nothing was closed in time");
      host.view().tap("Open Trades");
      await quiet(0.3);
      host.view().tap("Closed Trades");
      await quiet(0.3);
    }
    host.view().tap("Open Trades");
    await until(() => notice(host) === "Connected");
    await server.kill();
    await until(() => failures(host).length);
    const again = await serve("systems:app", "--port", new URL(address).port);
    try {
      const before = pushes(host);
      await until(() => pushes(host) > before + 2, "pushes after the restart", 20);
      back(host);
      await until(() => !host.sockets);
      expect(host.errors).toEqual([]);
    } finally {
      await again.kill();
    }
  });
});
