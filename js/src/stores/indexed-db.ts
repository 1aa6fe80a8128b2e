/**
 * A store in IndexedDB: as much as the browser allows, each batch kept whole or not at all.
 *
 * - what was written is there after a reload (test: stores keep what they were given).
 */

import type { Store } from "../client/journal.js";
import { type Slot, takeSlot } from "./slots.js";

/**
 * A store under `name`. One page at a time has it, where there are Web Locks.
 *
 * IndexedDB takes its time: what was sent a few milliseconds before the page went, and never reached the server either,
 * may be missing. `localStore` keeps it before `send` returns.
 */
export function indexedDBStore(name = "main"): Store {
  let slot: Slot | null = null;
  let db: IDBDatabase | null = null;
  const table = (mode: IDBTransactionMode): IDBObjectStore => db!.transaction("kept", mode).objectStore("kept");
  return {
    async load() {
      slot = await takeSlot(name);
      const opening = indexedDB.open(`heartline/${slot.name}`);
      opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
      db = await done(opening);
      const kept: Record<string, string> = Object.create(null);
      for (const [key, value] of await done(table("readonly").getAll())) kept[key] = value;
      return kept;
    },
    write(changes) {
      return new Promise((resolve, reject) => {
        const kept = table("readwrite");
        for (const [key, value] of changes) {
          if (value === null) kept.delete(key);
          else kept.put([key, value], key);
        }
        if (kept.transaction.commit) kept.transaction.commit(); // at once: the page may go any moment
        kept.transaction.oncomplete = () => resolve();
        kept.transaction.onabort = () => reject(kept.transaction.error);
      });
    },
    close() {
      if (db) db.close();
      if (slot) slot.release();
      db = slot = null;
    },
  };
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
