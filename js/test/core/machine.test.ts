/** What the vectors leave to each implementation, and the small parts of the machine by themselves. */

import { describe, expect, test } from "vitest";

import { makeRetry } from "../../src/core/back-off.js";
import { type ClientMachine, clientMachine } from "../../src/core/client.js";
import { makeClock } from "../../src/core/clock.js";
import { classify } from "../../src/core/codes.js";
import { Due, makeDeadlines } from "../../src/core/deadlines.js";
import { Do } from "../../src/core/effects.js";
import * as errors from "../../src/core/errors.js";
import { makeLiveness } from "../../src/core/liveness.js";
import { checkChannel, checkName } from "../../src/core/names.js";
import { type Kind, type Message, makeOutbox, type Outbox, sizeOf } from "../../src/core/outbox.js";
import { makePolicy, type PolicyOptions } from "../../src/core/policy.js";
import { checkMove, MOVES, type State } from "../../src/core/states.js";
import { bytesOf, charsOf } from "../../src/core/text.js";
import { native } from "../../src/dialects/native.js";

const STATES = Object.keys(MOVES) as State[];
const welcome = (more: object = {}): string =>
  JSON.stringify([
    "welcome",
    {
      session: "s",
      resumed: false,
      key: "k",
      received: 0,
      heartbeat: { interval: 25, timeout: 10 },
      limits: { message: 1000, window: 256, window_bytes: 9999, credit: 9, credit_bytes: 999, subscriptions: 9 },
      inbox: { epoch: "i", offset: 0 },
      ...more,
    },
  ]);

let now = 0;

function machine(options: PolicyOptions = {}, random = () => 0.5): ClientMachine {
  now = 0;
  return clientMachine(makePolicy(options), native, random, "me", () => now);
}

/** A machine in each state that can be reached. */
function inState(state: State): ClientMachine {
  const made = state === "gave up" ? machine({ maxAttempts: 1 }, () => 0) : machine();
  if (state === "idle") return made;
  made.connect();
  if (["waiting", "gave up"].includes(state)) made.failed(1, "no");
  if (state === "refused") made.failed(1, "no", true);
  if (state === "closed") made.close();
  if (["greeting", "open", "moving"].includes(state)) made.opened(1);
  if (["open", "moving"].includes(state)) made.received(1, welcome());
  if (state === "moving") {
    made.received(1, '["move",{}]');
    made.tick();
  }
  expect(made.state()).toBe(state);
  made.drain();
  return made;
}

describe("the machine", () => {
  test("close is final", () => {
    for (const state of STATES) {
      const closed = inState(state);
      closed.close();
      expect(closed.state()).toBe("closed");
      closed.drain();
      for (const input of [
        () => closed.connect(),
        () => closed.retryNow(),
        () => closed.hint("x"),
        () => closed.rest(),
        () => closed.opened(1),
        () => closed.received(1, welcome()),
        () => closed.lost(1, 1006, ""),
        () => {
          now = 1e6;
          closed.tick();
        },
        () => closed.close(true),
      ]) {
        input();
        expect(closed.drain().filter(([what]) => what !== Do.DROP)).toEqual([]);
      }
      expect(closed.nextDeadline()).toBe(Infinity);
    }
  });

  test("a broken server costs no message", () => {
    for (const text of ["", "null", "[]", '["welcome",{}]', '["msg","c"]', '["constructor"]', "[".repeat(1e5), welcome()]) {
      const made = inState("open");
      const n = made.send("send", "e", "1");
      made.received(1, text);
      expect(made.state()).toBe("waiting");
      expect([...made.outbox.messages.keys()]).toEqual([n]);
    }
  });

  test("an answer that nobody asked for takes no channel away", () => {
    const made = inState("open");
    for (const text of ['["no",0,{"code":"x"}]', '["no",9,{"code":"x"}]', '["ok",0,{"epoch":"i","offset":0}]']) made.received(1, text);
    expect(made.drain()).toEqual([]);
    made.received(1, '["msg","@",1,"e",1]');
    expect(made.drain().map(([what]) => what)).toEqual([Do.ARRIVED]);
  });

  test("resting loses nothing", () => {
    for (const state of STATES.filter((one) => !["refused", "closed"].includes(one))) {
      const made = inState(state);
      const n = made.send("send", "e", "1");
      made.rest();
      expect(made.state()).toBe("idle");
      made.rest();
      expect(made.nextDeadline()).toBe(Infinity);
      made.drain();
      made.connect();
      expect(made.drain().map(([what]) => what)).toEqual([Do.STATE, Do.DIAL]);
      expect([...made.outbox.messages.keys()]).toEqual([n]);
    }
  });

  test("closed is final, and illegal moves throw", () => {
    expect(MOVES.closed).toEqual([]);
    for (const old of STATES) {
      for (const next of STATES) {
        const move = (): void => checkMove(old, next);
        if (MOVES[old].includes(next)) move();
        else expect(move).toThrow(`${old} → ${next}`);
      }
    }
  });
});

describe("time", () => {
  test("time never falls, and runs on after a jump back", () => {
    let outside = 0;
    const clock = makeClock(() => outside);
    const tell = (at: number): number => ((outside = at), clock.now());
    expect([10, 9.5, 11].map(tell)).toEqual([10, 10, 11]);
    expect([1, 2].map(tell)).toEqual([11, 12]);
    expect(clock.outside(15)).toBe(5);
  });

  test("due in order of time, then name; the next deadline is pure", () => {
    const table = makeDeadlines();
    expect(table.next()).toBe(Infinity);
    table.set(Due.STABLE, 2);
    table.set(Due.HELLO, 2);
    table.set(Due.FLOOR, 1);
    table.set(Due.FLOOR, 3);
    expect([table.next(), table.next()]).toEqual([1, 1]);
    expect(table.popDue(2)).toEqual([Due.FLOOR, Due.HELLO, Due.STABLE]);
    expect(table.popDue(2)).toEqual([]);
  });

  test("delays never exceed the cap, a good link is no failure", () => {
    const retry = makeRetry({ base: 1, cap: 30, stable: 30 }, () => 0.999);
    for (let i = 0; i < 5000; i++) expect(retry.failed()).toBeLessThan(30);
    retry.progressed();
    retry.left();
    expect([retry.failures, retry.step]).toEqual([0, 1]);
  });

  test("dead within interval plus timeout, a late wake-up probes first, hints put off no verdict", () => {
    const life = makeLiveness({ interval: 25, timeout: 10 }, 0);
    expect(life.tick(24.9)).toBeUndefined();
    expect(life.tick(25)).toBe(1);
    expect(life.tick(34.9)).toBeUndefined();
    for (let at = 26; at < 35; at++) life.probe(at);
    const verdict = life.nextDeadline();
    expect(verdict).toBeLessThanOrEqual(36);
    expect(life.tick(verdict + 60)).toBeGreaterThan(2);
    expect(life.tick(verdict + 70)).toBe(0);
  });

  test("traffic is no proof of the way out", () => {
    const life = makeLiveness({ interval: 25, timeout: 10 }, 0);
    life.awaiting(true, 0);
    for (let at = 1; at < 25; at++) life.heard(at);
    expect(life.tick(25)).toBe(1);
    for (let at = 26; at < 35; at++) life.heard(at);
    expect(life.tick(35)).toBe(0);
  });
});

describe("the outbox", () => {
  const message = (n: number, kind: Kind = "send", more: Partial<Message> = {}): Message => ({
    n,
    kind,
    event: "e",
    data: "1",
    target: "",
    expiresAt: Infinity,
    idempotent: false,
    size: sizeOf("e", "", "1"),
    written: false,
    ...more,
  });
  let ended: [n: number, outcome: string][] = [];
  const made = (messages = 10_000, full: "refuse" | "drop_oldest" = "refuse"): Outbox => {
    ended = [];
    const outbox = makeOutbox({ messages, bytes: 1 << 20, full }, false, ({ n }, outcome) => ended.push([n, outcome]));
    outbox.welcome(0, 256, 1 << 20);
    return outbox;
  };

  test("numbers rise and are never reused, nothing written expires", () => {
    const outbox = made();
    outbox.add(message(1, "send", { expiresAt: 5 }));
    outbox.add(message(2, "send", { expiresAt: 4 }));
    outbox.add(message(3, "send", { expiresAt: 3 }));
    expect(outbox.nextToWrite()!.n).toBe(1);
    expect(outbox.nextExpiry()).toBe(3);
    outbox.expire(9);
    outbox.ack(1);
    expect(ended).toEqual([[3, "expired"], [2, "expired"], [1, "handled"]]);
    expect([outbox.nextNumber, outbox.messages.size, outbox.bytes]).toEqual([4, 0, 0]);
  });

  test("the window bounds the flight, never a lone message", () => {
    const outbox = made();
    for (let n = 1; n <= 40; n++) outbox.add(message(n));
    const written = (): number => {
      let count = 0;
      while (outbox.nextToWrite()) count++;
      return count;
    };
    expect(written()).toBe(8);
    outbox.ack(8);
    expect(written()).toBe(16);
    const big = made();
    big.add(message(1, "send", { size: 1 << 20 }));
    expect(big.nextToWrite()).toBeDefined();
  });

  test("an ack leaves no call waiting", () => {
    const outbox = made();
    outbox.add(message(1, "call"));
    outbox.add(message(2));
    while (outbox.nextToWrite());
    outbox.ack(2);
    expect(ended).toEqual([[2, "handled"], [1, "unknown"]]);
  });

  test("nothing is dropped in vain", () => {
    const outbox = made(2, "drop_oldest");
    outbox.add(message(1));
    outbox.add(message(2));
    outbox.nextToWrite();
    outbox.makeRoom(26);
    expect(ended).toEqual([[2, "expired"]]);
    outbox.add(message(3));
    outbox.nextToWrite();
    expect(() => outbox.makeRoom(26)).toThrow(errors.OutboxFull);
    expect(outbox.messages.size).toBe(2);
    expect(() => outbox.makeRoom(1 << 21)).toThrow(RangeError);
  });

  test("nothing is kept of what has gone", () => {
    const outbox = made();
    for (let n = 1; n <= 5000; n++) {
      outbox.add(message(n, n % 2 ? "send" : "call", { expiresAt: n }));
      if (n > 3) outbox.withdraw(n - 3);
    }
    expect([outbox.messages.size, outbox.bytes, outbox.nextExpiry()]).toEqual([3, 3 * sizeOf("e", "", "1"), 4998]);
  });

  test("a durable message waits for the disk, and for holes below it", () => {
    const outbox = makeOutbox({ messages: 9, bytes: 999, full: "refuse" }, true, () => {});
    outbox.restore([message(5, "send", { written: true })], 7);
    outbox.welcome(4, 256, 1 << 20);
    expect([outbox.floor(), outbox.nextToWrite()!.n]).toEqual([5, 5]);
    outbox.add(message(7));
    outbox.add(message(8));
    expect(outbox.nextToWrite()).toBeUndefined();
    outbox.persisted = 8;
    outbox.withdraw(7);
    expect(outbox.nextToWrite()).toBeUndefined();
    outbox.forgotten(7);
    expect(outbox.nextToWrite()!.n).toBe(8);
  });
});

describe("words", () => {
  test("characters and bytes", () => {
    for (const text of ["", "abc", "é", "漢字", "😀x😀", "a\u0000\u{10ffff}"]) {
      expect(bytesOf(text)).toBe(Buffer.byteLength(text));
      expect(charsOf(text)).toBe([...text].length);
    }
    expect(bytesOf("\ud800")).toBe(3);
  });

  test("names with @ belong to the protocol", () => {
    for (const name of ["", "@a", "a\n", "\ud800", "x".repeat(256), 5, null]) expect(() => checkName(name, "event")).toThrow("event");
    expect(checkName("😀".repeat(255), "event")).toHaveLength(510);
    expect(checkChannel("@who/x")).toBe("@who/x");
    expect(() => checkChannel("@")).toThrow();
  });

  test("rubbish is always a bad frame, and reasons repeat nothing", () => {
    const parts = ["[", "]", "{", "}", '"', "secret", ",", ":", '"msg"', '"welcome"', "1", "-1", "null", "1e999", "\\u", "__proto__"];
    let seed = 7;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let i = 0; i < 20_000; i++) {
      const text = Array.from({ length: 1 + random() * 12 }, () => parts[Math.floor(random() * parts.length)]).join("");
      try {
        native.decode(text);
      } catch (error) {
        expect(error).toBeInstanceOf(errors.BadFrame);
        expect((error as Error).message).not.toContain("secret");
      }
    }
  });

  test("policies refuse nonsense", () => {
    for (const [name, nonsense] of [
      ["connectTimeout", { connectTimeout: 0 }],
      ["helloTimeout", { helloTimeout: NaN }],
      ["maxAttempts", { maxAttempts: -1 }],
      ["interval", { heartbeat: { interval: 1e6, timeout: 1 } }],
      ["backOff", { backOff: { base: 50 } }],
      ["messages", { outbox: { messages: Infinity } }],
      ["connectTimeout", { connectTimeout: "5" as never }],
    ] as const) {
      expect(() => makePolicy(nonsense), JSON.stringify(nonsense)).toThrow(name);
    }
  });

  test("every code has a class", () => {
    for (let code = 0; code < 5000; code++) expect(["retry", "login", "fatal"]).toContain(classify(code));
  });

  test("errors carry name and retryable", () => {
    const { Rejected, Expired, OutcomeUnknown, RequestTimeout, OutboxFull, SubscriptionRefused, Replaced } = errors;
    for (const [error, name, retryable] of [
      [new Rejected("c", "m", {}), "Rejected", false],
      [new Expired("x"), "Expired", true],
      [new OutcomeUnknown("x"), "OutcomeUnknown", false],
      [new RequestTimeout("x", 1), "RequestTimeout", true],
      [new OutboxFull(1, 2), "OutboxFull", true],
      [new SubscriptionRefused("c", "x", ""), "SubscriptionRefused", false],
      [new errors.LoginRefused("x"), "LoginRefused", false],
      [new errors.GaveUp("x"), "GaveUp", true],
      [new errors.OutboxError("x"), "OutboxError", false],
      [new Replaced("x"), "Replaced", false],
      [new errors.BadFrame("x"), "BadFrame", false],
    ] as const) {
      expect([error.name, error.retryable]).toEqual([name, retryable]);
      expect(error).toBeInstanceOf(errors.HeartlineError);
      expect(error).toBeInstanceOf(Error);
    }
    expect(new Replaced("x")).toBeInstanceOf(errors.ConnectionClosed);
  });
});
