import "fake-indexeddb/auto";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { indexedDBStore, keyValueStore, localStore, memoryStore, miniProgramStore, type Store } from "heartline";
import { settle, World } from "../kit/fake.js";

/** `localStorage` and `sessionStorage`. */
class Area {
  [key: string]: unknown;
  getItem(key: string): string | null {
    return (this[key] as string) ?? null;
  }
  setItem(key: string, value: string): void {
    this[key] = value;
  }
  removeItem(key: string): void {
    delete this[key];
  }
}

/** Web Locks as far as they are used here. */
class Locks {
  readonly held = new Set<string>();
  async request(name: string, options: { ifAvailable?: boolean; signal?: AbortSignal }, then: (lock: object | null) => unknown) {
    await null;
    while (this.held.has(name)) {
      if (options.ifAvailable) return then(null);
      if (options.signal?.aborted) throw new Error("aborted");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.held.add(name);
    try {
      return await then({ name });
    } finally {
      this.held.delete(name);
    }
  }
}

let locks: Locks;
beforeEach(() => {
  locks = new Locks();
  vi.stubGlobal("localStorage", new Area());
  vi.stubGlobal("sessionStorage", new Area());
  vi.stubGlobal("navigator", { locks });
});
afterEach(() => vi.unstubAllGlobals());

const wx = (): { area: Map<string, unknown>; api: Parameters<typeof miniProgramStore>[0] } => {
  const area = new Map<string, unknown>();
  return {
    area,
    api: {
      getStorageInfoSync: () => ({ keys: [...area.keys()] }),
      getStorageSync: (key) => area.get(key) ?? "",
      setStorageSync: (key, value) => void area.set(key, value),
      removeStorageSync: (key) => void area.delete(key),
    },
  };
};

const shared = memoryStore();
const mini = wx();

describe.each<[string, () => Store]>([
  ["memory", () => shared],
  ["localStorage", () => localStore("test")],
  ["IndexedDB", () => indexedDBStore("test")],
  ["mini program", () => miniProgramStore(mini.api)],
])("%s", (_name, make) => {
  test("stores keep what they were given", async () => {
    const store = make();
    expect({ ...(await store.load()) }).toEqual({});
    await store.write([
      ["a", "1"],
      ["b", "2"],
      ["c__proto__", "3"],
    ]);
    await store.write([
      ["a", null],
      ["b", "4"],
    ]);
    store.close?.();
    await settle();
    const again = make();
    expect({ ...(await again.load()) }).toEqual({ b: "4", c__proto__: "3" });
    again.close?.();
  });
});

describe("slots", () => {
  test("two pages never share a stored session", async () => {
    const one = localStore("tabs");
    await one.load();
    await one.write([["s", "mine"]]);
    sessionStorage.removeItem("heartline/tabs"); // another tab
    const two = localStore("tabs");
    expect({ ...(await two.load()) }).toEqual({});
    expect([...locks.held]).toEqual(["heartline/tabs", "heartline/tabs:1"]);
    one.close!();
    two.close!();
  });

  test("a reload gets its slot again, a duplicated tab does not", async () => {
    const one = localStore("tabs");
    await one.load();
    sessionStorage.removeItem("heartline/tabs");
    const two = localStore("tabs");
    await two.load(); // this tab's slot is the second now
    await two.write([["s", "two"]]);
    one.close!();
    setTimeout(() => two.close!(), 50); // the page before it goes a little later
    const reloaded = localStore("tabs");
    expect({ ...(await reloaded.load()) }).toEqual({ s: "two" });
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    const duplicate = localStore("tabs").load();
    for (let i = 0; i < 10; i++) await vi.advanceTimersByTimeAsync(200);
    expect({ ...(await duplicate) }).toEqual({});
    vi.useRealTimers();
    reloaded.close!();
  });

  test("stores with different names are apart", async () => {
    const { api } = wx();
    const one = miniProgramStore(api, "one");
    const two = miniProgramStore(api, "on");
    await one.write([["a", "1"]]);
    expect(Object.keys(await one.load())).toEqual(["a"]);
    expect(Object.keys(await two.load())).toEqual([]);
  });
});

describe("with a connection", () => {
  /** A store that writes when the test says so. */
  function slow(): Store & { finish(error?: Error): void; batches: string[][] } {
    const store = memoryStore();
    let ends: ((error?: Error) => void)[] = [];
    const batches: string[][] = [];
    return {
      batches,
      load: () => Promise.resolve(store.load()),
      write: (changes) =>
        new Promise((resolve, reject) => {
          batches.push(changes.map(([key]) => key));
          ends.push((error) => (error ? reject(error) : resolve(void store.write(changes))));
        }),
      finish(error) {
        const [end] = ends;
        ends = ends.slice(1);
        end?.(error);
      },
    };
  }

  test("what is sent before the store is read goes out in order", async () => {
    const world = new World();
    const store = memoryStore();
    const conn = world.connect({ store: { ...store, load: () => Promise.resolve(store.load()) } });
    const first = conn.send("e", 1);
    const sub = conn.subscribe("c");
    expect([first.n, conn.pending, conn.state]).toEqual([null, 1, "idle"]);
    await settle();
    expect(first.n).toBe(1);
    world.last.accept();
    conn.send("e", 2);
    expect(world.last.said).toEqual([
      ["send", 1, "e", 1],
      ["send", 2, "e", 2],
    ]);
    expect(world.last.sent[0]![1].cursors).toEqual([[1, "c"]]);
    sub.close();
    await conn.close();
  });

  test("nothing is written before it is kept, and batches keep the order", async () => {
    const world = new World();
    const store = slow();
    const conn = world.connect({ store });
    await settle();
    conn.send("e", 1);
    conn.send("e", 2);
    world.last.accept();
    expect(world.last.said).toEqual([]);
    expect(store.batches).toEqual([["n", "m1"]]);
    store.finish();
    await settle();
    expect(store.batches[1]).toEqual(["m2", "c@", "s"]);
    expect(world.last.said).toEqual([]);
    store.finish();
    await settle();
    expect(world.last.said.map((frame) => frame[1])).toEqual([1, 2]);
    world.last.say(["ack", 2]);
    store.finish();
    await settle();
    expect(store.batches[2]).toEqual(["m1", "m2"]);
    expect(conn.pending).toBe(0);
  });

  test("a failing store is told and does not stop the connection", async () => {
    const world = new World();
    const store = slow();
    const conn = world.connect({ store });
    await settle();
    const sent = conn.send("e", 1);
    world.last.accept();
    for (let i = 0; i < 5; i++) {
      store.finish(new Error("quota"));
      await settle();
    }
    expect(world.errors[0]).toMatchObject({ name: "OutboxError", cause: new Error("quota") });
    world.last.say(["ack", 1]);
    await sent.handled();

    const unreadable = new World();
    const other = unreadable.connect({ store: { load: () => Promise.reject(new Error("no")), write() {} } });
    await settle();
    unreadable.last.accept();
    await settle();
    expect(unreadable.errors).toHaveLength(1);
    expect(other.state).toBe("open");
  });

  test("what cannot be read is left out and told", async () => {
    const world = new World();
    const store = memoryStore();
    await store.write([["m1", "{"], ["m2", '{"n":2}'], ["m3", '{"n":3,"kind":"send","event":"e","data":"7"}'], ["s", '["s","k"]'], ["n", "9"]]);
    const conn = world.connect({ store });
    await settle();
    expect(world.errors).toHaveLength(2);
    expect(conn.restored.map(({ n, data }) => [n, data])).toEqual([[3, 7]]);
    world.last.accept({ resumed: true });
    expect(world.last.said).toEqual([["send", 3, "e", 7]]);
    expect(conn.send("e", 1).n).toBe(9);
  });

  test("close waits for the store, and retry reads it again", async () => {
    const world = new World();
    const store = slow();
    const conn = world.connect({ store });
    await settle();
    conn.send("e", 1);
    let closed = false;
    void conn.close().then(() => (closed = true));
    conn.retry();
    await settle();
    expect(closed).toBe(false);
    store.finish();
    await settle();
    expect(closed).toBe(true);
    expect(conn.restored.map(({ event }) => event)).toEqual(["e"]);
    expect(conn.state).toBe("dialling");
  });

  test("closed before the store was read, it keeps what was sent", async () => {
    const world = new World();
    const kept = memoryStore();
    const conn = world.connect({ store: { ...kept, load: () => Promise.resolve(kept.load()) } });
    conn.send("e", 1);
    void conn.close();
    expect(conn.state).toBe("closed");
    expect(() => conn.send("e", 2)).toThrow("closed");
    await settle();
    expect(world.sockets).toHaveLength(0);
    expect(Object.keys(await kept.load())).toContain("m1");
  });
});

test("a key value store of one's own", () => {
  const area = new Map<string, string>();
  const store = keyValueStore(
    { keys: () => [...area.keys()], get: (k) => area.get(k)!, set: (k, v) => void area.set(k, v), remove: (k) => void area.delete(k) },
    "mine",
  );
  void store.write([["a", "1"]]);
  expect([...area]).toEqual([["heartline/mine/a", "1"]]);
});
