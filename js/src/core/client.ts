/**
 * The client machine: one session over many links (PROTOCOL 2, 5, 6, 7).
 *
 * Call an input (each takes `now`, seconds of a clock), then carry out what `drain()` returns, in order, then arrange to
 * call `tick` at `nextDeadline()`. Nothing here waits, draws ids or looks at a clock. Which link there is and when to
 * dial is the business of `Road`; messages, of `Upstream`; channels, of `Downstream`.
 *
 * - input of an older attempt changes nothing (vectors: road.json);
 * - close is immediate and final in every state: nothing is dialled or sent after it (test: close is final);
 * - nothing numbered precedes welcome, nor, where the outbox is durable, the session's being stored
 *   (vectors: handshake.json, durable.json);
 * - a link that breaks the protocol is left, and costs no message (test: a broken server costs no message);
 * - resting loses nothing: the session goes on when somebody connects again (test: resting loses nothing).
 */

import type { Random } from "./back-off.js";
import { Clock } from "./clock.js";
import { classify, Code, REFUSALS } from "./codes.js";
import { Reader } from "./cursors.js";
import { Due } from "./deadlines.js";
import { Downstream } from "./downstream.js";
import type { Effect } from "./effects.js";
import { BadFrame, ConnectionClosed } from "./errors.js";
import { type ClientCodec, type DownFrame, INBOX, type Json, type Place, type Refused, type UpFrame, type Welcome } from "./frames.js";
import { Identity } from "./identity.js";
import { Liveness } from "./liveness.js";
import { checkChannel, checkName } from "./names.js";
import { type Kind, type Message, Outbox, sizeOf } from "./outbox.js";
import type { ClientPolicy } from "./policy.js";
import { Road } from "./road.js";
import type { Saved, SavedMessage } from "./saved.js";
import type { State } from "./states.js";
import { Upstream } from "./upstream.js";

const AT_DELAY = 0.1;
const FLOOR_DELAY = 1;

/** What a message may bring beside its event and data. `expiresIn`: seconds, unless it was written to a link before. */
export interface SendOptions {
  readonly target?: string | undefined;
  readonly expiresIn?: number | undefined;
  readonly idempotent?: boolean | undefined;
}

/** One client. `instance` is random for each process; `saved` is null for an outbox in memory. */
export class ClientMachine {
  private _effects: Effect[] = [];
  private readonly _me: Identity;
  private readonly _clock = new Clock();
  private readonly _road: Road;
  private readonly _down: Downstream;
  private readonly _up: Upstream;
  private _life = new Liveness({ interval: 1, timeout: 1 }, 0); // no link has this one
  private readonly _places = new Map<string, Place>();
  private _proof = true;

  constructor(
    private readonly _policy: ClientPolicy,
    private readonly _codec: ClientCodec,
    random: Random,
    instance: string,
    saved: Saved | null = null,
    about: Readonly<Record<string, Json>> = {},
  ) {
    const effects = this._effects;
    const write = (frame: UpFrame): void => this._write(frame);
    this._me = new Identity(instance, about, saved, effects);
    this._road = new Road(_policy, random, effects, this._clock, () => this._down.lost());
    const { retry } = this._road;
    const outbox = new Outbox(_policy.outbox, saved !== null, 1);
    this._down = new Downstream(retry, effects, write);
    if (saved) this._restore(saved, outbox);
    this._up = new Upstream(outbox, effects, write, (frame) => _codec.encode(frame));
  }

  private _restore(saved: Saved, outbox: Outbox): void {
    const { messages = [], nextNumber = 1, cursors = {} } = saved;
    outbox.restore(messages.map(messageOf), nextNumber);
    for (const channel of Object.keys(cursors)) this._places.set(channel, cursors[channel]!);
    const inbox = this._places.get(INBOX);
    if (inbox) {
      this._places.delete(INBOX);
      this._down.subscribe(new Reader(INBOX, ...inbox));
    }
  }

  // what the shell reads

  /** Where the connection stands. */
  get state(): State {
    return this._road.state;
  }

  /** The session to come back to. */
  get session(): string | null {
    return this._me.session;
  }

  /** What waits to be settled. */
  get outbox(): Outbox {
    return this._up.outbox;
  }

  /** Take the effects that have come up, in order. Carry them out before the next input. */
  drain(): Effect[] {
    return this._effects.splice(0);
  }

  /** When to call `tick`; null: not at all. */
  nextDeadline(): number | null {
    let at = this._road.deadlines.next();
    if (this._road.up) at = Math.min(at, this._life.nextDeadline());
    if (this.state !== "closed") at = Math.min(at, this.outbox.nextExpiry());
    return at === Infinity ? null : this._clock.outside(at);
  }

  // inputs from the person

  /** Begin. */
  connect(now: number): void {
    this._clock.tell(now);
    if (this.state === "idle") this._road.dial("connect");
  }

  /**
   * Queue a message and return its number. `data` is JSON text, `target` the channel of a publication.
   *
   * Throws OutboxFull (try again after `room`), ConnectionClosed, TypeError, RangeError.
   */
  send(kind: Kind, event: string, data: string, now: number, options: SendOptions = {}): number {
    now = this._clock.tell(now);
    if (this.state === "closed") throw new ConnectionClosed("this connection was closed");
    const { target = "", expiresIn = Infinity, idempotent = false } = options;
    checkName(event, "event");
    if (kind === "pub") checkName(target, "channel");
    if (!(expiresIn >= 0)) throw new RangeError("expires must be seconds from now");
    const size = sizeOf(event, target, data);
    this._up.makeRoom(size);
    const n = this.outbox.nextNumber;
    const expiresAt = now + expiresIn;
    this._up.send({ n, kind, event, data, target, expiresAt, idempotent, size, written: false });
    this._pump();
    return n;
  }

  /** Take back message n if it was never written; it then ends as expired. */
  withdraw(n: number, now: number): boolean {
    this._clock.tell(now);
    return this._up.withdraw(n);
  }

  /**
   * Follow a channel behind `offset` (epoch null: whatever epoch there is).
   *
   * Without an offset: from where a process before this one had got, else from the channel's head. A channel that is
   * followed already begins anew: report nothing as handled that came before. Throws ConnectionClosed, TypeError,
   * RangeError.
   */
  subscribe(channel: string, now: number, place?: Place): void {
    this._clock.tell(now);
    checkChannel(channel, "channel");
    if (this.state === "closed") throw new ConnectionClosed("this connection was closed");
    const [epoch, offset] = place || this._places.get(channel) || [null, null];
    this._places.delete(channel);
    this._down.subscribe(new Reader(channel, epoch, offset));
    this._await();
  }

  /** Follow it no longer, and forget how far it was handled. */
  unsubscribe(channel: string, now: number): void {
    this._clock.tell(now);
    const known = this._places.delete(checkChannel(channel, "channel"));
    if ((this._down.unsubscribe(channel) || known) && this.outbox.durable) {
      this._effects.push({ do: "forget_cursor", channel });
    }
    this._await();
  }

  /** The application is done with everything up to an item that `arrived` brought. `size`: as it came with it. */
  handled(channel: string, epoch: string, offset: number, size: number, now: number): void {
    now = this._clock.tell(now);
    if (!this._down.handled(channel, epoch, offset, size)) this._leaveHole();
    this._planAt(now);
  }

  /** The person wants it now: dial at once if waiting, given up or refused; probe if open. */
  retryNow(now: number): void {
    now = this._clock.tell(now);
    if (["waiting", "gave up", "refused"].includes(this.state)) this._road.dial("retry now", true);
    else if (this._road.up) this._probe(now);
  }

  /** Something happened that may have killed the link or brought the network back: find out at once. */
  hint(now: number, reason: string): void {
    now = this._clock.tell(now);
    if (this.state === "waiting") this._road.dial(reason);
    else if (this._road.up) this._probe(now);
  }

  /** Renew the credentials of the present link (the answer to `renew`). */
  login(payload: Json, now: number): void {
    this._clock.tell(now);
    if (this._road.up) this._write(["login", payload]);
  }

  /** Nobody wants the link now: leave it and dial no more until `connect`. Session and outbox stay. */
  rest(now: number): void {
    this._clock.tell(now);
    if (!["idle", "refused", "closed"].includes(this.state)) this._road.close("nobody holds it", "idle");
  }

  /** Detach: leave at once and for good. A durable outbox keeps what is unsettled, without an outcome. */
  close(now: number): void {
    this._clock.tell(now);
    if (this.state === "closed") return;
    if (!this.outbox.durable) this._up.giveUp("closed");
    this._road.close("closed");
    this._up.wake();
  }

  /** Destroy the session, then close. Without a link the server keeps it until its time runs out. */
  end(now: number): void {
    this._clock.tell(now);
    if (this.state === "closed") return;
    if (this._road.linked) this._write(["bye", "end"]);
    this._endSession("ended");
    this._road.close("ended");
    this._up.wake();
  }

  // inputs from the network and the disk

  /** The dial brought an open socket: introduce ourselves. */
  opened(attempt: number, now: number, login: Json = null): void {
    this._clock.tell(now);
    if (!this._road.opened(attempt)) return;
    const { floor } = this.outbox;
    this.outbox.toldFloor(floor);
    const cursors = this._down.cursors(this.session !== null);
    this._write(["hello", this._me.hello(floor, login, cursors, this._policy.heartbeat)]);
  }

  /** The dial failed; `fatal` when no repetition can help. */
  failed(attempt: number, now: number, reason: string, fatal = false): void {
    this._clock.tell(now);
    this._road.failed(attempt, reason, fatal);
  }

  /** The link ended, by a close frame or without one (1006). */
  lost(attempt: number, code: number, reason: string, now: number): void {
    this._clock.tell(now);
    if (!this._isLink(attempt)) return;
    if (code === Code.REPLACED || code === Code.ENDED) this._endSession(reason || "the session ended");
    this._road.lost(code, reason, classify(code));
  }

  /** A sign of life that is no frame of ours, such as an RFC 6455 ping; `good`: it shows that the link is good. */
  alive(attempt: number, now: number, good = false): void {
    now = this._clock.tell(now);
    if (!this._isLink(attempt)) return;
    this._life.heard(now);
    if (good) this._road.retry.progressed();
  }

  /** One text message of the link. Without `proof` nothing was heard: a dialect concludes it from what it said. */
  received(attempt: number, text: string, now: number, proof = true): void {
    now = this._clock.tell(now);
    if (!this._isLink(attempt)) return;
    this._proof = proof;
    try {
      const frame = this._codec.decode(text);
      if (this.state === "greeting") {
        this._greeted(frame, now);
      } else {
        if (proof) this._life.heard(now);
        this._take(frame, text.length, now);
      }
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      this._road.abandon(Code.BAD_FRAME, `the server broke the protocol: ${error.message}`);
    }
  }

  /** Messages up to n are on disk and may be written. */
  persisted(n: number, now: number): void {
    this._clock.tell(now);
    this.outbox.persisted(n);
    this._pump();
  }

  /** What `forget` asked for is done: the server may forget message n as well. */
  forgotten(n: number, now: number): void {
    now = this._clock.tell(now);
    this.outbox.forgotten(n);
    if (this._road.up) this._road.deadlines.setDefault(Due.FLOOR, now + FLOOR_DELAY);
    this._pump();
  }

  /** What `remember` asked for is on disk: messages may be written in this session. */
  remembered(session: string | null, now: number): void {
    this._clock.tell(now);
    if (this._me.remembered(session)) this._pump();
  }

  /** Do what is due. Calling it early or twice does no harm. */
  tick(now: number): void {
    now = this._clock.tell(now);
    if (this.state === "closed") return;
    this._up.expire(now);
    for (const due of this._road.deadlines.popDue(now)) {
      if (due === Due.ACK) this._down.tellAll();
      else if (due === Due.FLOOR) this._up.tellFloor(true);
      else this._road.fire(due);
    }
    if (this._road.up && this._life.nextDeadline() <= now) {
      const act = this._life.tick(now);
      if (act === "ping") this._write(["ping", this._life.t]);
      else if (act === "dead") this._road.abandon(Code.PEER_SILENT, "nothing was heard from the server");
    }
  }

  // the handshake

  private _greeted(frame: DownFrame, now: number): void {
    if (frame[0] === "welcome") this._welcomed(frame[1], now);
    else if (frame[0] === "refused") this._refused(frame[1]);
    else if (frame[0] === "ping") this._write(["pong", frame[1]]);
    else if (frame[0] !== "pong") throw new BadFrame("expected welcome or refused");
  }

  private _welcomed(welcome: Welcome, now: number): void {
    const known = this.session !== null;
    this._me.check(welcome);
    if (welcome.received > this.outbox.highestWritten) {
      this._outgrown(welcome.received);
      return;
    }
    const { resumed } = welcome;
    this._road.welcomed(resumed ? "resumed" : known ? "the server lost the session" : "new session");
    this._life = new Liveness(welcome.heartbeat, now);
    if (known && !resumed) this._up.sessionLost("the server lost this session");
    this._down.welcomed(welcome);
    if (!resumed) this._me.adopt(welcome);
    this._up.welcomed(welcome);
    this._planAt(now);
    this._pump();
  }

  /** The session has numbers we never wrote: this outbox was set back, or copied (PROTOCOL 2.4). */
  private _outgrown(received: number): void {
    const reason = "the outbox is older than its session";
    this._up.sessionLost(reason, received);
    this._me.forget();
    this._road.abandon(Code.ABANDONED, reason);
  }

  private _refused({ code, message, retry }: Refused): void {
    const reason = `refused: ${code}${message ? `: ${message}` : ""}`;
    if (this.state !== "greeting") {
      this._road.tell(`renewal ${reason}`);
    } else if (retry === false) {
      const known = REFUSALS.indexOf(code);
      this._road.abandon(known < 0 ? Code.LOGIN_REFUSED : Code.BAD_FRAME + known, reason, "fatal");
    } else {
      this._road.waitAtLeast(retry);
      this._road.abandon(Code.REFUSED_FOR_NOW, reason);
    }
  }

  /** The session is over: everything gets its outcome, and nothing is left to come back to. */
  private _endSession(reason: string): void {
    this._up.giveUp(reason);
    this._me.forget();
  }

  // frames of an open link

  private _take(frame: DownFrame, length: number, now: number): void {
    switch (frame[0]) {
      case "msg":
        if (!this._down.msg(frame, length)) this._leaveHole();
        else this._planAt(now);
        break;
      case "reply":
        return this._settled(this._up.settle(frame[1], "handled", frame[2]), now);
      case "fail":
        return this._settled(this._up.settle(frame[1], "rejected", frame[2]), now);
      case "ack":
        return this._settled(this._up.ack(frame[1]), now);
      case "ping":
        return this._write(["pong", frame[1]]);
      case "pong":
        return this._life.pong(frame[1], now);
      case "gap":
        return this._down.gap(frame[1], frame[2]);
      case "now":
        return this._down.now(frame[1], frame[2], frame[3]);
      case "ok":
        return this._answered(this._down.ok(frame[1], frame[2]), now);
      case "no":
        return this._answered(this._down.no(frame[1], frame[2].code, frame[2].message), now);
      case "expiring":
        this._effects.push({ do: "renew", seconds: frame[1].in });
        break;
      case "refused":
        return this._refused(frame[1]);
      case "move":
        return this._road.move(frame[1]);
      default:
        throw new BadFrame("welcome: a second time");
    }
  }

  private _settled(progress: boolean, now: number): void {
    if (progress) {
      if (this._proof) {
        this._life.progress(now);
        this._road.retry.progressed();
      }
      this._road.deadlines.setDefault(Due.FLOOR, now + FLOOR_DELAY);
    }
    this._pump();
  }

  private _answered(ours: boolean, now: number): void {
    if (ours && this._proof) this._life.progress(now);
    this._planAt(now);
    this._await();
  }

  // small things

  private _isLink(attempt: number): boolean {
    return attempt === this._road.link && this._road.linked;
  }

  private _leaveHole(): void {
    this._road.abandon(Code.ABANDONED, "the inbox has a hole");
  }

  private _pump(): void {
    if (!this._road.up) return;
    if (this._me.stored) {
      this._up.expire(this._clock.now);
      this._up.pump();
    }
    this._await();
  }

  private _await(): void {
    this._life.awaiting(this.outbox.inFlight > 0 || this._down.waiting, this._clock.now);
  }

  private _planAt(now: number): void {
    if (this._down.untold) this._road.deadlines.setDefault(Due.ACK, now + AT_DELAY);
  }

  private _probe(now: number): void {
    this._write(["ping", this._life.probe(now)]);
  }

  private _write(frame: UpFrame): void {
    this._effects.push({ do: "transmit", attempt: this._road.link, payload: this._codec.encode(frame) });
  }
}

function messageOf({ n, kind, event, data, target = "", idempotent = false }: SavedMessage): Message {
  const size = sizeOf(event, target, data);
  return { n, kind, event, data, target, idempotent, size, expiresAt: Infinity, written: true };
}
