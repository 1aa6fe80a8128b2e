/**
 * What has to outlive the process, written in batches: one at a time, in the order of causes.
 *
 * - what is asked for while a batch is being written goes into the next one (test: batches keep the order);
 * - a store that fails is told and does not stop the connection (test: a failing store is told).
 */

import type { Place } from "../core/frames.js";
import type { Saved, SavedMessage } from "../core/saved.js";
import { proceed } from "./platform.js";

/** A change: a key and its value, null to delete it. */
export type Change = [key: string, value: string | null];

/**
 * Where a connection keeps what has to outlive its process. Keys and values are text; keys are few hundred characters.
 *
 * One store serves one connection at a time. What `write` was given has to be kept, all of it or the first part, before
 * the promise resolves; without a promise, before it returns.
 */
export interface Store {
  /** All that is kept. Called once before anything else, and again after `close`. */
  load(): Record<string, string> | Promise<Record<string, string>>;
  /** Keep these. Called again only when this is done. */
  write(changes: Change[]): void | Promise<void>;
  /** Let go of it: another connection may load. */
  close?(): void;
}

/** The writer of one store. */
export type Journal = ReturnType<typeof makeJournal>;

/** `failed` is told what could not be kept, `done` is called after each batch. */
export function makeJournal(store: Store, failed: (error: unknown) => void, done: () => void) {
  const changes = new Map<string, string | null>();
  const afters: (() => void)[] = [];
  const idle: (() => void)[] = [];
  let writing = false;

  /** Write what was put; whether something has been written when this returns. */
  const flush = (): boolean => {
    if (writing) return false;
    const batch = [...changes];
    const after = afters.splice(0);
    if (!batch.length) {
      idle.splice(0).forEach((call) => call());
      return false;
    }
    changes.clear();
    writing = true;
    let late = false;
    const end = (): void => {
      writing = false;
      after.forEach((call) => call());
      if (late) done();
      flush();
    };
    proceed(
      () => store.write(batch),
      end,
      (error) => (failed(error), end()),
    );
    late = true;
    return !writing;
  };

  return {
    flush,

    /** Have a value kept; call `after` when it is. */
    put(key: string, value: string | null, after?: () => void): void {
      changes.delete(key); // it takes its place in the order anew
      changes.set(key, value);
      if (after) afters.push(after);
    },

    /** Resolves when everything is kept. */
    idle: (): Promise<void> =>
      new Promise((resolve) => {
        idle.push(resolve);
        flush();
      }),
  };
}

/** What a store held, as the machine takes it. What cannot be read is left out and told. */
export function savedOf(kept: Record<string, string>, failed: (error: unknown) => void): Saved {
  const messages: SavedMessage[] = [];
  const cursors: Record<string, Place> = Object.create(null); // a channel may be called __proto__
  const saved: { -readonly [K in keyof Saved]: Saved[K] } = { messages, cursors };
  for (const key of Object.keys(kept)) {
    try {
      const value = JSON.parse(kept[key]!);
      if (key[0] === "m") messages.push(messageOf(value));
      else if (key[0] === "c") cursors[key.slice(1)] = value;
      else if (key === "n") saved.nextNumber = value;
      else if (key === "k") saved.keep = value;
      else if (key === "s") [saved.session, saved.key] = value;
    } catch (error) {
      failed(error);
    }
  }
  messages.sort((a, b) => a.n - b.n);
  return saved;
}

function messageOf(value: SavedMessage): SavedMessage {
  if (value.n > 0 && typeof value.event === "string" && typeof value.data === "string") return value;
  throw new TypeError("no message");
}
