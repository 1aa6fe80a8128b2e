/** What people know from reconnecting sockets, with a clock that the test moves. */

import { describe, expect, test } from "vitest";

import { ConnectionClosed, GaveUp, OutboxFull, shared } from "heartline";
import { settle, World } from "../kit/fake.js";

describe("dialling", () => {
  test("a dial that takes too long is abandoned, and closed also where it opens late", () => {
    const world = new World();
    const conn = world.connect({ connectTimeout: 4 });
    world.timers.advance(3.9);
    expect(world.last.closed).toBeNull();
    world.timers.advance(0.2);
    expect(world.last.closed).toMatchObject({ code: 4007 });
    expect(conn.state).toBe("waiting");
    world.sockets[0]!.open();
    expect(world.sockets[0]!.closes).toBe(2);
    expect(world.sockets[0]!.sent).toEqual([]);
    world.timers.advance(0.2);
    expect(world.sockets).toHaveLength(2);
  });

  test("delays grow up to the cap", () => {
    const world = new World();
    const conn = world.connect({ backOff: { base: 1, cap: 10 } });
    const delays: (number | null)[] = [];
    conn.onState(({ retryIn }) => retryIn !== null && delays.push(retryIn));
    for (let i = 0; i < 7; i++) {
      world.last.onerror!({});
      world.timers.advance(10);
    }
    expect(delays).toEqual([0.5, 1, 2, 4, 5, 5, 5]);
    expect(world.sockets).toHaveLength(8);
  });

  test("accept then drop grows, the minimum uptime resets", () => {
    const world = new World();
    const conn = world.connect({ backOff: { base: 1, cap: 60, stable: 5 }, heartbeat: null });
    const delays: (number | null)[] = [];
    conn.onState(({ retryIn }) => retryIn !== null && delays.push(retryIn));
    for (let i = 0; i < 4; i++) {
      world.last.accept(i ? { resumed: true } : {}).lose();
      world.timers.advance(delays[i]!);
    }
    expect(delays).toEqual([0.5, 1, 2, 4]);
    world.last.accept({ resumed: true });
    world.timers.advance(5);
    world.last.lose();
    expect(delays.slice(4)).toEqual([0.5]);
  });

  test.each([
    [0, 1],
    [1, 2],
    [5, 6],
  ])("%i retries are %i attempts, then it gives up and says so", async (_retries, attempts) => {
    const world = new World();
    const conn = world.connect({ maxAttempts: attempts });
    const waiting = conn.connected();
    waiting.catch(() => {});
    const receipt = conn.send("kept", 1);
    for (let i = 0; i < 10; i++) {
      world.last.lose();
      world.timers.advance(100);
    }
    expect(world.sockets).toHaveLength(attempts);
    expect(conn.state).toBe("gave up");
    await expect(waiting).rejects.toBeInstanceOf(GaveUp);
    await expect(receipt.handled()).rejects.toBeInstanceOf(GaveUp);
    conn.retry();
    expect(world.sockets).toHaveLength(attempts + 1);
    world.last.accept().say(["ack", 1]);
    await receipt.handled();
  });

  test("retry while waiting dials at once, once", () => {
    const world = new World();
    const conn = world.connect();
    world.last.lose();
    conn.retry();
    conn.retry();
    expect(world.sockets).toHaveLength(2);
    world.timers.advance(5);
    expect(world.sockets).toHaveLength(2);
  });

  test("an address that can never work is refused, not repeated", () => {
    const world = new World();
    const conn = world.connect({
      connectSocket: () => {
        throw Object.assign(new Error("no"), { name: "SyntaxError" });
      },
    });
    expect(conn.state).toBe("refused");
    expect(world.timers.count).toBe(0);
  });

  test("connect refuses nonsense", () => {
    const world = new World();
    const url = (text: unknown) => () => shared(text as string, world.options());
    for (const text of [1, "", "http://h/", "ws:///x", "ws://a:b@h/", "ws://h/#x"]) expect(url(text), String(text)).toThrow(RangeError);
    expect(() => world.connect({ connectTimeout: 0 })).toThrow("connectTimeout");
    expect(() => world.connect({ login: BigInt(1) })).toThrow("login");
    expect(() => world.connect({ backOff: { cap: 0.1 } })).toThrow("cap");
  });
});

test("the reason of a close is one that fits", () => {
  const world = new World();
  world.connect();
  world.last.open().say(["refused", { code: "full", message: "满".repeat(300), retry: 1 }]);
  expect(world.last.closed!.reason).toContain("refused: full");
  expect(Buffer.byteLength(world.last.closed!.reason!)).toBeLessThanOrEqual(123);
});

describe("closing", () => {
  test("many times, in every state, and nothing is dialled after it", async () => {
    for (const state of ["dialling", "greeting", "open", "waiting"]) {
      const world = new World();
      const conn = world.connect();
      if (state === "greeting") world.last.open();
      if (state === "open") world.last.accept();
      if (state === "waiting") world.last.lose();
      expect(conn.state).toBe(state);
      const sent = conn.send("e", 1);
      for (let i = 0; i < 3; i++) void conn.close();
      expect(conn.state).toBe("closed");
      await expect(sent.handled()).rejects.toMatchObject({ outcome: state === "open" ? "unknown" : "expired" });
      if (state !== "waiting") expect(world.last.closed).not.toBeNull();
      expect(world.timers.count).toBe(0);
      world.last.open();
      world.last.lose();
      world.timers.advance(1000);
      expect(world.sockets).toHaveLength(1);
      expect(() => conn.send("e", 1)).toThrow(ConnectionClosed);
      expect(() => conn.subscribe("c")).toThrow(ConnectionClosed);
    }
  });

  test("inside a state listener, and while connecting", async () => {
    const world = new World();
    const conn = world.connect();
    const states: string[] = [];
    conn.onState((change) => {
      states.push(change.new);
      void conn.close();
    });
    world.last.open();
    await settle();
    expect(states).toEqual(["greeting", "closed"]);
    expect(world.last.closed).toMatchObject({ code: 1000 });
  });

  test("retry right after close connects anew, once", async () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    let opened = 0;
    conn.onState((change) => {
      if (change.new === "closed" && world.sockets.length === 1) conn.retry();
      if (change.new === "open") opened++;
    });
    void conn.close();
    await settle();
    expect(world.sockets).toHaveLength(2);
    world.last.accept({ session: "s2" });
    expect(conn.state).toBe("open");
    expect(opened).toBe(1);
    conn.send("e", 1);
    expect(world.last.said).toEqual([["send", 1, "e", 1]]);
    world.sockets[0]!.lose();
    expect(conn.state).toBe("open");
  });

  test("end tells the server", () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    void conn.end();
    expect(world.last.said).toEqual([["bye", "end"]]);
    expect(world.last.closed).toMatchObject({ code: 1000 });
  });
});

describe("sending", () => {
  test("enqueue before the first connection", () => {
    const world = new World();
    const conn = world.connect();
    for (let i = 0; i < 5; i++) conn.send("e", i);
    void conn.request("r", "?").catch(() => {});
    expect(conn.pending).toBe(6);
    world.last.open();
    expect(world.last.said).toEqual([]);
    world.last.welcome();
    expect(world.last.said.map((frame) => frame[3])).toEqual([0, 1, 2, 3, 4, "?"]);
  });

  test("in order and never twice, whatever the server had received", async () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    const receipts = [1, 2, 3, 4].map((n) => conn.send("e", n));
    world.last.say(["ack", 1]);
    world.last.lose();
    world.timers.advance(60);
    world.last.accept({ resumed: true, received: 3 });
    expect(world.last.said).toEqual([["send", 4, "e", 4]]);
    world.last.say(["ack", 4]);
    await Promise.all(receipts.map((receipt) => receipt.handled()));
    expect(conn.pending).toBe(0);
  });

  test("a server that forgot the session gets again what may be repeated, and nothing else", async () => {
    const world = new World();
    const conn = world.connect({ on: { "@gap": () => {} } });
    world.last.accept();
    const once = conn.send("pay", 1);
    const again = conn.send("seen", 2, { delivery: "at_least_once" });
    world.last.lose();
    world.timers.advance(1);
    world.last.accept();
    await expect(once.handled()).rejects.toMatchObject({ outcome: "unknown" });
    expect(world.last.said).toEqual([["send", 2, "seen", 2]]);
    world.last.say(["ack", 2]);
    await again.handled();
  });

  test("the outbox is bounded, and tells of room", async () => {
    const world = new World();
    const conn = world.connect({ outbox: { messages: 2 } });
    conn.send("e", 1);
    conn.send("e", 2);
    expect(() => conn.send("e", 3)).toThrow(OutboxFull);
    await expect(conn.request("e", 3)).rejects.toBeInstanceOf(OutboxFull);
    let room = false;
    void conn.room().then(() => (room = true));
    await settle();
    expect(room).toBe(false);
    world.last.accept().say(["ack", 1]);
    await settle();
    expect(room).toBe(true);
    conn.send("e", 3);

    const dropping = world.connect({ outbox: { messages: 2, full: "drop_oldest" } });
    const oldest = dropping.send("e", 1);
    dropping.send("e", 2);
    dropping.send("e", 3);
    await expect(oldest.handled()).rejects.toMatchObject({ outcome: "expired" });
  });

  test("a request that stops waiting is withdrawn where it was never written", async () => {
    const world = new World();
    const conn = world.connect();
    const early = conn.request("e", 1, { timeout: 2 });
    early.catch(() => {});
    world.timers.advance(2);
    await expect(early).rejects.toMatchObject({ name: "Expired" });
    world.last.accept();
    const late = conn.request("e", 2, { timeout: 2 });
    late.catch(() => {});
    world.timers.advance(2);
    await expect(late).rejects.toMatchObject({ name: "RequestTimeout", n: 2 });
    world.last.say(["reply", 2, "late"]);
    expect(conn.pending).toBe(0);
    expect(world.last.said.filter(([kind]) => kind === "call")).toEqual([["call", 2, "e", 2]]);
  });

  test("an abandoned receipt is silent, and one can be asked twice", async () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    const receipt = conn.send("e", 1);
    world.last.say(["fail", 1, { code: "no", message: "luck", path: "$.a" }]);
    await settle();
    expect(receipt.outcome).toBe("rejected");
    for (let i = 0; i < 2; i++) {
      await expect(receipt.handled()).rejects.toMatchObject({ code: "no", reason: "luck", details: { path: "$.a" } });
    }
  });

  test("what is no JSON is refused where it is given", () => {
    const conn = new World().connect();
    expect(() => conn.send("e", BigInt(1))).toThrow("data");
    expect(() => conn.send("e", () => 1)).toThrow("data");
    expect(() => conn.send("@e")).toThrow("event");
    expect(() => conn.send("e", 1, { expires: -1 })).toThrow("expires");
    expect(() => conn.publish("", 1)).toThrow("channel");
  });
});

describe("alive", () => {
  test("a link given up on is replaced at once", () => {
    const world = new World();
    const conn = world.connect({ random: () => 0 });
    world.last.accept();
    world.timers.advance(25);
    expect(world.last.said).toEqual([["ping", 1]]);
    world.timers.advance(10.1);
    expect(world.sockets[0]!.closed).toMatchObject({ code: 4000 });
    expect(world.sockets).toHaveLength(2); // and nobody waited for the old one's close
    expect(conn.state).toBe("dialling");
  });

  test("a late timer is judged before death is declared", () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    world.timers.advance(25);
    world.timers.sleep(3600);
    expect(conn.state).toBe("open");
    expect(world.last.said).toEqual([
      ["ping", 1],
      ["ping", 2],
    ]);
    world.last.say(["pong", 2]);
    world.timers.advance(20);
    expect(conn.state).toBe("open");
  });

  test("a hint probes an open link and dials where one waits", () => {
    const world = new World();
    let hint!: (reason: string, back: boolean) => void;
    let watched = 0;
    const watch = (told: typeof hint): (() => void) => {
      hint = told;
      watched++;
      return () => watched--;
    };
    const conn = world.connect({ platform: { connectSocket: world.connectSocket, watch } });
    world.last.accept();
    hint("offline", false);
    hint("online", true);
    expect(world.last.said).toEqual([
      ["ping", 1],
      ["ping", 1],
    ]);
    world.last.lose();
    hint("offline", false);
    expect(conn.state).toBe("waiting");
    hint("online", true);
    expect(conn.state).toBe("dialling");
    world.timers.sleep(0);
    // A dial that hangs since before the sleep is judged, and replaced, when the hint comes before the timer.
    const { timers } = world;
    const late = timers.now.bind(timers);
    timers.now = () => late() + 100;
    hint("back", true);
    expect(world.sockets).toHaveLength(3);
    timers.now = late;
    void conn.close();
    expect(watched).toBe(0);
  });

  test("error alone ends a link, once", () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    world.last.onerror!({ errMsg: "broken" });
    world.last.lose();
    expect(conn.state).toBe("waiting");
    expect(world.last.closes).toBe(1);
    world.timers.advance(60);
    world.last.accept({ resumed: true });
    world.last.broken = true;
    conn.send("e", 1);
    expect(conn.state).toBe("waiting");
    expect(conn.pending).toBe(1);
  });

  test("a binary message is no part of the protocol", () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    world.last.onmessage!({ data: new ArrayBuffer(1) });
    expect(conn.state).toBe("waiting");
    expect(world.last.closed).not.toBeNull();
  });

  test("the timer is left alone by a later deadline", () => {
    const world = new World();
    const conn = world.connect();
    world.last.accept();
    let set = 0;
    const after = world.timers.after.bind(world.timers);
    world.timers.after = (seconds, then) => (set++, after(seconds, then));
    for (let i = 0; i < 100; i++) {
      conn.send("e", i);
      world.last.say(["ack", i + 1]);
    }
    expect(set).toBeLessThan(4);
  });
});
