/**
 * The client's way down: subscriptions, entries, gaps, credit (PROTOCOL 4).
 *
 * - a subscription lives as long as somebody wants it, over any number of links (vectors: downstream.json);
 * - what is wanted or no longer wanted between hello and welcome is said after welcome (vectors: downstream.json);
 * - the server hears `at` before half of its credit is used up (vectors: credit.json);
 * - an application that does not read is given no more after a while and loses nothing by it (vectors: credit.json);
 * - an inbox that belonged to a lost session is named as a gap (vectors: downstream.json).
 */

import type { Retry } from "./back-off.js";
import { Follow, Reader, Take } from "./cursors.js";
import type { Effect, Gap } from "./effects.js";
import { BadFrame } from "./errors.js";
import { type Cursor, type GapBody, INBOX, type Json, type Msg, type Ok, type UpFrame, type Welcome } from "./frames.js";

/** Channels of one client machine. `write` takes a frame for the present link. */
export class Downstream {
  online = false;
  private readonly _readers = new Map<string, Reader>();
  private readonly _asked = new Map<number, Reader>();
  private readonly _byR = new Map<number, Reader>();
  private _inHello: string[] = [];
  private _r = 0;
  private _credit = 512;
  private _creditBytes = 256 << 10;
  private readonly _untold = new Set<string>();

  constructor(
    private readonly _retry: Retry,
    private readonly _effects: Effect[],
    private readonly _write: (frame: UpFrame) => void,
  ) {}

  /** Whether an answer to a subscription is due. */
  get waiting(): boolean {
    return this._asked.size > 0;
  }

  /** Whether something was handled that the server has not heard of. */
  get untold(): boolean {
    return this._untold.size > 0;
  }

  // wanting

  /** Follow a channel from now on, replacing an earlier reader of it. */
  subscribe(reader: Reader): void {
    const earlier = this._readers.get(reader.channel);
    if (earlier) this._retire(earlier);
    this._readers.set(reader.channel, reader);
    if (this.online) this._ask(reader);
  }

  /** Follow it no longer; whether it was followed. */
  unsubscribe(channel: string): boolean {
    const reader = this._readers.get(channel);
    if (!reader) return false;
    this._readers.delete(channel);
    this._retire(reader);
    if (this.online) this._unsub(channel);
    return true;
  }

  // links

  /** What hello asks to restore; request numbers begin anew with the link. An inbox belongs to its session. */
  cursors(resuming: boolean): Cursor[] {
    this.lost();
    this._r = 0;
    const wanted = [...this._readers.values()].filter((r) => resuming || r.channel !== INBOX);
    this._inHello = wanted.map((r) => r.channel);
    return wanted.map((r) => this._request(r));
  }

  /** The link is up; the inbox begins, goes on or begins anew. Then say what changed since hello. */
  welcomed(welcome: Welcome): void {
    this.online = true;
    this._credit = welcome.limits.credit;
    this._creditBytes = welcome.limits.credit_bytes;
    this._beginInbox(welcome);
    for (const channel of this._inHello.sort()) {
      if (!this._readers.has(channel)) this._unsub(channel);
    }
    for (const reader of this._readers.values()) {
      if (reader.follow === Follow.OFFLINE) this._ask(reader);
    }
  }

  /** The link is gone. */
  lost(): void {
    this.online = false;
    for (const reader of this._readers.values()) {
      reader.follow = Follow.OFFLINE;
      reader.r = 0;
    }
    this._asked.clear();
    this._byR.clear();
    this._inHello = [];
    this._untold.clear();
  }

  // frames

  /** A subscription was granted; whether it is one we asked for. Throws BadFrame. */
  ok(r: number, answer: Ok): boolean {
    const reader = this._asked.get(r);
    if (!reader) return false;
    this._asked.delete(r);
    const { epoch, offset } = answer;
    if (epoch === null || offset === null) throw new BadFrame("ok: a subscription needs epoch and offset");
    this._grant(reader, epoch, offset);
    const subscribed: Effect = { do: "subscribed", channel: reader.channel, epoch, offset };
    if ("state" in answer) subscribed.state = answer.state;
    this._effects.push(subscribed);
    return true;
  }

  /** A subscription was refused or withdrawn: it is over. Whether it is one of ours. */
  no(r: number, code: string, message: string): boolean {
    const reader = this._byR.get(r);
    this._byR.delete(r);
    this._asked.delete(r);
    if (!reader) return false;
    const { channel } = reader;
    this._readers.delete(channel);
    this._untold.delete(channel);
    this._effects.push({ do: "unsubscribed", channel, code, message });
    return true;
  }

  /** Take an entry of a frame of `length`; false when the inbox has a hole: only another link closes it. */
  msg(frame: Msg, length: number): boolean {
    const [, channel, offset, event] = frame;
    const reader = this._readers.get(channel);
    if (!reader || reader.isSwamped(this._credit)) return true;
    // Of the frame only the data counts here, and at most: a server that is right must never seem wrong.
    const take = reader.take(frame, Math.max(1, length - channel.length - event.length - 20));
    if (take === Take.HAND_OVER) {
      if (!this._retry.proven) this._retry.progressed();
      this._effects.push({ do: "arrived", item: reader.entry(frame), size: length });
      this._checkCredit(reader);
    } else if (take === Take.DROP) {
      if (reader.followed && reader.saidAgain(offset)) this._untold.add(channel);
    } else if (channel === INBOX) {
      return false;
    } else {
      this._ask(reader);
    }
    return true;
  }

  /** Take a gap. Throws BadFrame. */
  gap(channel: string, gap: GapBody): void {
    const reader = this._readers.get(channel);
    if (!reader || !reader.followed || reader.isSwamped(this._credit)) return;
    const lost = reader.gap(gap);
    if (lost) {
      this._arrived(lost);
      this._checkCredit(reader);
    }
  }

  /** Hand over a volatile message of a channel we follow. */
  now(channel: string, event: string, data: Json): void {
    if (this._readers.has(channel)) this._effects.push({ do: "volatile", channel, event, data });
  }

  // handling

  /** The application is done with everything up to an item; false when the inbox now has a hole, as in `msg`. */
  handled(channel: string, epoch: string, offset: number, size: number): boolean {
    const reader = this._readers.get(channel);
    if (!reader) return true;
    this._move(reader, epoch, offset, size);
    if (reader.hasRoomAgain(this._credit) && this.online) {
      if (channel === INBOX) return false;
      this._ask(reader);
    }
    return true;
  }

  /** Say how far every channel was handled. */
  tellAll(): void {
    for (const channel of [...this._untold].sort()) this._tell(this._readers.get(channel)!);
  }

  // the inside

  private _move(reader: Reader, epoch: string, offset: number, size: number): void {
    if (!reader.handle(epoch, offset, size)) return;
    this._moved(reader, epoch, offset);
    if (!reader.followed) return;
    if (reader.sinceTold * 4 >= this._credit || reader.sinceToldBytes * 4 >= this._creditBytes) {
      this._tell(reader);
    } else if (reader.untold) {
      this._untold.add(reader.channel);
    }
  }

  private _beginInbox({ inbox: { epoch, offset }, resumed }: Welcome): void {
    let inbox = this._readers.get(INBOX);
    if (!inbox) this._readers.set(INBOX, (inbox = new Reader(INBOX)));
    if (resumed || inbox.handled === null) {
      this._grant(inbox, epoch, offset);
      return;
    }
    const lost = inbox.restart(epoch, 0, offset, "epoch");
    inbox.granted(epoch, offset);
    this._moved(inbox, inbox.handledEpoch!, inbox.handled);
    this._arrived(lost);
  }

  private _grant(reader: Reader, epoch: string, offset: number): void {
    if (reader.granted(epoch, offset)) this._moved(reader, epoch, reader.handled!);
    if (reader.untold) this._untold.add(reader.channel);
  }

  private _moved({ channel }: Reader, epoch: string, offset: number): void {
    this._effects.push({ do: "move_cursor", channel, epoch, offset });
  }

  private _arrived(item: Gap): void {
    this._effects.push({ do: "arrived", item, size: 64 });
  }

  private _checkCredit(reader: Reader): void {
    if (reader.overrun(this._credit, this._creditBytes)) throw new BadFrame("more entries than the credit allows");
  }

  private _tell(reader: Reader): void {
    this._untold.delete(reader.channel);
    const offset = reader.tell();
    if (offset !== null) this._write(["at", reader.channel, offset]);
  }

  /** What the server still says about this reader's request no longer matters. */
  private _retire(reader: Reader): void {
    this._asked.delete(reader.r);
    this._byR.delete(reader.r);
    this._untold.delete(reader.channel);
  }

  private _request(reader: Reader): Cursor {
    if (reader.channel === INBOX) return reader.ask(0);
    this._retire(reader);
    const r = ++this._r;
    this._asked.set(r, reader);
    this._byR.set(r, reader);
    return reader.ask(r);
  }

  private _ask(reader: Reader): void {
    this._write(["sub", ...this._request(reader)]);
  }

  private _unsub(channel: string): void {
    this._write(["unsub", ++this._r, channel]);
  }
}
