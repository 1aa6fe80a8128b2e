/**
 * What a client has sent and the server has not settled (PROTOCOL 3).
 *
 * A message is *written* once it has been handed to any link. A message never written may be withdrawn (it expired, the
 * outbox was full, the client closed) and leaves a hole in the numbers; a written one waits for its outcome.
 *
 * - numbers rise and are never used twice (test: numbers rise and are never reused);
 * - nothing written expires (test: nothing written expires);
 * - an ack settles sends and publications; a call it covers without an answer never gets one
 *   (test: an ack leaves no call waiting);
 * - the window bounds what is in flight, in messages and bytes, but never blocks a lone message
 *   (test: the window bounds the flight);
 * - what is dropped from a full outbox is told, and nothing is dropped in vain (test: nothing is dropped in vain);
 * - a durable message is written only after it was persisted, and not above a hole that is still a message on disk;
 *   the floor passes it only after the disk has let go of it (vectors: durable.json);
 * - memory follows what waits, not what has passed through (test: nothing is kept of what has gone).
 */

import { OutboxFull } from "./errors.js";
import type { Json } from "./frames.js";
import type { OutboxLimits } from "./policy.js";
import { bytesOf, charsOf } from "./text.js";

/** Numbers the server keeps results of, above the floor. */
export const SPAN = 256;
const FIRST_WINDOW = 8;
const FIRST_WINDOW_BYTES = 16 << 10;
const OVERHEAD = 24;

/** What the sender wants to hear. */
export type Kind = "send" | "call" | "pub";

/** How a message ended (PROTOCOL 3.3; the promise). */
export type Outcome = "handled" | "rejected" | "expired" | "unknown";

/** One numbered message. `data` is JSON text; `target` is the channel of a publication. */
export interface Message {
  readonly n: number;
  readonly kind: Kind;
  readonly event: string;
  readonly data: string;
  readonly target: string;
  readonly expiresAt: number;
  readonly idempotent: boolean;
  readonly size: number;
  written: boolean;
}

/** Bytes a message counts for (PROTOCOL 3.5): its data, the characters of its names, and 24. */
export function sizeOf(event: string, target: string, data: string): number {
  return bytesOf(data) + charsOf(event) + charsOf(target) + OVERHEAD;
}

/** Messages in the order of their numbers, and the window through which they go. */
export type Outbox = ReturnType<typeof makeOutbox>;

/** An empty one. `ended` hears how each message ends. */
export function makeOutbox(
  limits: OutboxLimits,
  durable: boolean,
  ended: (message: Message, outcome: Outcome, reason: string, body: Json) => void,
) {
  /** All of them, in order. */
  const messages = new Map<number, Message>();
  const expiring = new Set<Message>();
  const onDisk = new Map<number, boolean>(); // settled, and not gone from there; whether never written
  let first = 1; // no message has a lower number
  let next = 1; // nor one that is still to be written
  let window = 0;
  let windowBytes = 0;
  let most = 0;
  let mostBytes = 0;
  let sinceDoubling = 0;
  let flightBytes = 0;
  let lastWritten = 0; // on this link

  /** The number of the first message from `n` on, `nextNumber` where there is none. */
  const seek = (n: number): number => {
    while (n < box.nextNumber && !messages.has(n)) n++;
    return n;
  };

  const waiting = (): Message | undefined => messages.get((next = seek(next)));

  /** Whether message n is stored, and no hole below it would be a message after a crash (PROTOCOL 3.2). */
  const diskLets = (n: number): boolean => n <= box.persisted && [...onDisk].every(([other, hole]) => !hole || other > n);

  const fly = (message: Message): void => {
    message.written = true;
    expiring.delete(message);
    box.inFlight++;
    flightBytes += message.size;
  };

  const remove = (message: Message, outcome: Outcome, reason: string, body: Json = null): void => {
    const { n } = message;
    messages.delete(n);
    expiring.delete(message);
    box.bytes -= message.size;
    if (durable) onDisk.set(n, !message.written);
    ended(message, outcome, reason, body);
  };

  const settle = (message: Message, outcome: Outcome, reason = "", body: Json = null): void => {
    if (message.n <= lastWritten) {
      box.inFlight--;
      flightBytes -= message.size;
      if (++sinceDoubling >= window) {
        sinceDoubling = 0;
        window = Math.min(window * 2, most);
        windowBytes = Math.min(windowBytes * 2, mostBytes);
      }
    }
    remove(message, outcome, reason, body);
  };

  const box = {
    messages,
    bytes: 0,
    /** Messages written on this link, or known to be at the server, and not settled. */
    inFlight: 0,
    /** No number above this one was ever written in this session. */
    highestWritten: 0,
    /** The number the next message gets. */
    nextNumber: 1,
    /** Everything up to here is on disk. */
    persisted: 0,
    /** The floor the server has heard of. */
    told: 1,

    /** The lowest number not settled, or settled and still on disk: after a crash it would be asked about again. */
    floor(): number {
      first = seek(first);
      return Math.min(first, lowest(onDisk.keys()));
    },

    // adding

    /** Withdraw what the policy allows until `size` bytes fit. Throws OutboxFull; RangeError: so much never fits. */
    makeRoom(size: number): void {
      const { messages: most, bytes: mostBytes, full } = limits;
      if (size > mostBytes) throw new RangeError("data: more than the outbox holds");
      const dropped: Message[] = [];
      let bytes = box.bytes + size;
      const tooMuch = (): boolean => bytes > mostBytes || messages.size - dropped.length >= most;
      if (full === "drop_oldest") {
        for (const message of messages.values()) {
          if (tooMuch() && !message.written) {
            dropped.push(message);
            bytes -= message.size;
          }
        }
      }
      if (tooMuch()) throw new OutboxFull(messages.size, box.bytes);
      for (const message of dropped) remove(message, "expired", "outbox full");
    },

    /** Take over a message that bears `nextNumber`, or one restored from disk, in rising order. */
    add(message: Message): void {
      box.nextNumber = Math.max(box.nextNumber, message.n + 1);
      messages.set(message.n, message);
      box.bytes += message.size;
      if (message.expiresAt < Infinity) expiring.add(message);
    },

    /** Begin with what a durable outbox held. Whether it had been written is not known, so it had. */
    restore(saved: readonly Message[], nextNumber: number): void {
      saved.forEach(box.add);
      box.nextNumber = Math.max(box.nextNumber, nextNumber);
      first = saved.length ? saved[0]!.n : box.nextNumber;
      box.persisted = box.highestWritten = box.nextNumber - 1;
    },

    /** The settled message n is gone from the disk. */
    forgotten(n: number): void {
      onDisk.delete(n);
    },

    // writing

    /** A new link is up and the server has accepted everything up to `received`: rewind to what it lacks. */
    welcome(received: number, limit: number, limitBytes: number): void {
      window = Math.min(FIRST_WINDOW, (most = limit));
      windowBytes = Math.min(FIRST_WINDOW_BYTES, (mostBytes = limitBytes));
      sinceDoubling = box.inFlight = flightBytes = 0;
      lastWritten = received;
      next = Math.max(first, received + 1);
      for (const message of messages.values()) {
        if (message.n <= received) fly(message); // maybe written by a copy of this outbox
      }
    },

    /**
     * This session is lost: withdraw what may have been handled in it and may not be repeated.
     *
     * That is what was written, and what bears a number up to `received`, whoever wrote that.
     */
    forgetSession(received: number, reason: string): void {
      for (const message of messages.values()) {
        if ((message.written || message.n <= received) && !message.idempotent) remove(message, "unknown", reason);
      }
      box.highestWritten = 0;
    },

    /** Take the next message the window and the disk let through, if there is one. */
    nextToWrite(): Message | undefined {
      const message = waiting();
      if (!message || message.n >= box.told + SPAN) return;
      if (box.inFlight && (box.inFlight >= window || flightBytes + message.size > windowBytes)) return;
      if (durable && !diskLets(message.n)) return;
      lastWritten = message.n;
      next = message.n + 1;
      box.highestWritten = Math.max(box.highestWritten, message.n);
      fly(message);
      return message;
    },

    /** Whether the server ought to hear of the floor: half a span passed, hearing lets us go on, or all is quiet. */
    floorIsNews(idle: boolean): boolean {
      const floor = box.floor();
      const { told } = box;
      const message = waiting();
      const blocked = message && told + SPAN <= message.n && message.n < floor + SPAN;
      return blocked || floor - told >= (idle ? 1 : SPAN / 2);
    },

    // settling

    /** Settle the sends and publications up to n. Calls below it have no answer: it was said before, or is gone. */
    ack(n: number): void {
      for (const message of messages.values()) {
        if (message.n > n || !message.written) break;
        if (message.kind !== "call") settle(message, "handled");
      }
      for (const message of messages.values()) {
        if (message.n > Math.min(n, lastWritten)) break;
        settle(message, "unknown", "no answer");
      }
    },

    /** Settle one message, unless it is settled already (a reply said again). */
    settle(n: number, outcome: Outcome, body: Json): void {
      const message = messages.get(n);
      if (message && message.written) settle(message, outcome, "", body);
    },

    /** When the next message never written runs out, Infinity for never. */
    nextExpiry(): number {
      return lowest([...expiring].map((message) => message.expiresAt));
    },

    /** Withdraw the messages that ran out before they were ever written. */
    expire(now: number): void {
      const expired = [...expiring].filter((message) => message.expiresAt <= now);
      for (const message of expired.sort((a, b) => a.expiresAt - b.expiresAt)) remove(message, "expired", "it ran out");
    },

    /** Take back a message; false when it was written, or is gone, so that it is too late for that. */
    withdraw(n: number): boolean {
      const message = messages.get(n);
      if (!message || message.written) return false;
      remove(message, "expired", "withdrawn");
      return true;
    },

    /** Give up everything. */
    giveUp(reason: string): void {
      for (const message of messages.values()) remove(message, message.written ? "unknown" : "expired", reason);
      box.inFlight = 0;
      onDisk.clear();
    },
  };
  return box;
}

function lowest(numbers: Iterable<number>): number {
  let least = Infinity;
  for (const n of numbers) if (n < least) least = n;
  return least;
}
