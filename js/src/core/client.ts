/**
 * The client machine: one session over many links (PROTOCOL 2, 5, 6, 7).
 *
 * Call an input, then carry out what `drain()` returns, in order, then arrange to call `tick` at `nextDeadline()`.
 * Nothing here waits or draws ids, and time is what `clock` says. Which link there is and when to dial is the business of
 * `Road`; messages, of `Outbox`; channels, of `Downstream`.
 *
 * - input of an older attempt changes nothing (vectors: road.json);
 * - close is immediate and final in every state: nothing is dialled or sent after it (test: close is final);
 * - nothing numbered precedes welcome, nor, where the outbox is durable, the session's being stored
 *   (vectors: handshake.json, durable.json);
 * - one definite outcome for each message (vectors: upstream.json);
 * - a session that was lost turns what was written into `unknown`, unless repeating is harmless, and carries the rest
 *   over (vectors: handshake.json);
 * - nothing above the server's limit is ever written (vectors: upstream.json);
 * - session and key are known together or not at all (vectors: handshake.json);
 * - a link that breaks the protocol is left, and costs no message (test: a broken server costs no message);
 * - resting loses nothing: the session goes on when somebody connects again (test: resting loses nothing).
 */

import type { Random } from "./back-off.js";
import { makeClock } from "./clock.js";
import { classify, Code, REFUSALS } from "./codes.js";
import { makeReader } from "./cursors.js";
import { Due } from "./deadlines.js";
import { makeDownstream } from "./downstream.js";
import { Do, type Effect } from "./effects.js";
import { BadFrame, ConnectionClosed } from "./errors.js";
import { type ClientCodec, type DownFrame, INBOX, type Json, type Place, type Refused, type UpFrame, type Welcome } from "./frames.js";
import { makeLiveness } from "./liveness.js";
import { type Kind, makeOutbox, sizeOf, SPAN } from "./outbox.js";
import type { ClientPolicy } from "./policy.js";
import { makeRoad } from "./road.js";
import type { Saved } from "./saved.js";
import { bytesOf } from "./text.js";

const AT_DELAY = 0.1;
const FLOOR_DELAY = 1;
const NUMBER_BLOCK = 1024;

/** What a message may bring beside its event and data. `expiresIn`: seconds, unless it was written to a link before. */
export interface SendOptions {
  readonly target?: string | undefined;
  readonly expiresIn?: number | undefined;
  readonly idempotent?: boolean | undefined;
}

/** One client. */
export type ClientMachine = ReturnType<typeof clientMachine>;

/** Make one. `instance` is random for each process; `saved` is null for an outbox in memory. */
export function clientMachine(
  policy: ClientPolicy,
  codec: ClientCodec,
  random: Random,
  instance: string,
  clock: () => number,
  saved: Saved | null = null,
  about: Readonly<Record<string, Json>> = {},
) {
  const effects: Effect[] = [];
  const { now, outside } = makeClock(clock);
  const places = new Map<string, Place>();
  let session: string | null = null;
  let key: string | null = null;
  let stored = !saved; // whether numbered messages may be written in this session
  let largest = 1 << 20;
  let life = makeLiveness({ interval: 1, timeout: 1 }, 0); // no link has this one
  let proof = true; // whether what is being taken in shows that somebody is there

  const transmit = (text: string): void => void effects.push([Do.TRANSMIT, road.link(), text]);
  const write = (frame: UpFrame): void => transmit(codec.encode(frame));
  const road = makeRoad(policy, random, effects, now, () => down.lost());
  const { due, up, abandon, retry } = road;
  const down = makeDownstream(retry, effects, write);
  const outbox = makeOutbox(policy.outbox, !!saved, (message, outcome, reason, body) => {
    effects.push([Do.SETTLE, message, outcome, body, reason]);
    if (saved) effects.push([Do.FORGET, message.n]);
  });

  if (saved) {
    const { messages = [], nextNumber = 1, cursors = {} } = saved;
    outbox.restore(
      messages.map(({ n, kind, event, data, target = "", idempotent = false }) => {
        const size = sizeOf(event, target, data);
        return { n, kind, event, data, target, idempotent, size, expiresAt: Infinity, written: true };
      }),
      nextNumber,
    );
    for (const channel of Object.keys(cursors)) {
      if (channel === INBOX) down.subscribe(makeReader(INBOX, ...cursors[channel]!));
      else places.set(channel, cursors[channel]!);
    }
    if (saved.session) {
      session = saved.session;
      key = saved.key!;
      stored = true;
    }
  }
  let reserved = outbox.nextNumber;

  // the way up

  /** Let the server forget the answers we have: where that is worth a frame, or where all is quiet. */
  const tellFloor = (idle: boolean): void => {
    if (outbox.floorIsNews(idle)) write(["settled", (outbox.told = outbox.floor())]);
  };

  /** Write what the window lets through. */
  const pump = (): void => {
    if (!up()) return;
    if (stored) {
      outbox.expire(now());
      tellFloor(false);
      for (let message; (message = outbox.nextToWrite()); ) {
        const { n, kind, event, target } = message;
        const data = JSON.parse(message.data);
        const text = codec.encode(kind === "pub" ? [kind, n, target, event, data] : [kind, n, event, data]);
        if (text.length * 3 > largest && bytesOf(text) > largest) {
          outbox.settle(n, "rejected", { code: "too_big", message: `above the server's limit of ${largest} bytes` });
          tellFloor(false);
        } else {
          transmit(text);
        }
      }
    }
    awaitAnswers();
  };

  /** Tell the heartbeat whether the server owes us something. */
  const awaitAnswers = (): void => life.awaiting(outbox.inFlight > 0 || down.waiting(), now());

  const progress = (): void => {
    if (proof) life.progress(now());
  };

  /** Messages may be settled by this. */
  const settle = (how: () => void): void => {
    const before = outbox.messages.size;
    how();
    if (outbox.messages.size < before) {
      progress();
      if (proof) retry.progressed();
      due(Due.FLOOR, FLOOR_DELAY);
    }
    pump();
  };

  // the session

  const remember = (next: string | null, nextKey: string | null): void => {
    effects.push([Do.REMEMBER, (session = next), (key = nextKey)]);
  };

  /** The session is over: everything gets its outcome, and nothing is left to come back to. */
  const endSession = (reason: string): void => {
    outbox.giveUp(reason);
    remember(null, null);
  };

  const welcomed = (welcome: Welcome): void => {
    const { resumed, received, limits } = welcome;
    if (resumed ? welcome.session !== session : welcome.key === null || received) throw new BadFrame("welcome: session");
    if (received > outbox.highestWritten) {
      // The session has numbers we never wrote: this outbox was set back, or copied (PROTOCOL 2.4).
      const reason = "an older outbox";
      outbox.forgetSession(received, reason);
      remember(null, null);
      return abandon(Code.ABANDONED, reason);
    }
    const lost = session !== null && !resumed;
    road.welcomed(resumed ? "resumed" : "new session");
    life = makeLiveness(welcome.heartbeat, now());
    if (lost) outbox.forgetSession(0, "session lost");
    down.welcomed(welcome);
    if (!resumed) {
      remember(welcome.session, welcome.key);
      stored = !saved;
    }
    largest = limits.message;
    outbox.welcome(received, Math.min(limits.window, SPAN), limits.window_bytes);
    planAt();
    pump();
  };

  const refused = ({ code, message, retry: again }: Refused): void => {
    const reason = `refused: ${code} ${message}`;
    if (road.state() !== "greeting") {
      road.go(road.state(), reason);
    } else if (again === false) {
      const known = REFUSALS.indexOf(code);
      abandon(known < 0 ? Code.LOGIN_REFUSED : Code.BAD_FRAME + known, reason, "fatal");
    } else {
      road.waitAtLeast(again);
      abandon(Code.REFUSED_FOR_NOW, reason);
    }
  };

  // the way down

  /** Have it told soon how far channels were handled. */
  const planAt = (): void => {
    if (down.untold().length) due(Due.ACK, AT_DELAY);
  };

  /** `whole` is false where the inbox has a hole, which only another link closes. */
  const planUnlessHole = (whole: boolean): void => {
    if (whole) planAt();
    else abandon(Code.ABANDONED, "a hole in the inbox");
  };

  const answered = (ours: boolean): void => {
    if (ours) progress();
    planAt();
    awaitAnswers();
  };

  const take = (frame: DownFrame, length: number): void => {
    const greeting = road.state() === "greeting";
    if (greeting && !/welcome|refused|p.ng/.test(frame[0])) throw new BadFrame("no welcome");
    if (proof) life.heard(now());
    switch (frame[0]) {
      case "msg":
        return planUnlessHole(down.msg(frame, length));
      case "reply":
        return settle(() => outbox.settle(frame[1], "handled", frame[2]));
      case "fail":
        return settle(() => outbox.settle(frame[1], "rejected", frame[2]));
      case "ack":
        return settle(() => outbox.ack(frame[1]));
      case "ping":
        return write(["pong", frame[1]]);
      case "pong":
        return life.pong(frame[1], now());
      case "gap":
        return down.gap(frame[1], frame[2]);
      case "now":
        return down.now(frame[1], frame[2], frame[3]);
      case "ok":
        return answered(down.ok(frame[1], frame[2]));
      case "no":
        return answered(down.no(frame[1], frame[2].code, frame[2].message));
      case "expiring":
        effects.push([Do.RENEW, frame[1].in]);
        return;
      case "refused":
        return refused(frame[1]);
      case "move":
        return road.move(frame[1]);
      case "welcome":
        if (!greeting) throw new BadFrame("welcome: again");
        welcomed(frame[1]);
    }
  };

  const checkOpen = (): void => {
    if (road.state() === "closed") throw new ConnectionClosed();
  };

  const probe = (): void => write(["ping", life.probe(now())]);

  return {
    // what the shell reads

    /** Where the connection stands. */
    state: road.state,

    /** The session to come back to. */
    session: () => session,

    /** What waits to be settled. */
    outbox,

    /** Take the effects that have come up, in order. Carry them out before the next input. */
    drain: () => effects.splice(0),

    /** When to call `tick`; Infinity: not at all. */
    nextDeadline(): number {
      let at = road.deadlines.next();
      if (up()) at = Math.min(at, life.nextDeadline());
      if (road.state() !== "closed") at = Math.min(at, outbox.nextExpiry());
      return outside(at);
    },

    // inputs from the person

    /** Begin. */
    connect(): void {
      if (road.state() === "idle") road.dial("connect");
    },

    /**
     * Queue a message and return its number. `data` is JSON text, `target` the channel of a publication.
     *
     * The caller has checked names. Throws OutboxFull (try again when there is room), ConnectionClosed, RangeError.
     */
    send(kind: Kind, event: string, data: string, options: SendOptions = {}): number {
      checkOpen();
      const { target = "", expiresIn = Infinity, idempotent = false } = options;
      const size = sizeOf(event, target, data);
      outbox.makeRoom(size);
      const n = outbox.nextNumber;
      const message = { n, kind, event, data, target, expiresAt: now() + expiresIn, idempotent, size, written: false };
      outbox.add(message);
      if (saved) {
        if (n >= reserved) reserved = n + NUMBER_BLOCK;
        effects.push([Do.PERSIST, message, reserved]);
      }
      pump();
      return n;
    },

    /** Take back message n if it was never written; it then ends as expired. */
    withdraw: (n: number) => outbox.withdraw(n),

    /**
     * Follow a channel behind `offset` (epoch null: whatever epoch there is).
     *
     * Without an offset: from where a process before this one had got, else from the channel's head. A channel that is
     * followed already begins anew: report nothing as handled that came before. Throws ConnectionClosed.
     */
    subscribe(channel: string, place: Place | undefined = places.get(channel), _args?: Json): void {
      checkOpen();
      places.delete(channel);
      down.subscribe(place ? makeReader(channel, ...place) : makeReader(channel));
      awaitAnswers();
    },

    /** Follow it no longer, and forget how far it was handled. */
    unsubscribe(channel: string): void {
      const known = places.delete(channel);
      if ((down.unsubscribe(channel) || known) && saved) effects.push([Do.FORGET_CURSOR, channel]);
      awaitAnswers();
    },

    /** The application is done with everything up to an item that `arrived` brought. `size`: as it came with it. */
    handled(channel: string, epoch: string, offset: number, size: number): void {
      planUnlessHole(down.handled(channel, epoch, offset, size));
    },

    /** The person wants it now: dial at once if waiting, given up or refused; probe if open. */
    retryNow(): void {
      if (/waiting|gave up|refused/.test(road.state())) road.dial("retry now", true);
      else if (up()) probe();
    },

    /** Something happened that may have killed the link or brought the network back: find out at once. */
    hint(reason: string): void {
      if (road.state() === "waiting") road.dial(reason);
      else if (up()) probe();
    },

    /** Renew the credentials of the present link (the answer to `renew`). */
    login(payload: Json): void {
      if (up()) write(["login", payload]);
    },

    /** Nobody wants the link now: leave it and dial no more until `connect`. Session and outbox stay. */
    rest(): void {
      if (!/idle|refused|closed/.test(road.state())) road.close("released", "idle");
    },

    /**
     * Leave at once and for good. A durable outbox keeps what is unsettled, without an outcome; with `end` the session is
     * destroyed as well. Without a link the server keeps it until its time runs out.
     */
    close(end = false): void {
      if (road.state() === "closed") return;
      if (end) {
        if (road.link()) write(["bye", "end"]);
        endSession("ended");
      } else if (!saved) {
        outbox.giveUp("closed");
      }
      road.close("closed", "closed");
    },

    // inputs from the network and the disk

    /** The dial brought an open socket: introduce ourselves. */
    opened(attempt: number, login: Json = null): void {
      if (!road.opened(attempt)) return;
      const floor = (outbox.told = outbox.floor());
      const { heartbeat } = policy;
      const cursors = down.cursors(session !== null);
      write(["hello", { instance, floor, session, key, login, cursors, client: about, heartbeat }]);
    },

    /** The dial failed; `fatal` when no repetition can help. */
    failed: road.failed,

    /** The link ended, by a close frame or without one (1006); a code may be `foreign`: it means what we do not know. */
    lost(attempt: number, code: number, reason: string, foreign = false): void {
      if (attempt !== road.link()) return;
      if (!foreign && (code === Code.REPLACED || code === Code.ENDED)) endSession(reason);
      road.lost(code, reason, foreign ? "retry" : classify(code));
    },

    /** A sign of life that is no frame of ours, such as an RFC 6455 ping; `good`: it shows that the link is good. */
    alive(attempt: number, good = false): void {
      if (attempt !== road.link()) return;
      life.heard(now());
      if (good) retry.progressed();
    },

    /** One text message of the link. Without `shows` nothing was heard: a dialect concludes it from what it said. */
    received(attempt: number, text: unknown, shows = true): void {
      if (attempt !== road.link()) return;
      proof = shows;
      try {
        take(codec.decode(text as string), (text as string).length);
      } catch (error) {
        if (!(error instanceof BadFrame)) throw error;
        abandon(Code.BAD_FRAME, `bad frame: ${error.message}`);
      }
    },

    /** Messages up to n are on disk and may be written. */
    persisted(n: number): void {
      outbox.persisted = Math.max(outbox.persisted, n);
      pump();
    },

    /** What `forget` asked for is done: the server may forget message n as well. */
    forgotten(n: number): void {
      outbox.forgotten(n);
      if (up()) due(Due.FLOOR, FLOOR_DELAY);
      pump();
    },

    /** What `remember` asked for is on disk: messages may be written in this session. */
    remembered(which: string | null): void {
      if (which !== null && which === session) {
        stored = true;
        pump();
      }
    },

    /** Do what is due. Calling it early or twice does no harm. */
    tick(): void {
      if (road.state() === "closed") return;
      outbox.expire(now());
      for (const name of road.deadlines.popDue(now())) {
        if (name === Due.ACK) down.tellAll();
        else if (name === Due.FLOOR) tellFloor(true);
        else road.fire(name);
      }
      if (up()) {
        const t = life.tick(now());
        if (t) write(["ping", t]);
        else if (t === 0) abandon(Code.PEER_SILENT, "nothing was heard");
      }
    },
  };
}
