/** The card mini program in the host: what existing clients of that system get wrong, as its page shows it. */

import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { type HostOptions, MiniProgramHost } from "heartline/testing";
import { Example } from "../kit/example.js";
import { Peer } from "../kit/peer.js";
import { quiet, until } from "../kit/until.js";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PROJECT = file("../../../examples/card/miniprogram");
const modules = {
  heartline: file("../../dist/cjs/index.js"),
  "heartline/dialects": file("../../dist/cjs/dialects.js"),
};
const FAST = 20; // its ten seconds are half a second of ours
const IDENTITY = { memberId: "m-1" };
const BEAT = '{"type":"heartBeat","msg":"this is heatbeat"}';
const BINDING = {
  type: "bindCard",
  cardId: "c-1",
  BusinessID: "b-1",
  phone: "13800000000",
  memberId: "m-1",
  BusinessName: "茶馆 Tea",
  baseId: "1",
};

let peer: Peer;
let verdict: object;
const hosts: MiniProgramHost[] = [];

beforeEach(async () => {
  peer = await Peer.start();
  verdict = { code: "200", success: true, msgType: "auth_ack" };
  peer.answer = (socket, text) => {
    const said = JSON.parse(text);
    if (!said.type) socket.send(JSON.stringify(verdict));
    if (said.type === "bindCard") socket.send(JSON.stringify({ msgType: "bind_ack", code: "200", success: true, data: said }));
  };
});
afterEach(() => {
  hosts.splice(0).forEach((host) => host.kill());
  peer.stop();
});

function start(options: HostOptions = {}): MiniProgramHost {
  const resolve = (url: string): string => url.replace("wss://card.example/", peer.url);
  const host = new MiniProgramHost({ WebSocket, strict: true, modules, resolve, speed: FAST, ...options });
  hosts.push(host);
  host.launch(PROJECT);
  return host;
}

const enter = (host: MiniProgramHost): void => host.view().tap("Card 1");
const back = (host: MiniProgramHost): void => host.wx["navigateBack"]({});
const status = (host: MiniProgramHost): string => host.view().texts("status")[0] ?? "";
const bound = (host: MiniProgramHost) => () => status(host) === "bound";
const state = (host: MiniProgramHost): string => host.view().texts("state")[0] ?? "";
const on = (link: number): string[] => peer.said.filter((one) => one.link === link).map(({ text }) => text);
const beats = (link: number): number => on(link).filter((text) => text === BEAT).length;

describe("the wire", () => {
  test("a beat at open, the identity, then the binding in the order of its fields", async () => {
    const host = start();
    enter(host);
    await until(bound(host));
    expect(on(1).slice().sort()).toEqual([BEAT, JSON.stringify(BINDING), JSON.stringify(IDENTITY)].sort());
    expect(on(1).indexOf(JSON.stringify(IDENTITY))).toBeLessThan(on(1).indexOf(JSON.stringify(BINDING)));
    expect(host.view().text).toContain("茶馆 Tea");
  });

  test("identity and binding are said again after every reconnect, and each connection has one beat", async () => {
    const host = start();
    enter(host);
    for (const link of [1, 2, 3]) {
      await until(() => on(link).includes(JSON.stringify(BINDING)), `the binding on link ${link}`);
      await until(() => beats(link) >= 2, "two beats");
      const times = peer.said.filter((one) => one.link === link && one.text === BEAT).map(({ at }) => at * FAST);
      expect(times[1]! - times[0]!).toBeGreaterThan(5); // ten, on a busy machine; more loops would say one at once
      peer.cut();
    }
  });

  test("auth_ack with a number is as good", async () => {
    verdict = { code: 200, success: true, msgType: "auth_ack" };
    const host = start();
    enter(host);
    await until(bound(host));
  });
});

describe("what goes wrong", () => {
  test("a frozen link is found, though nothing answers the beat", async () => {
    const host = start();
    enter(host);
    await until(bound(host));
    host.freeze();
    const began = Date.now();
    await until(() => host.dials === 2, "the next dial");
    expect((Date.now() - began) / 1000 * FAST).toBeLessThan(60); // sixteen, on a busy machine
    await until(() => state(host) === "connected");
    expect(host.sockets).toBe(1);
  });

  test("a server that is only quiet is not taken for dead", async () => {
    const host = start();
    enter(host);
    await until(bound(host));
    await quiet(2.5); // fifty seconds, in which nothing but bindings is answered
    expect([host.dials, state(host)]).toEqual([1, "connected"]);
  });

  test("a server that answers bindings in its own way is not taken for dead", async () => {
    const { answer } = peer;
    peer.answer = (socket, text) => {
      if (JSON.parse(text).type === "bindCard") socket.send('{"msgType":"stored"}');
      else answer(socket, text);
    };
    const host = start();
    enter(host);
    await until(() => state(host) === "connected");
    await quiet(2.5);
    expect([host.dials, state(host), host.errors]).toEqual([1, "connected", []]);
  });

  test("a first connection that fails is tried again", async () => {
    peer.mode = "refuse";
    const host = start();
    enter(host);
    await until(() => peer.asked > 1);
    peer.mode = "take";
    await until(bound(host));
  });

  test("a refused identity is told, and not repeated", async () => {
    verdict = { code: "403", msgType: "auth_ack", msg: "not you" };
    const host = start();
    enter(host);
    await until(() => state(host).startsWith("refused"));
    expect(state(host)).toContain("not you");
    await quiet(1.5); // thirty seconds
    expect([peer.asked, peer.open.length, on(1).filter((text) => text === JSON.stringify(BINDING))]).toEqual([1, 0, []]);
  });

  test("rubbish harms nothing", async () => {
    const host = start();
    enter(host);
    await until(bound(host));
    for (const text of ["not json", "null", "[]", "5", '{"msgType":5}', '{"msgType":"__proto__"}', '{"type":"toString"}']) peer.say(text);
    await quiet(0.2);
    peer.say(JSON.stringify({ msgType: "bind_ack", success: false, code: "409", msg: "somebody else's" }));
    await until(() => status(host) === "not bound: somebody else's");
    expect([host.errors, host.dials]).toEqual([[], 1]);
  });
});

describe("leaving", () => {
  test("leaving, and covering, closes the socket and stops the beat", async () => {
    const host = start();
    enter(host);
    await until(bound(host));
    host.view().tap("Terms of use"); // another page above it
    await until(() => peer.closes.length);
    await quiet(1.5);
    expect([peer.asked, peer.open.length]).toEqual([1, 0]);
    back(host);
    await until(() => on(2).includes(JSON.stringify(BINDING)), "the binding on the new link");
    back(host);
    await until(() => peer.closes.length === 2);
    const { length } = peer.said;
    await quiet(1.5);
    expect([peer.said.length, peer.asked, host.sockets]).toEqual([length, 2, 0]);
    expect(peer.closes.map(({ code }) => code)).toEqual([1000, 1000]);
  });

  test("left on a dead link, nothing dials with the page gone", async () => {
    const host = start();
    enter(host);
    await until(bound(host));
    host.freeze();
    back(host);
    await quiet(2);
    expect([host.dials, host.sockets]).toEqual([1, 0]);
  });

  test("several cards at once, each with its own socket", async () => {
    const host = start();
    enter(host);
    await until(bound(host));
    host.pages.current!["onHide"] = () => {}; // a page that goes on while it is covered
    host.open("pages/card/card?card=c-2&member=m-1");
    await until(bound(host));
    expect(host.sockets).toBe(2);
    back(host);
    await until(() => host.sockets === 1);
    expect(status(host)).toBe("bound");
  });

  test("the background cuts the socket, and the return binds again", async () => {
    const host = start({ background: 1, lateClose: 20 });
    enter(host);
    await until(bound(host));
    host.hide();
    await until(() => !peer.open.length);
    host.show();
    await until(() => on(2).includes(JSON.stringify(BINDING)), "the binding on the new link");
    await quiet(1.2); // the close of the old socket is told now, and harms nothing
    expect([peer.open.length, host.sockets]).toEqual([1, 1]);
  });
});

test("on the real server a card is bound once, over cuts and a kill", async () => {
  const server = await Example.serve("card");
  try {
    const resolve = (url: string): string => url.replace("wss://card.example/card", server.url);
    const host = start({ resolve });
    enter(host);
    await until(bound(host));
    host.network(false);
    host.network(true);
    await until(() => host.pages.current!.data["card"].said >= 2, "the second binding");
    await server.kill();
    await server.start();
    const { boundAt, said } = host.pages.current!.data["card"];
    await until(() => host.pages.current!.data["card"].said > said, "the third binding", 20);
    expect(host.pages.current!.data["card"].boundAt).toBe(boundAt);
    const other = start({ resolve });
    other.open("pages/card/card?card=c-1&member=m-2");
    await until(() => status(other).startsWith("not bound"));
    const refused = start({ resolve });
    refused.open("pages/card/card?card=c-1&member=m-refused");
    await until(() => state(refused).startsWith("refused"));
  } finally {
    await server.end();
  }
}, 40_000);
