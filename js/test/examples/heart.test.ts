/** The heart mini program in the host: what existing clients of that system get wrong, as its page shows it. */

import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import { type HostOptions, MiniProgramHost } from "heartline/testing";
import { Peer } from "../kit/peer.js";
import { serve } from "../kit/server.js";
import { quiet, until } from "../kit/until.js";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PROJECT = file("../../../examples/heart/miniprogram");
const modules = {
  heartline: file("../../dist/cjs/index.js"),
  "heartline/dialects": file("../../dist/cjs/dialects.js"),
};
vi.setConfig({ testTimeout: 60_000 }); // on a busy machine

const FAST = 20; // its ten seconds are half of ours
const PAGE = "pages/heart/heart?task=7&user=ann";

let peer: Peer;
const hosts: MiniProgramHost[] = [];

beforeEach(async () => {
  peer = await Peer.start();
  peer.answer = (socket, text) => text === "ping" && socket.send("pong");
});
afterEach(() => {
  hosts.splice(0).forEach((host) => host.kill());
  peer.stop();
});

function start(options: HostOptions = {}): MiniProgramHost {
  const resolve = (url: string): string => url.replace("wss://heart.example/", peer.url);
  const host = new MiniProgramHost({ WebSocket, strict: true, modules, resolve, speed: FAST, ...options });
  hosts.push(host);
  host.launch(PROJECT);
  return host;
}

const enter = (host: MiniProgramHost): void => host.view().tap("Task 7");
const back = (host: MiniProgramHost): void => host.wx["navigateBack"]({});
const state = (host: MiniProgramHost): string => host.view().texts("state")[0] ?? "";
const connected = (host: MiniProgramHost) => () => state(host) === "connected";

describe("entering and leaving", () => {
  test("entering twice is one socket, and the last page out closes it", async () => {
    const host = start();
    enter(host);
    host.open(PAGE);
    await until(connected(host));
    expect([host.dials, peer.asked, peer.open.length]).toEqual([1, 1, 1]);
    back(host);
    await quiet(0.1);
    expect(peer.open).toHaveLength(1);
    expect(state(host)).toBe("connected");
    back(host);
    await until(() => peer.closes.length);
    expect(peer.closes).toEqual([{ link: 1, code: 1000 }]);
    expect(host.errors).toEqual([]);
  });

  test("leaving stops everything: no beat, no dial, nothing that ends the next connection", async () => {
    const host = start();
    enter(host);
    await until(connected(host));
    peer.answer = () => {}; // a beat that is waited for when the page is left
    await until(() => peer.texts().includes("ping"));
    back(host);
    await until(() => !peer.open.length);
    const said = peer.said.length;
    await quiet(1.5); // thirty seconds
    expect([peer.said.length, peer.asked, host.sockets]).toEqual([said, 1, 0]);
    peer.answer = (socket, text) => text === "ping" && socket.send("pong");
    enter(host);
    await until(connected(host));
    await quiet(1.5);
    expect([peer.asked, peer.open.length]).toEqual([2, 1]);
    expect(state(host)).toBe("connected");
  });

  test("left while connecting and while waiting, no socket outlives the page", async () => {
    const host = start();
    for (const mode of ["hang", "refuse", "take"] as const) {
      peer.mode = mode;
      enter(host);
      if (mode !== "take") await until(() => peer.asked);
      back(host);
      const asked = peer.asked;
      peer.mode = "take";
      await quiet(0.8);
      expect(peer.open).toEqual([]);
      expect(peer.asked).toBeLessThanOrEqual(asked + 1);
      expect(peer.asked).toBeLessThanOrEqual(3);
    }
  });

  test("the address has two bare values", async () => {
    const host = start();
    enter(host);
    await until(connected(host));
    expect(peer.paths).toEqual(["/heart/websocket?7&ann"]);
  });
});

describe("beats", () => {
  test("ping is said every ten seconds, as text, once per connection", async () => {
    const host = start();
    enter(host);
    await until(() => peer.texts().length >= 4);
    expect(new Set(peer.texts())).toEqual(new Set(["ping"]));
    const times = peer.said.map(({ at }) => at * FAST);
    expect((times.at(-1)! - times[0]!) / (times.length - 1)).toBeGreaterThan(7); // one of them may have come late
    expect(connected(host)()).toBe(true);
  });

  test("a peer that answers nothing is left and dialled again", async () => {
    peer.answer = () => {};
    const host = start();
    enter(host);
    await until(connected(host));
    await until(() => state(host) === "connection lost, trying again");
    peer.answer = (socket, text) => text === "ping" && socket.send("pong");
    await until(connected(host));
    expect(peer.open).toHaveLength(1);
  });

  test("other traffic counts as life", async () => {
    peer.answer = () => {};
    const host = start();
    enter(host);
    await until(connected(host));
    const timer = setInterval(() => peer.say("news"), 100);
    await quiet(2); // forty seconds without an answer to a beat
    clearInterval(timer);
    expect([host.dials, connected(host)()]).toEqual([1, true]);
    expect(host.view().texts("line")[0]).toBe("↓ news");
  });

  test("a frozen link is found", async () => {
    const host = start();
    enter(host);
    await until(connected(host));
    host.freeze();
    await until(() => host.dials === 2, "the second dial");
    await until(connected(host));
  });
});

describe("giving up", () => {
  test("twelve attempts, then it says so, and a person can try again", async () => {
    peer.mode = "refuse";
    const host = start({ speed: 1000 });
    enter(host);
    await until(() => state(host) === "no connection after 12 attempts", "giving up", 20);
    expect(peer.asked).toBe(12);
    await quiet(0.5);
    expect(peer.asked).toBe(12);
    host.view().tap("Try again");
    await until(() => peer.asked > 12);
    host.speed = FAST;
    peer.mode = "take";
    await until(() => peer.open.length);
    await until(() => !host.view().text.includes("Try again"));
  });

  test("the attempts are counted anew in every outage", async () => {
    const host = start();
    enter(host);
    for (let outage = 0; outage < 2; outage++) {
      await until(() => peer.texts().includes("ping"), "a beat");
      const asked = peer.asked;
      peer.mode = "refuse";
      peer.cut();
      host.speed = 1000;
      await until(() => peer.asked >= asked + 8, "eight attempts");
      host.speed = FAST;
      peer.said.length = 0;
      peer.mode = "take";
    }
    await until(connected(host));
  });

  test("left after giving up, entering dials again", async () => {
    peer.mode = "refuse";
    const host = start({ speed: 1000 });
    enter(host);
    await until(() => state(host).startsWith("no connection"), "giving up", 20);
    back(host);
    host.speed = FAST;
    peer.mode = "take";
    enter(host);
    await until(connected(host));
    expect(peer.asked).toBe(13);
  });

  test("connected is not said before it is", async () => {
    peer.mode = "hang";
    const host = start();
    enter(host);
    await until(() => peer.asked);
    expect(state(host)).toBe("connecting");
    peer.mode = "refuse";
    await until(() => state(host) === "connection lost, trying again", "the end of a dial that hangs");
    peer.mode = "take";
    await until(connected(host));
  });
});

describe("the device", () => {
  test("the background cuts the socket, and the return finds that at once", async () => {
    const host = start({ speed: 10, background: 1, lateClose: 4 });
    enter(host);
    await until(connected(host));
    host.hide();
    await until(() => !peer.open.length);
    await quiet(0.4); // four seconds in which nothing runs
    expect(peer.asked).toBe(1);
    host.show();
    await until(() => !connected(host)(), "finding out", 1);
    await until(() => peer.asked === 2, "the next dial", 2); // five of its seconds at most
    await until(connected(host));
    await quiet(0.5); // the close of the old socket is told now, and harms nothing
    expect([peer.open.length, host.dials, connected(host)()]).toEqual([1, 2, true]);
    host.hide();
    host.show();
    await quiet(0.5); // too short an absence for anything to happen
    expect([peer.open.length, host.dials]).toEqual([1, 2]);
  });

  test("what is written in an outage goes out in order, once", async () => {
    const host = start();
    enter(host);
    await until(connected(host));
    peer.mode = "refuse";
    peer.cut();
    await until(() => !connected(host)());
    for (const text of ["one", "two", "three"]) {
      host.view().fire("Say something", "input", { value: text });
      host.view().tap("Send");
    }
    peer.mode = "take";
    await until(() => peer.texts("ping").length === 3);
    await quiet(0.5);
    expect(peer.texts("ping")).toEqual(["one", "two", "three"]);
    expect(host.view().texts("line")).toEqual(["↑ three", "↑ two", "↑ one"]);
  });

  test("five sockets are taken: it waits for one, and gets it", async () => {
    const host = start();
    const others = Array.from({ length: 5 }, () => host.wx["connectSocket"]({ url: "wss://heart.example/other" }));
    enter(host);
    await until(() => host.dials > 6);
    expect(connected(host)()).toBe(false);
    others[0].close({});
    await until(connected(host));
  });
});

test("two of them on the real server", async () => {
  const server = await serve("systems:app", "--port", "0");
  try {
    const resolve = (url: string): string => url.replace("wss://heart.example", server.url.replace(/\/native$/, ""));
    const [ann, bob] = [start({ resolve, speed: 10 }), start({ resolve, speed: 10 })];
    enter(ann);
    bob.open("pages/heart/heart?task=7&user=bob");
    await until(() => connected(ann)() && connected(bob)());
    for (const [host, text] of [
      [ann, "hello"],
      [bob, "你好"],
    ] as const) {
      host.view().fire("Say something", "input", { value: text });
      host.view().fire("Say something", "confirm", { value: text });
      await until(() => [ann, bob].every((one) => one.view().text.includes(`↓ ${host === ann ? "ann" : "bob"}: ${text}`)));
    }
    await quiet(2.5); // two beats
    expect([ann.dials, bob.dials, connected(ann)()]).toEqual([1, 1, true]);
    await server.kill();
    await until(() => !connected(ann)());
  } finally {
    await server.kill();
  }
});
