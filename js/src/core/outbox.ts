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

/** Messages in the order of their numbers, and the window through which they go. `ended` hears how each ends. */
export class Outbox {
  /** All of them, in order. */
  readonly messages = new Map<number, Message>();
  bytes = 0;
  /** Messages written on this link, or known to be at the server, and not settled. */
  inFlight = 0;
  /** No number above this one was ever written in this session. */
  highestWritten = 0;
  /** The number the next message gets. */
  nextNumber = 1;
  /** Everything up to here is on disk. */
  persisted = 0;
  /** The floor the server has heard of. */
  told = 1;
  private _first = 1; // no message has a lower number
  private _next = 1; // nor one that is still to be written
  private readonly _expiring = new Set<Message>();
  private readonly _onDisk = new Map<number, boolean>(); // settled, and not gone from there; whether never written
  private _window = 0;
  private _windowBytes = 0;
  private _most = 0;
  private _mostBytes = 0;
  private _sinceDoubling = 0;
  private _flightBytes = 0;
  private _lastWritten = 0; // on this link

  constructor(
    readonly limits: OutboxLimits,
    readonly durable: boolean,
    private readonly _ended: (message: Message, outcome: Outcome, reason: string, body: Json) => void,
  ) {}

  /** The lowest number not settled, or settled and still on disk: after a crash it would be asked about again. */
  floor(): number {
    this._first = this._seek(this._first);
    return Math.min(this._first, lowest(this._onDisk.keys()));
  }

  // adding

  /** Withdraw what the policy allows until `size` bytes fit. Throws OutboxFull; RangeError: so much never fits. */
  makeRoom(size: number): void {
    const { messages: most, bytes: mostBytes, full } = this.limits;
    if (size > mostBytes) throw new RangeError(`data: ${size} bytes never fit the outbox`);
    const dropped: Message[] = [];
    let bytes = this.bytes + size;
    const tooMuch = (): boolean => bytes > mostBytes || this.messages.size - dropped.length >= most;
    if (full === "drop_oldest") {
      for (const message of this.messages.values()) {
        if (tooMuch() && !message.written) {
          dropped.push(message);
          bytes -= message.size;
        }
      }
    }
    if (tooMuch()) throw new OutboxFull(this.messages.size, this.bytes);
    for (const message of dropped) this._remove(message, "expired", "the outbox was full");
  }

  /** Take over a message that bears `nextNumber`, or one restored from disk, in rising order. */
  add(message: Message): void {
    this.nextNumber = Math.max(this.nextNumber, message.n + 1);
    this.messages.set(message.n, message);
    this.bytes += message.size;
    if (message.expiresAt < Infinity) this._expiring.add(message);
  }

  /** Begin with what a durable outbox held. Whether it had been written is not known, so it had. */
  restore(messages: readonly Message[], nextNumber: number): void {
    messages.forEach((message) => this.add(message));
    this.nextNumber = Math.max(this.nextNumber, nextNumber);
    this._first = messages.length ? messages[0]!.n : this.nextNumber;
    this.persisted = this.highestWritten = this.nextNumber - 1;
  }

  /** The settled message n is gone from the disk. */
  forgotten(n: number): void {
    this._onDisk.delete(n);
  }

  // writing

  /** A new link is up and the server has accepted everything up to `received`: rewind to what it lacks. */
  welcome(received: number, most: number, mostBytes: number): void {
    this._window = Math.min(FIRST_WINDOW, (this._most = most));
    this._windowBytes = Math.min(FIRST_WINDOW_BYTES, (this._mostBytes = mostBytes));
    this._sinceDoubling = this.inFlight = this._flightBytes = 0;
    this._lastWritten = received;
    this._next = Math.max(this._first, received + 1);
    for (const message of this.messages.values()) {
      if (message.n <= received) this._fly(message); // maybe written by a copy of this outbox
    }
  }

  /**
   * This session is lost: withdraw what may have been handled in it and may not be repeated.
   *
   * That is what was written, and what bears a number up to `received`, whoever wrote that.
   */
  forgetSession(received: number, reason: string): void {
    for (const message of this.messages.values()) {
      if ((message.written || message.n <= received) && !message.idempotent) this._remove(message, "unknown", reason);
    }
    this.highestWritten = 0;
  }

  /** Take the next message the window and the disk let through, if there is one. */
  nextToWrite(): Message | undefined {
    const message = this._waiting();
    if (!message || message.n >= this.told + SPAN) return;
    if (this.inFlight && (this.inFlight >= this._window || this._flightBytes + message.size > this._windowBytes)) return;
    if (this.durable && !this._diskLets(message.n)) return;
    this._lastWritten = message.n;
    this._next = message.n + 1;
    this.highestWritten = Math.max(this.highestWritten, message.n);
    this._fly(message);
    return message;
  }

  /** Whether the server ought to hear of the floor: half a span passed, hearing lets us go on, or all is quiet. */
  floorIsNews(idle: boolean): boolean {
    const floor = this.floor();
    const { told } = this;
    const next = this._waiting();
    const blocked = next && told + SPAN <= next.n && next.n < floor + SPAN;
    return blocked || floor - told >= (idle ? 1 : SPAN / 2);
  }

  // settling

  /** Settle the sends and publications up to n. Calls below it have no answer: it was said before, or is gone. */
  ack(n: number): void {
    for (const message of this.messages.values()) {
      if (message.n > n || !message.written) break;
      if (message.kind !== "call") this._settle(message, "handled");
    }
    for (const message of this.messages.values()) {
      if (message.n > Math.min(n, this._lastWritten)) break;
      this._settle(message, "unknown", "its answer is gone");
    }
  }

  /** Settle one message, unless it is settled already (a reply said again). */
  settle(n: number, outcome: Outcome, body: Json): void {
    const message = this.messages.get(n);
    if (message && message.written) this._settle(message, outcome, "", body);
  }

  /** When the next message never written runs out, Infinity for never. */
  nextExpiry(): number {
    return lowest([...this._expiring].map((message) => message.expiresAt));
  }

  /** Withdraw the messages that ran out before they were ever written. */
  expire(now: number): void {
    const expired = [...this._expiring].filter((message) => message.expiresAt <= now);
    for (const message of expired.sort((a, b) => a.expiresAt - b.expiresAt)) this._remove(message, "expired", "it ran out");
  }

  /** Take back a message; false when it was written, or is gone, so that it is too late for that. */
  withdraw(n: number): boolean {
    const message = this.messages.get(n);
    if (!message || message.written) return false;
    this._remove(message, "expired", "withdrawn");
    return true;
  }

  /** Give up everything. */
  giveUp(reason: string): void {
    for (const message of this.messages.values()) this._remove(message, message.written ? "unknown" : "expired", reason);
    this.inFlight = 0;
    this._onDisk.clear();
  }

  /** The number of the first message from `n` on, `nextNumber` where there is none. */
  private _seek(n: number): number {
    while (n < this.nextNumber && !this.messages.has(n)) n++;
    return n;
  }

  private _waiting(): Message | undefined {
    this._next = this._seek(this._next);
    return this.messages.get(this._next);
  }

  /** Whether message n is stored, and no hole below it would be a message after a crash (PROTOCOL 3.2). */
  private _diskLets(n: number): boolean {
    return n <= this.persisted && [...this._onDisk].every(([other, hole]) => !hole || other > n);
  }

  private _fly(message: Message): void {
    message.written = true;
    this._expiring.delete(message);
    this.inFlight++;
    this._flightBytes += message.size;
  }

  private _settle(message: Message, outcome: Outcome, reason = "", body: Json = null): void {
    if (message.n <= this._lastWritten) {
      this.inFlight--;
      this._flightBytes -= message.size;
      if (++this._sinceDoubling >= this._window) {
        this._sinceDoubling = 0;
        this._window = Math.min(this._window * 2, this._most);
        this._windowBytes = Math.min(this._windowBytes * 2, this._mostBytes);
      }
    }
    this._remove(message, outcome, reason, body);
  }

  private _remove(message: Message, outcome: Outcome, reason: string, body: Json = null): void {
    const { n } = message;
    this.messages.delete(n);
    this._expiring.delete(message);
    this.bytes -= message.size;
    if (this.durable) this._onDisk.set(n, !message.written);
    this._ended(message, outcome, reason, body);
  }
}

function lowest(numbers: Iterable<number>): number {
  let least = Infinity;
  for (const n of numbers) if (n < least) least = n;
  return least;
}
