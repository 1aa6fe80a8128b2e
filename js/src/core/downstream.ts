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
import { Follow, makeReader, type Reader, Take } from "./cursors.js";
import { Do, type Effect, type Gap } from "./effects.js";
import { BadFrame } from "./errors.js";
import { type Cursor, type GapBody, INBOX, type Json, type Msg, type Ok, type UpFrame, type Welcome } from "./frames.js";

/** Channels of one client machine. `write` takes a frame for the present link. */
export function makeDownstream(retry: Retry, effects: Effect[], write: (frame: UpFrame) => void) {
  const readers = new Map<string, Reader>();
  let online = false;
  let inHello: string[] = [];
  let lastR = 0;
  let credit = 512;
  let creditBytes = 256 << 10;

  const all = (): Reader[] => [...readers.values()];
  const byR = (r: number): Reader | undefined => all().find((reader) => r && reader.r === r);

  const request = (reader: Reader): Cursor => reader.ask(reader.channel === INBOX ? 0 : ++lastR);

  const ask = (reader: Reader): void => write(["sub", ...request(reader)]);

  const unsub = (channel: string): void => write(["unsub", ++lastR, channel]);

  const moved = ({ channel, handledEpoch, handled }: Reader): void => {
    effects.push([Do.MOVE_CURSOR, channel, handledEpoch!, handled!]);
  };

  const grant = (reader: Reader, epoch: string, offset: number): void => {
    if (reader.granted(epoch, offset)) moved(reader);
  };

  const arrived = (item: Gap): void => {
    effects.push([Do.ARRIVED, item, 64]);
  };

  const checkCredit = (reader: Reader): void => {
    if (reader.overrun(credit, creditBytes)) throw new BadFrame("msg: credit");
  };

  const tell = (reader: Reader): void => {
    if (reader.untold()) write(["at", reader.channel, reader.tell()]);
  };

  /** Of whom something was handled that the server has not heard of. */
  const untold = (): Reader[] => all().filter((reader) => reader.follow >= Follow.GRANTED && reader.untold());

  /** The link is gone. */
  const lost = (): void => {
    online = false;
    for (const reader of readers.values()) {
      reader.follow = Follow.OFFLINE;
      reader.r = 0;
    }
  };

  return {
    lost,
    untold,

    /** Whether an answer to a subscription is due. */
    waiting: () => all().some((reader) => reader.follow === Follow.ASKED),

    // wanting

    /** Follow a channel from now on, replacing an earlier reader of it. */
    subscribe(reader: Reader): void {
      readers.set(reader.channel, reader);
      if (online) ask(reader);
    },

    /** Follow it no longer; whether it was followed. */
    unsubscribe(channel: string): boolean {
      const known = readers.delete(channel);
      if (known && online) unsub(channel);
      return known;
    },

    // links

    /** What hello asks to restore; request numbers begin anew with the link. An inbox belongs to its session. */
    cursors(resuming: boolean): Cursor[] {
      lost();
      lastR = 0;
      const wanted = all().filter((reader) => resuming || reader.channel !== INBOX);
      inHello = wanted.map((reader) => reader.channel);
      return wanted.map(request);
    },

    /** The link is up; the inbox begins, goes on or begins anew. Then say what changed since hello. */
    welcomed({ limits, inbox: { epoch, offset }, resumed }: Welcome): void {
      online = true;
      credit = limits.credit;
      creditBytes = limits.credit_bytes;
      let inbox = readers.get(INBOX);
      if (!inbox) readers.set(INBOX, (inbox = makeReader(INBOX)));
      if (resumed || inbox.handled === null) {
        grant(inbox, epoch, offset);
      } else {
        const gap = inbox.restart(epoch, 0, offset, "epoch");
        inbox.granted(epoch, offset);
        moved(inbox);
        arrived(gap);
      }
      for (const channel of inHello.sort()) if (!readers.has(channel)) unsub(channel);
      for (const reader of readers.values()) if (reader.follow === Follow.OFFLINE) ask(reader);
    },

    // frames

    /** A subscription was granted; whether it is one we asked for. Throws BadFrame. */
    ok(r: number, { epoch, offset, state }: Ok): boolean {
      const reader = byR(r);
      if (!reader || reader.follow !== Follow.ASKED) return false;
      if (epoch === null || offset === null) throw new BadFrame("ok: no place");
      grant(reader, epoch, offset);
      effects.push([Do.SUBSCRIBED, reader.channel, epoch, offset, state]);
      return true;
    },

    /** A subscription was refused or withdrawn: it is over. Whether it is one of ours. */
    no(r: number, code: string, message: string): boolean {
      const reader = byR(r);
      if (!reader) return false;
      const { channel } = reader;
      readers.delete(channel);
      effects.push([Do.UNSUBSCRIBED, channel, code, message]);
      return true;
    },

    /** Take an entry of a frame of `length`; false when the inbox has a hole: only another link closes it. */
    msg(frame: Msg, length: number): boolean {
      const [, channel, offset, event] = frame;
      const reader = readers.get(channel);
      if (!reader || reader.isSwamped(credit)) return true;
      // Of the frame only the data counts here, and at most: a server that is right must never seem wrong.
      const took = reader.take(frame, Math.max(1, length - channel.length - event.length - 20));
      if (took === Take.HAND_OVER) {
        if (!retry.proven) retry.progressed();
        effects.push([Do.ARRIVED, reader.entry(frame), length]);
        checkCredit(reader);
      } else if (took === Take.DROP) {
        reader.saidAgain(offset);
      } else if (channel === INBOX) {
        return false;
      } else {
        ask(reader);
      }
      return true;
    },

    /** Take a gap. Throws BadFrame. */
    gap(channel: string, gap: GapBody): void {
      const reader = readers.get(channel);
      if (!reader || reader.follow < Follow.GRANTED || reader.isSwamped(credit)) return;
      const item = reader.gap(gap);
      if (item) {
        arrived(item);
        checkCredit(reader);
      }
    },

    /** Hand over a volatile message of a channel we follow. */
    now(channel: string, event: string, data: Json): void {
      if (readers.has(channel)) effects.push([Do.VOLATILE, channel, event, data]);
    },

    // handling

    /** The application is done with everything up to an item; false when the inbox now has a hole, as in `msg`. */
    handled(channel: string, epoch: string, offset: number, size: number): boolean {
      const reader = readers.get(channel);
      if (!reader) return true;
      if (reader.handle(epoch, offset, size)) {
        moved(reader);
        // Half of the credit must not be used up before the server hears of it.
        if (reader.isDue(credit, creditBytes)) tell(reader);
      }
      if (reader.hasRoomAgain(credit) && online) {
        if (channel === INBOX) return false;
        ask(reader);
      }
      return true;
    },

    /** Say how far every channel was handled. */
    tellAll(): void {
      for (const reader of untold().sort((a, b) => (a.channel < b.channel ? -1 : 1))) tell(reader);
    },
  };
}
