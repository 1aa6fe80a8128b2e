/**
 * How far a client has received and handled each channel (PROTOCOL 4).
 *
 * Two positions a channel: *received*, behind which an entry is a repeat and is dropped, and *handled*, from which the
 * channel goes on after the next link. What lies between is *pending* in the application's hands; credit bounds it.
 *
 * - an entry is handed over once and in order, or a gap comes before anything newer (vectors: downstream.json);
 * - a cursor moves only by handling, by a gap or by the first answer (vectors: downstream.json);
 * - offsets are compared, never counted (vectors: downstream.json);
 * - what a reader before this one handed over never moves this one's cursor (vectors: credit.json).
 */

import type { EntryItem, Gap } from "./effects.js";
import { BadFrame } from "./errors.js";
import type { Cursor, GapBody, Msg } from "./frames.js";

/** Where a subscription stands on this link. Granted: answered, and nothing has come since. */
export const enum Follow {
  OFFLINE,
  ASKED,
  GRANTED,
  LIVE,
}

/** What became of an entry. */
export const enum Take {
  HAND_OVER,
  DROP,
  HOLE,
}

/** An epoch no log has: a server that is asked to go on in it answers with a gap. */
const GONE = "-";

/** One channel as this client reads it. */
export type Reader = ReturnType<typeof makeReader>;

/** It begins behind this place, or, without one, where the server says. */
export function makeReader(channel: string, epoch: string | null = null, offset: number | null = null) {
  let received = offset;
  let told = offset || 0;
  /** [offset, bytes] of what the application has and has not handled, gaps with 0 bytes. */
  let pending: [number, number][] = [];
  let swamped = false;
  let freshBytes = 0;
  let grantedEpoch = epoch;
  let before = 0;
  let earlier = 0;
  let sinceTold = 0;
  let sinceToldBytes = 0;

  const countAnew = (): void => {
    before = pending.length;
    freshBytes = 0;
  };

  const waiting = (): number => pending.length + earlier;

  const lose = (after: number, to: number, reason: string): Gap => {
    received = to;
    pending.push([to, 0]);
    countAnew();
    return { kind: "gap", channel, epoch: epoch!, after, to, reason };
  };

  const release = (upTo: number): void => {
    while (pending.length && pending[0]![0] <= upTo) {
      const size = pending.shift()![1];
      earlier = 0;
      if (before) before--;
      else freshBytes -= size;
      if (size) sinceTold++;
    }
  };

  /**
   * Another log has taken this one's place: go on behind `to`, whatever had been received.
   *
   * Where it bears the same epoch (the inbox of another session may), the cursor is put where no log is.
   */
  const restart = (newEpoch: string, after: number, to: number, reason: string): Gap => {
    if (newEpoch === me.handledEpoch) me.handledEpoch = GONE;
    earlier += pending.length;
    pending = [];
    told = 0;
    epoch = grantedEpoch = newEpoch;
    return lose(after, to, reason);
  };

  const me = {
    channel,
    handledEpoch: epoch,
    handled: offset,
    /** The number of its request on this link. */
    r: 0,
    follow: Follow.OFFLINE as Follow,
    restart,

    // towards the server

    /** The request that (re)starts this channel on the present link. */
    ask(r: number): Cursor {
      const { handled, handledEpoch } = me;
      me.r = r;
      me.follow = Follow.ASKED;
      countAnew();
      sinceTold = sinceToldBytes = 0;
      if (handled === null) return [r, channel];
      told = handledEpoch === epoch ? handled : 0;
      return [r, channel, [handledEpoch, handled]];
    },

    /** The server follows it; true where we had no cursor, so that this is it. */
    granted(newEpoch: string, at: number): boolean {
      const first = me.handled === null || epoch === null;
      me.follow = Follow.GRANTED;
      grantedEpoch = newEpoch;
      if (epoch === null) epoch = me.handledEpoch = newEpoch;
      if (me.handled === null) me.handled = received = told = at;
      return first;
    },

    /** The offset to tell the server in `at`. */
    tell(): number {
      sinceTold = sinceToldBytes = 0;
      return (told = me.handled!);
    },

    /** The server says this again: where it was handled, it waits for an `at` that came too early. */
    saidAgain(at: number): void {
      const { follow, handled, handledEpoch } = me;
      if (follow >= Follow.GRANTED && handled !== null && at <= handled && handledEpoch === epoch) told = Math.min(told, at - 1);
    },

    /** Whether more was handled, in the epoch the server reads, than it has heard of. */
    untold: () => !!me.handled && me.handled !== told && me.handledEpoch === epoch && epoch === grantedEpoch,

    /** Whether so much was handled since that it should hear of it now: a quarter of the credit. */
    isDue: (credit: number, creditBytes: number) =>
      me.follow >= Follow.GRANTED && (sinceTold * 4 >= credit || sinceToldBytes * 4 >= creditBytes),

    // from the server

    /** Judge one entry of `size` bytes; on HAND_OVER it is received and pending. Throws BadFrame. */
    take([, , at, , , prev]: Msg, size: number): Take {
      const { follow } = me;
      if (follow < Follow.GRANTED) return Take.DROP;
      const granted = follow === Follow.GRANTED;
      if (granted && grantedEpoch !== epoch) throw new BadFrame("msg: epoch");
      if (received === null || at <= received) return Take.DROP;
      if (received < (prev === null ? at - 1 : prev)) {
        if (granted) throw new BadFrame("msg: prev"); // beyond the position that ok told
        return Take.HOLE;
      }
      me.follow = Follow.LIVE;
      received = at;
      pending.push([at, size]);
      freshBytes += size;
      return Take.HAND_OVER;
    },

    /** The entry as the application sees it. */
    entry: ([, , at, event, data]: Msg): EntryItem => ({ kind: "entry", channel, epoch: epoch!, offset: at, event, data }),

    /** Move beyond a gap; null when we had received all of it. */
    gap({ epoch: newEpoch, after, to, reason }: GapBody): Gap | null {
      me.follow = Follow.LIVE;
      if (newEpoch !== epoch) return restart(newEpoch, after, to, reason);
      const behind = received || 0;
      return to <= behind ? null : lose(behind, to, reason);
    },

    // towards the application

    /** The application is done with everything up to an item; whether the cursor moved. */
    handle(itsEpoch: string, at: number, size: number): boolean {
      const current = itsEpoch === epoch;
      if (current && received !== null && at <= received) {
        release(at);
        sinceToldBytes += size;
      } else {
        earlier = Math.max(0, earlier - 1);
        if (current || itsEpoch !== me.handledEpoch) return false;
      }
      if (itsEpoch === me.handledEpoch && at <= me.handled!) return false;
      me.handledEpoch = itsEpoch;
      me.handled = at;
      return true;
    },

    /**
     * Whether more came since the last answer or gap than the server may have sent.
     *
     * Twice the credit, because an `at` that crosses a change of epoch grants it again. What was pending before does not
     * count, for it may be trimmed and never sent again; `isSwamped` is its end.
     */
    overrun(credit: number, creditBytes: number): boolean {
      const fresh = pending.length - before;
      return fresh > 2 * credit || (fresh > 1 && freshBytes > 2 * creditBytes);
    },

    /** Whether so much waits for the application, over many links, that nothing more is taken. */
    isSwamped: (credit: number) => (swamped = swamped || waiting() >= 4 * credit + 16),

    /** Whether the application has caught up so far that what was not taken can be asked for again. */
    hasRoomAgain(credit: number): boolean {
      const again = swamped && waiting() <= credit;
      if (again) swamped = false;
      return again;
    },
  };
  return me;
}
