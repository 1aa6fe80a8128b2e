/**
 * Numbers for what a server that numbers nothing sends (protocol/DIALECTS.md §4.5).
 *
 * - an application that does not keep up gets a gap in the place of what it missed, and memory is bounded
 *   (vectors: client-channels.json).
 */

import type { DownFrame, Json, Place } from "../core/frames.js";
import type { Heard } from "./forms.js";

const CREDIT = 4096;
const CREDIT_BYTES = 4 << 20;

/** One channel: [offset, size] of what was handed over and not handled. */
export interface Log {
  readonly channel: string;
  offset: number;
  readonly pending: [number, number][];
  size: number;
  missed: boolean;
}

/** All channels of one connection, in one epoch. */
export function makeLogs(epoch: string, down: (frame: DownFrame) => void) {
  const logs = new Map<string, Log>();

  const release = (log: Log, offset: number): void => {
    const { pending } = log;
    while (pending.length && pending[0]![0] <= offset) log.size -= pending.shift()![1];
  };

  /** Say that something may be missing here; `beyond` is where the machine believes to be. */
  const gap = (log: Log, beyond = 0): void => {
    const after = Math.max(log.offset, beyond);
    log.offset = after + 1;
    log.missed = false;
    down(["gap", log.channel, { epoch, after, to: after + 1, reason: "none" }]);
  };

  return {
    gap,

    /** What the machine is told. */
    limits: {
      message: 16 << 20,
      window: 256,
      window_bytes: 1 << 20,
      credit: CREDIT,
      credit_bytes: CREDIT_BYTES,
      subscriptions: 1000,
    },

    of(channel: string): Log {
      let log = logs.get(channel);
      if (!log) logs.set(channel, (log = { channel, offset: 0, pending: [], size: 0, missed: false }));
      return log;
    },

    /** Hand an entry over, unless the application is too far behind. */
    hand(log: Log, event: string, data: Json, { 0: { length } }: Heard): void {
      const { pending } = log;
      if (pending.length >= CREDIT || (pending.length && log.size + length > CREDIT_BYTES)) log.missed = true;
      if (log.missed) return;
      pending.push([++log.offset, length]);
      log.size += length;
      down(["msg", log.channel, log.offset, event, data, null]);
    },

    /** The application is done with everything up to `offset`. */
    handled(log: Log, offset: number): void {
      release(log, offset);
      if (log.missed && log.pending.length * 2 <= CREDIT && log.size * 2 <= CREDIT_BYTES) gap(log);
    },

    /** Another link goes on behind `at`: nothing before it, or nothing at all, is still to be handled. */
    resume(log: Log, at: Place | undefined): void {
      release(log, at && at[0] === epoch ? at[1] : log.offset);
      log.missed = false;
    },
  };
}
