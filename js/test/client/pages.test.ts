/** Handlers, subscriptions, scopes and holding, with a clock that the test moves. */

import { describe, expect, test } from "vitest";

import { shared } from "heartline";
import { settle, World } from "../kit/fake.js";

const granted = (socket: World["last"], channel: string, offset = 0): void => {
  const asked = [...(socket.sent[0]![1].cursors ?? []), ...socket.said.filter(([kind]) => kind === "sub").map((sub) => sub.slice(1))];
  const [r] = asked.filter(([, name]) => name === channel).pop()!;
  socket.say(["ok", r, { epoch: "e", offset }]);
};

describe("handlers", () => {
  test("keep the order, wait for promises, and a failed one stops nothing", async () => {
    const world = new World();
    const conn = world.connect();
    const order: string[] = [];
    conn.on("a", async (n) => {
      await Promise.resolve();
      order.push(`a${n}`);
    });
    conn.on("a", (n) => {
      order.push(`b${n}`);
      throw new Error("not you");
    });
    conn.once("a", (n) => order.push(`once${n}`));
    world.last.accept();
    world.last.say(["msg", "@", 1, "a", 1], ["msg", "@", 2, "a", 2], ["msg", "@", 3, "unheard", 3]);
    await settle();
    expect(order).toEqual(["a1", "b1", "once1", "a2", "b2"]);
    expect(world.errors.map((error) => (error as Error).message)).toEqual(["not you", "not you"]);
    world.timers.advance(0.1);
    expect(world.last.said).toEqual([["at", "@", 3]]);
    conn.off("a");
    world.last.say(["msg", "@", 4, "a", 4]);
    await settle();
    expect(order).toHaveLength(5);
  });

  test("emit calls them and sends nothing", () => {
    const world = new World();
    const conn = world.connect();
    const got: unknown[] = [];
    const stop = conn.on("mine", (data, item) => got.push([data, item]));
    conn.emit("mine", 1);
    stop();
    stop();
    conn.emit("mine", 2);
    expect(got).toEqual([[1, undefined]]);
    expect(() => conn.emit("@state")).toThrow();
    expect(() => conn.on("@other", () => {})).toThrow();
  });

  test("volatile messages are bounded", async () => {
    const world = new World();
    const conn = world.connect();
    let called = 0;
    let release!: () => void;
    conn.on("v", () => (called++ ? undefined : new Promise<void>((resolve) => (release = resolve))));
    conn.subscribe("c");
    world.last.accept();
    for (let i = 0; i < 1500; i++) world.last.say(["now", "c", "v", i]);
    release();
    await settle();
    expect(called).toBe(1001);
  });

  test("a lost inbox is told", async () => {
    const world = new World();
    const conn = world.connect();
    const gaps: unknown[] = [];
    conn.on("@gap", (gap) => gaps.push(gap.reason));
    world.last.accept().lose();
    world.timers.advance(60);
    world.last.accept({ session: "other", inbox: { epoch: "j", offset: 3 } });
    await settle();
    expect(gaps).toEqual(["epoch"]);
  });

  test("callbacks see a machine at rest", async () => {
    const world = new World();
    const conn = world.connect();
    conn.on("a", () => {
      conn.send("b");
      void conn.close();
    });
    world.last.accept().say(["msg", "@", 1, "a", 1]);
    await settle();
    expect(world.last.said).toEqual([["send", 1, "b", null]]);
    expect(conn.state).toBe("closed");
  });
});

describe("subscriptions", () => {
  test("handled is asking for the next, or the end of the callback", async () => {
    const world = new World();
    const conn = world.connect();
    const loop = conn.subscribe<number>("loop");
    const ends: (() => void)[] = [];
    conn.subscribe("calls", { onEntry: () => new Promise<void>((resolve) => ends.push(resolve)) });
    world.last.accept();
    granted(world.last, "loop");
    granted(world.last, "calls");
    world.last.say(["msg", "loop", 1, "e", 1], ["msg", "loop", 2, "e", 2], ["msg", "calls", 1, "e", 1], ["msg", "calls", 2, "e", 2]);
    expect((await loop.next()).value).toMatchObject({ kind: "entry", data: 1 });
    expect((await loop.next()).value).toMatchObject({ data: 2 });
    expect(loop.place).toEqual({ epoch: "e", offset: 1 });
    expect(ends).toHaveLength(1);
    ends[0]!();
    await settle();
    expect(ends).toHaveLength(2);
    world.timers.advance(0.1);
    expect(world.last.said.filter(([kind]) => kind === "at")).toEqual([
      ["at", "calls", 1],
      ["at", "loop", 1],
    ]);
  });

  test("entries before a refusal come first", async () => {
    const world = new World();
    const conn = world.connect();
    const got: unknown[] = [];
    conn.subscribe("c", { onEntry: async ({ data }) => (await settle(), got.push(data)), onEnd: (error) => got.push(error.name) });
    const loop = conn.subscribe("d");
    world.last.accept();
    granted(world.last, "c");
    granted(world.last, "d");
    world.last.say(["msg", "c", 1, "e", 1], ["no", 1, { code: "gone" }], ["msg", "d", 1, "e", 1], ["no", 2, { code: "gone" }]);
    for (let i = 0; i < 5; i++) await settle();
    expect(got).toEqual([1, "SubscriptionRefused"]);
    expect((await loop.next()).value).toMatchObject({ data: 1 });
    await expect(loop.next()).rejects.toMatchObject({ code: "gone" });
  });

  test("a closed subscription is unsubscribed, and closing the connection ends all", async () => {
    const world = new World();
    const conn = world.connect();
    const one = conn.subscribe("c");
    const two = conn.subscribe("d");
    world.last.accept();
    granted(world.last, "c");
    one.close();
    one.close();
    expect(await one.next()).toEqual({ done: true, value: undefined });
    await expect(one.ready()).rejects.toThrow("closed");
    expect(world.last.said.filter(([kind]) => kind === "unsub")).toEqual([["unsub", 3, "c"]]);
    const waiting = two.next();
    void conn.close();
    await expect(waiting).rejects.toMatchObject({ name: "ConnectionClosed" });
    expect(two.closed).toBe(true);
  });

  test("several readers share a channel, and the slowest one counts", async () => {
    const world = new World();
    const conn = world.connect();
    const fast: unknown[] = [];
    const slow = conn.subscribe("c");
    const quick = conn.subscribe("c", { onEntry: ({ data }) => fast.push(data) });
    expect(() => conn.subscribe("c", { since: "beginning" })).toThrow("already");
    world.last.accept();
    expect(world.last.sent[0]![1].cursors).toEqual([[1, "c"]]);
    world.last.say(["ok", 1, { epoch: "e", offset: 0 }], ["msg", "c", 1, "e", "x"], ["msg", "c", 2, "e", "y"]);
    await settle();
    expect(fast).toEqual(["x", "y"]);
    await slow.next();
    world.timers.advance(1);
    expect(world.last.said).toEqual([]);
    slow.close();
    world.timers.advance(1);
    expect(world.last.said).toEqual([["at", "c", 2]]);
    quick.close();
    expect(world.last.said.pop()).toEqual(["unsub", 2, "c"]);
  });
});

describe("holding", () => {
  test("a connection lives while somebody holds it, and goes on where it was", async () => {
    const world = new World();
    const conn = shared("ws://host/tabs", world.options());
    expect(shared("ws://host/tabs")).toBe(conn);
    expect(world.sockets).toHaveLength(0);
    conn.hold("tab 0");
    conn.hold("tab 0");
    conn.hold("tab 1");
    expect(world.sockets).toHaveLength(1);
    world.last.accept();
    const sub = conn.subscribe("c");
    granted(world.last, "c", 4);
    conn.release("tab 0");
    expect(conn.state).toBe("open");
    conn.release("tab 1");
    conn.release("tab 1");
    expect(conn.state).toBe("idle");
    expect(world.last.closed).toMatchObject({ code: 1000 });
    world.timers.advance(1000);
    expect(world.sockets).toHaveLength(1);
    const sent = conn.send("later", 1);
    conn.hold("tab 0");
    world.last.accept({ resumed: true });
    expect(world.last.sent[0]![1]).toMatchObject({ session: "s", key: "k", cursors: [[0, "@", ["i", 0]], [1, "c", ["e", 4]]] });
    world.last.say(["ack", 1]);
    await sent.handled();
    sub.close();
    void conn.close();
  });

  test("released while connecting or waiting, nothing outlives the page", () => {
    for (const waiting of [false, true]) {
      const world = new World();
      const conn = world.connect();
      if (waiting) world.last.lose();
      conn.release();
      expect(conn.state).toBe("idle");
      if (!waiting) expect(world.last.closed).not.toBeNull();
      world.timers.advance(1000);
      expect(world.sockets).toHaveLength(1);
    }
  });

  test("it lingers for what has no outcome", async () => {
    const world = new World();
    const conn = world.connect({ linger: 3 });
    world.last.accept();
    conn.send("e", 1);
    conn.release();
    world.last.say(["ack", 1]);
    await settle();
    expect(conn.state).toBe("idle");
    conn.hold();
    world.last.accept({ resumed: true, received: 1 });
    conn.send("e", 2);
    conn.release();
    world.timers.advance(2.9);
    expect(conn.state).toBe("open");
    world.timers.advance(0.2);
    await settle();
    expect(conn.state).toBe("idle");
    expect(conn.pending).toBe(1);
  });

  test("a closed scope leaves nothing, and takes nothing from others", async () => {
    const world = new World();
    const conn = shared("ws://host/pages", world.options());
    const got: string[] = [];
    const pages = ["list", "detail"].map((name) => {
      const scope = conn.scope();
      scope.on("news", () => got.push(`${name} news`));
      scope.onState(() => got.push(`${name} state`));
      scope.subscribe("c", { onEntry: () => got.push(`${name} entry`) });
      return scope;
    });
    world.last.accept();
    world.last.say(["ok", 1, { epoch: "e", offset: 0 }]);
    await settle();
    got.length = 0;
    pages[1]!.close();
    pages[1]!.close();
    expect(() => pages[1]!.on("news", () => {})).toThrow("closed");
    world.last.say(["msg", "@", 1, "news", 1], ["msg", "c", 1, "e", 1]);
    await settle();
    expect(got).toEqual(["list news", "list entry"]);
    pages[0]!.close();
    await settle();
    expect(got).toHaveLength(2);
    expect(world.last.said.some(([kind]) => kind === "unsub")).toBe(true);
    expect(conn.state).toBe("idle");
    expect(world.timers.count).toBeLessThanOrEqual(1);
    void conn.close();
    expect(world.timers.count).toBe(0);
  });
});
