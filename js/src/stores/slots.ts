/**
 * One page at a time has a stored session: who takes it holds a Web Lock. Pages beside it get slots of their own.
 *
 * - two pages never have one slot (test: two pages never share a stored session);
 * - a page that is reloaded gets its own slot again, one that was opened anew the first that is free
 *   (test: a reload gets its slot again).
 */

import { nothing } from "../client/platform.js";

/** A slot that is held. `name` is that of the store, with a number behind it from the second on. */
export interface Slot {
  readonly name: string;
  release(): void;
}

const RELOAD_TAKES = 20; // looks, 50 ms apart, until the page before this one has let go

/** Take the slot this tab had, else the first that is free. */
export async function takeSlot(name: string): Promise<Slot> {
  const locks = typeof navigator === "undefined" ? undefined : navigator.locks;
  if (!locks) return { name, release: nothing };
  const key = `heartline/${name}`;
  const mine = session((tab) => tab.getItem(key));
  for (let i = 0; mine && i < RELOAD_TAKES; i++) {
    const slot = await tryLock(locks, mine); // a duplicated tab finds it held
    if (slot) return slot;
    await new Promise((then) => setTimeout(then, 50));
  }
  for (let i = 0; ; i++) {
    const free = i ? `${name}:${i}` : name;
    const slot = await tryLock(locks, free);
    if (slot) {
      session((tab) => tab.setItem(key, free));
      return slot;
    }
  }
}

function tryLock(locks: LockManager, name: string): Promise<Slot | null> {
  return new Promise((resolve) => {
    const taken = (lock: Lock | null): unknown =>
      lock ? new Promise<void>((release) => resolve({ name, release })) : resolve(null);
    locks.request(`heartline/${name}`, { ifAvailable: true }, taken).catch(() => resolve(null));
  });
}

/** `sessionStorage`, which belongs to one tab; some pages may not use it. */
function session<T>(use: (tab: Storage) => T): T | null {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}
