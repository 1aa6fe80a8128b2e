/** What the tests call. Times are seconds. */

import * as heartline from "/heartline.js";

globalThis.heartline = heartline;
globalThis.conn = null;
globalThis.states = []; // of `conn`
globalThis.got = []; // what `follow` was given: numbers, and gaps as objects
globalThis.shown = 0; // how often the page came back from the browser's cache

/** Connect, quickly. */
globalThis.dial = (url, options = {}) => {
  globalThis.conn = heartline.connect(url, {
    heartbeat: { interval: 0.3, timeout: 0.3 },
    backOff: { base: 0.02, cap: 0.2 },
    on: {
      "@state": (change) => states.push(change.new),
      "@error": (error) => problems.push(String(error)),
    },
    ...options,
  });
};

/** Take a channel's numbers into `got`. Resolves when the server follows it for us. */
globalThis.follow = (channel, since) =>
  conn.subscribe(channel, { since, onEntry: ({ data }) => got.push(data), onGap: (gap) => got.push(gap) }).ready();

/** Wait for something that tells nobody. */
globalThis.until = async (met, seconds = 10) => {
  for (const end = Date.now() + seconds * 1000; !(await met()); ) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${met}; states ${states}, got ${got}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

/** How many messages a store of this name holds. */
globalThis.kept = async (store, name) => {
  if (store === "localStore") return Object.keys(localStorage).filter((key) => key.startsWith(`heartline/${name}/m`)).length;
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const db = await done(indexedDB.open(`heartline/${name}`));
  const keys = await done(db.transaction("kept").objectStore("kept").getAllKeys());
  db.close();
  return keys.filter((key) => key[0] === "m").length;
};

/** How many sockets are open. */
globalThis.alive = () => sockets.filter((socket) => socket.readyState === WebSocket.OPEN).length;

addEventListener("pageshow", ({ persisted }) => (shown += persisted));

globalThis.ready = true;
