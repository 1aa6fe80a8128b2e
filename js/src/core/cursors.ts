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
export class Reader {
  epoch: string | null;
  handledEpoch: string | null;
  handled: number | null;
  /** The number of its request on this link. */
  r = 0;
  follow = Follow.OFFLINE;
  sinceTold = 0;
  sinceToldBytes = 0;
  private _received: number | null;
  private _told: number;
  /** [offset, bytes] of what the application has and has not handled, gaps with 0 bytes. */
  private _pending: [number, number][] = [];
  private _swamped = false;
  private _freshBytes = 0;
  private _grantedEpoch: string | null;
  private _before = 0;
  private _earlier = 0;

  constructor(
    readonly channel: string,
    epoch: string | null = null,
    offset: number | null = null,
  ) {
    this.epoch = this.handledEpoch = this._grantedEpoch = epoch;
    this.handled = this._received = offset;
    this._told = offset || 0;
  }

  // towards the server

  /** The request that (re)starts this channel on the present link. */
  ask(r: number): Cursor {
    const { channel, handled, handledEpoch } = this;
    this.r = r;
    this.follow = Follow.ASKED;
    this._countAnew();
    this.sinceTold = this.sinceToldBytes = 0;
    if (handled === null) return [r, channel];
    this._told = handledEpoch === this.epoch ? handled : 0;
    return [r, channel, [handledEpoch, handled]];
  }

  /** The server follows it; true where we had no cursor, so that this is it. */
  granted(epoch: string, offset: number): boolean {
    const first = this.handled === null || this.epoch === null;
    this.follow = Follow.GRANTED;
    this._grantedEpoch = epoch;
    if (this.epoch === null) this.epoch = this.handledEpoch = epoch;
    if (this.handled === null) this.handled = this._received = this._told = offset;
    return first;
  }

  /** The offset to tell the server in `at`. */
  tell(): number {
    this.sinceTold = this.sinceToldBytes = 0;
    return (this._told = this.handled!);
  }

  /** The server says this again: where it was handled, it waits for an `at` that came too early. */
  saidAgain(offset: number): void {
    const { handled } = this;
    if (this.follow >= Follow.GRANTED && handled !== null && offset <= handled && this.handledEpoch === this.epoch) {
      this._told = Math.min(this._told, offset - 1);
    }
  }

  /** Whether more was handled, in the epoch the server reads, than it has heard of. */
  untold(): boolean {
    const { handled, epoch } = this;
    return !!handled && handled !== this._told && this.handledEpoch === epoch && epoch === this._grantedEpoch;
  }

  // from the server

  /** Judge one entry of `size` bytes; on HAND_OVER it is received and pending. Throws BadFrame. */
  take([, , offset, , , prev]: Msg, size: number): Take {
    const { _received: received, follow } = this;
    if (follow < Follow.GRANTED) return Take.DROP;
    const granted = follow === Follow.GRANTED;
    if (granted && this._grantedEpoch !== this.epoch) throw new BadFrame("msg: epoch");
    if (received === null || offset <= received) return Take.DROP;
    if (received < (prev === null ? offset - 1 : prev)) {
      if (granted) throw new BadFrame("msg: prev"); // beyond the position that ok told
      return Take.HOLE;
    }
    this.follow = Follow.LIVE;
    this._received = offset;
    this._pending.push([offset, size]);
    this._freshBytes += size;
    return Take.HAND_OVER;
  }

  /** The entry as the application sees it. */
  entry([, channel, offset, event, data]: Msg): EntryItem {
    return { kind: "entry", channel, epoch: this.epoch!, offset, event, data };
  }

  /** Move beyond a gap; null when we had received all of it. */
  gap({ epoch, after, to, reason }: GapBody): Gap | null {
    this.follow = Follow.LIVE;
    if (epoch !== this.epoch) return this.restart(epoch, after, to, reason);
    const received = this._received || 0;
    return to <= received ? null : this._lose(received, to, reason);
  }

  /**
   * Another log has taken this one's place: go on behind `to`, whatever had been received.
   *
   * Where it bears the same epoch (the inbox of another session may), the cursor is put where no log is.
   */
  restart(epoch: string, after: number, to: number, reason: string): Gap {
    if (epoch === this.handledEpoch) this.handledEpoch = GONE;
    this._earlier += this._pending.length;
    this._pending = [];
    this._told = 0;
    this.epoch = this._grantedEpoch = epoch;
    return this._lose(after, to, reason);
  }

  // towards the application

  /** The application is done with everything up to an item; whether the cursor moved. */
  handle(epoch: string, offset: number, size: number): boolean {
    const current = epoch === this.epoch;
    if (current && this._received !== null && offset <= this._received) {
      this._release(offset);
      this.sinceToldBytes += size;
    } else {
      this._earlier = Math.max(0, this._earlier - 1);
      if (current || epoch !== this.handledEpoch) return false;
    }
    if (epoch === this.handledEpoch && offset <= this.handled!) return false;
    this.handledEpoch = epoch;
    this.handled = offset;
    return true;
  }

  /**
   * Whether more came since the last answer or gap than the server may have sent.
   *
   * Twice the credit, because an `at` that crosses a change of epoch grants it again. What was pending before does not
   * count, for it may be trimmed and never sent again; `isSwamped` is its end.
   */
  overrun(credit: number, creditBytes: number): boolean {
    const fresh = this._pending.length - this._before;
    return fresh > 2 * credit || (fresh > 1 && this._freshBytes > 2 * creditBytes);
  }

  /** Whether so much waits for the application, over many links, that nothing more is taken. */
  isSwamped(credit: number): boolean {
    return (this._swamped = this._swamped || this._waiting() >= 4 * credit + 16);
  }

  /** Whether the application has caught up so far that what was not taken can be asked for again. */
  hasRoomAgain(credit: number): boolean {
    const again = this._swamped && this._waiting() <= credit;
    if (again) this._swamped = false;
    return again;
  }

  private _waiting(): number {
    return this._pending.length + this._earlier;
  }

  private _lose(after: number, to: number, reason: string): Gap {
    this._received = to;
    this._pending.push([to, 0]);
    this._countAnew();
    return { kind: "gap", channel: this.channel, epoch: this.epoch!, after, to, reason };
  }

  private _countAnew(): void {
    this._before = this._pending.length;
    this._freshBytes = 0;
  }

  private _release(offset: number): void {
    const pending = this._pending;
    while (pending.length && pending[0]![0] <= offset) {
      const size = pending.shift()![1];
      this._earlier = 0;
      if (this._before) this._before--;
      else this._freshBytes -= size;
      if (size) this.sinceTold++;
    }
  }
}
