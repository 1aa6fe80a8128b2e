/**
 * Stores over what keeps text by key at once: `localStorage`, and the storage of mini programs.
 *
 * - a key of one store is never taken for that of another (test: stores with different names are apart).
 */

import type { Store } from "../client/journal.js";
import { type Slot, takeSlot } from "./slots.js";

/** Something that keeps text by key. All methods do it before they return. */
export interface KeyValue {
  keys(): string[];
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
}

/** A store under `name`. With `locked` one page at a time has it; a second page gets one of its own beside it. */
export function keyValueStore(area: KeyValue, name: string, locked = false): Store {
  let slot: Slot | null = null;
  let prefix = `heartline/${name}/`;
  const load = (): Record<string, string> => {
    const kept: Record<string, string> = Object.create(null);
    for (const key of area.keys()) {
      if (key.startsWith(prefix)) kept[key.slice(prefix.length)] = area.get(key)!;
    }
    return kept;
  };
  return {
    load() {
      if (!locked) return load();
      return takeSlot(name).then((taken) => {
        slot = taken;
        prefix = `heartline/${slot.name}/`;
        return load();
      });
    },
    write(changes) {
      for (const [key, value] of changes) {
        if (value === null) area.remove(prefix + key);
        else area.set(prefix + key, value);
      }
    },
    close() {
      if (slot) slot.release();
      slot = null;
    },
  };
}

/** A store in memory: survives a connection, not the process. */
export function memoryStore(): Store {
  const kept = new Map<string, string>();
  return keyValueStore(
    {
      keys: () => [...kept.keys()],
      get: (key) => kept.get(key)!,
      set: (key, value) => void kept.set(key, value),
      remove: (key) => void kept.delete(key),
    },
    "",
  );
}

/** A store in `localStorage`: simple, at most a few megabytes. One page at a time has it, where there are Web Locks. */
export function localStore(name = "main"): Store {
  return keyValueStore(
    {
      keys: () => Object.keys(localStorage),
      get: (key) => localStorage.getItem(key),
      set: (key, value) => localStorage.setItem(key, value),
      remove: (key) => localStorage.removeItem(key),
    },
    name,
    true,
  );
}

/** What is used of the storage of `wx`, `uni` or the like. */
export interface MiniProgramStorage {
  getStorageInfoSync(): { keys: string[] };
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, value: string): void;
  removeStorageSync(key: string): void;
}

/** A store in the storage of a mini program: pass `wx` or `uni`. It is kept when the mini program is killed. */
export function miniProgramStore(api: MiniProgramStorage, name = "main"): Store {
  return keyValueStore(
    {
      keys: () => api.getStorageInfoSync().keys,
      get: (key) => String(api.getStorageSync(key)),
      set: (key, value) => api.setStorageSync(key, value),
      remove: (key) => api.removeStorageSync(key),
    },
    name,
  );
}
