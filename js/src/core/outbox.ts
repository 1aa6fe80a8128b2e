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
 * - memory follows what waits, not what has passed through (test: queues do not grow with what has gone).
 */

import { OutboxFull } from "./errors.js";
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
export class Outbox {
  bytes = 0;
  /** Messages written on this link, or known to be at the server, and not settled. */
  inFlight = 0;
  /** No number above this one was ever written in this session. */
  highestWritten: number;
  /** The number the next message gets. */
  nextNumber: number;
  private readonly _messages = new Map<number, Message>();
  private _order: number[] = [];
  private _acking: number[] = [];
  private _toWrite: number[] = [];
  private _expiries: Message[] = []; // soonest first
  private _persisted: number;
  private readonly _unforgotten = new Set<number>();
  private readonly _holes = new Set<number>();
  private _told = 1;
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
    first: number,
  ) {
    this.nextNumber = first;
    this.highestWritten = this._persisted = first - 1;
    this._openWindow(0, SPAN, 1 << 20);
  }

  /** How many messages have no outcome yet. */
  get size(): number {
    return this._messages.size;
  }

  /** One of them. */
  find(n: number): Message | undefined {
    return this._messages.get(n);
  }

  /** All of them, in order. */
  all(): Message[] {
    return [...this._messages.values()];
  }

  /** The lowest number not settled, or settled and still on disk: after a crash it would be asked about again. */
  get floor(): number {
    return Math.min(this._order.length ? this._order[0]! : this.nextNumber, lowest(this._unforgotten));
  }

  // adding

  /**
   * Withdraw what the policy allows until `size` bytes fit; throw OutboxFull when they cannot.
   *
   * Returns the messages dropped; the caller tells their senders. RangeError: so much never fits.
   */
  makeRoom(size: number): Message[] {
    const { messages, bytes, full } = this.limits;
    if (size > bytes) {
      throw new RangeError(`data: a message of ${size} bytes can never fit an outbox of ${bytes} bytes`);
    }
    const dropped: Message[] = [];
    let surplus = this.bytes + size - bytes;
    let count = this.size + 1 - messages;
    if (full === "drop_oldest") {
      for (const n of this._toWrite) {
        if (surplus <= 0 && count <= 0) break;
        const message = this._messages.get(n);
        if (message && !message.written) {
          dropped.push(message);
          surplus -= message.size;
          count--;
        }
      }
    }
    if (surplus > 0 || count > 0) throw new OutboxFull(this.size, this.bytes);
    for (const message of dropped) this._remove(message);
    return dropped;
  }

  /** Take over a message that bears `nextNumber`, or one restored from disk, in rising order. */
  add(message: Message): void {
    const { n } = message;
    this.nextNumber = Math.max(this.nextNumber, n + 1);
    this._messages.set(n, message);
    this._order.push(n);
    if (message.kind !== "call") this._acking.push(n);
    this._toWrite.push(n);
    this.bytes += message.size;
    if (message.expiresAt < Infinity && !message.written) this._addExpiry(message);
    if (Math.max(this._order.length, this._acking.length, this._expiries.length) > 2 * this.size + 64) this._compact();
  }

  /** Begin with what a durable outbox held. Whether it had been written is not known, so it had. */
  restore(messages: readonly Message[], nextNumber: number): void {
    for (const message of messages) {
      message.written = true;
      this.add(message);
    }
    this.nextNumber = Math.max(this.nextNumber, nextNumber);
    this._persisted = this.highestWritten = this.nextNumber - 1;
  }

  /** The settled message n is gone from the disk. */
  forgotten(n: number): void {
    this._unforgotten.delete(n);
    this._holes.delete(n);
  }

  /** Everything up to n is on disk. */
  persisted(n: number): void {
    this._persisted = Math.max(this._persisted, n);
  }

  // writing

  /** A new link is up and the server has accepted everything up to `received`: rewind to what it lacks. */
  welcome(received: number, window: number, windowBytes: number): void {
    this._openWindow(received, window, windowBytes);
    this._toWrite = this._order.filter((n) => n > received && this._messages.has(n));
    for (const message of this._messages.values()) {
      if (message.n > received) break;
      message.written = true; // maybe by a copy of this outbox
      this.inFlight++;
      this._flightBytes += message.size;
    }
    this._trimExpiries();
  }

  /**
   * This session is lost: withdraw what may have been handled in it and may not be repeated.
   *
   * That is what was written, and what bears a number up to `received`, whoever wrote that.
   */
  forgetSession(received: number): Message[] {
    const lost = this.all().filter((m) => (m.written || m.n <= received) && !m.idempotent);
    for (const message of lost) this._remove(message);
    this.highestWritten = 0;
    return lost;
  }

  /** Take the next message the window lets through, null when it must wait. */
  nextToWrite(): Message | null {
    const queue = this._toWrite;
    while (queue.length) {
      const message = this._messages.get(queue[0]!);
      if (!message) {
        queue.shift();
        continue;
      }
      if (!this._windowLets(message) || (this.durable && !this._diskLets(message.n))) return null;
      queue.shift();
      message.written = true;
      this._trimExpiries();
      this._lastWritten = message.n;
      this.highestWritten = Math.max(this.highestWritten, message.n);
      this.inFlight++;
      this._flightBytes += message.size;
      return message;
    }
    return null;
  }

  /** The floor, when the server ought to hear of it: half a span passed, hearing lets us go on, or all is quiet. */
  floorToTell(idle: boolean): number | null {
    const { floor, _told: told } = this;
    const next = this._toWrite[0] || 0;
    const blocked = told + SPAN <= next && next < floor + SPAN;
    if (!blocked && floor - told < (idle ? 1 : SPAN / 2)) return null;
    this._told = floor;
    return floor;
  }

  /** The hello carried this floor. */
  toldFloor(floor: number): void {
    this._told = floor;
  }

  // settling

  /** Settle the sends and publications up to n. */
  ack(n: number): Message[] {
    const settled: Message[] = [];
    const acking = this._acking;
    while (acking.length && acking[0]! <= n) {
      const message = this._messages.get(acking[0]!);
      if (message) {
        if (!message.written) break;
        this._settle(message);
        settled.push(message);
      }
      acking.shift();
    }
    return settled;
  }

  /** Withdraw the calls up to n. An ack covers them, so their answers were said before it, or are gone. */
  unanswered(n: number): Message[] {
    const calls: Message[] = [];
    const limit = Math.min(n, this._lastWritten);
    while (this._order.length && this._order[0]! <= limit) {
      const message = this._messages.get(this._order[0]!)!;
      this._settle(message);
      calls.push(message);
    }
    return calls;
  }

  /** Settle one message; null when it is settled already (a reply said again). */
  settle(n: number): Message | null {
    const message = this._messages.get(n);
    if (!message || !message.written) return null;
    this._settle(message);
    return message;
  }

  /** When the next message never written runs out, Infinity for never. */
  nextExpiry(): number {
    return this._expiries.length ? this._expiries[0]!.expiresAt : Infinity;
  }

  /** Withdraw the messages that ran out before they were ever written. */
  expire(now: number): Message[] {
    const expired: Message[] = [];
    while (this.nextExpiry() <= now) {
      const message = this._expiries[0]!;
      this._remove(message);
      expired.push(message);
    }
    return expired;
  }

  /** Take back a message never written; null when it is too late for that. */
  withdraw(n: number): Message | null {
    const message = this._messages.get(n);
    if (!message || message.written) return null;
    this._remove(message);
    return message;
  }

  /** Give up everything; the caller tells the senders. */
  clear(): Message[] {
    const rest = this.all();
    this._messages.clear();
    this._unforgotten.clear();
    this._holes.clear();
    this.bytes = this.inFlight = this._flightBytes = 0;
    this._compact();
    return rest;
  }

  // the window

  private _openWindow(received: number, most: number, mostBytes: number): void {
    this._window = Math.min(FIRST_WINDOW, most);
    this._windowBytes = Math.min(FIRST_WINDOW_BYTES, mostBytes);
    this._most = most;
    this._mostBytes = mostBytes;
    this._sinceDoubling = this.inFlight = this._flightBytes = 0;
    this._lastWritten = received;
  }

  private _windowLets(message: Message): boolean {
    if (message.n >= this._told + SPAN) return false;
    if (!this.inFlight) return true;
    return this.inFlight < this._window && this._flightBytes + message.size <= this._windowBytes;
  }

  /**
   * Whether message n may be written: it is stored, and no hole below it would be a message after a crash.
   *
   * The server takes such a number for one that it has handled (PROTOCOL 3.2).
   */
  private _diskLets(n: number): boolean {
    return n <= this._persisted && n < lowest(this._holes);
  }

  private _settle(message: Message): void {
    if (message.n <= this._lastWritten) {
      this.inFlight--;
      this._flightBytes -= message.size;
      if (++this._sinceDoubling >= this._window) {
        this._sinceDoubling = 0;
        this._window = Math.min(this._window * 2, this._most);
        this._windowBytes = Math.min(this._windowBytes * 2, this._mostBytes);
      }
    }
    this._remove(message);
  }

  private _remove(message: Message): void {
    const { n } = message;
    this._messages.delete(n);
    if (this.durable) {
      this._unforgotten.add(n);
      if (!message.written) this._holes.add(n);
    }
    this.bytes -= message.size;
    for (const queue of [this._order, this._toWrite]) {
      while (queue.length && !this._messages.has(queue[0]!)) queue.shift();
    }
    this._trimExpiries();
  }

  private _addExpiry(message: Message): void {
    const at = this._expiries;
    let i = at.length;
    while (i && at[i - 1]!.expiresAt > message.expiresAt) i--;
    at.splice(i, 0, message);
  }

  /** Keep a message that can still run out in front. */
  private _trimExpiries(): void {
    const queue = this._expiries;
    while (queue.length && !this._canExpire(queue[0]!)) queue.shift();
  }

  private _canExpire(message: Message): boolean {
    return !message.written && this._messages.has(message.n);
  }

  /** Let go of the numbers of messages that are gone. */
  private _compact(): void {
    const here = (n: number): boolean => this._messages.has(n);
    this._order = this._order.filter(here);
    this._acking = this._acking.filter(here);
    this._toWrite = this._toWrite.filter(here);
    this._expiries = this._expiries.filter((m) => this._canExpire(m));
  }
}

function lowest(numbers: Iterable<number>): number {
  let least = Infinity;
  for (const n of numbers) if (n < least) least = n;
  return least;
}
