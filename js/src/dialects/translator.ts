/**
 * A heartline.1 server to the client machine, a client of its own kind to a foreign server (protocol/DIALECTS.md §4).
 *
 * It lives over all links of one connection. Give it the machine's frames (`up`), what the socket brings (`heard`), the
 * end of a link (`lost`) and the time (`tick` at `nextDeadline()`); after each do what `drain()` returns, in order.
 *
 * - beats keep the dialect's own time, and nothing of one link is said on the next (vectors: client-*.json);
 * - what was written and not confirmed is said again or never, as its delivery says (vectors: client-*.json);
 * - where a server numbers and keeps nothing, gaps say that something may be missing (vectors: client-*.json);
 * - whatever a server says throws nothing (test: rubbish on the wire).
 */

import { type Cursor, type DownFrame, type Hello, INBOX, type Json, type Place, type UpFrame } from "../core/frames.js";
import type { Kind } from "../core/outbox.js";
import { type Form, type Found, type Heard, match, read, say, textOf, uses, type Vars } from "./forms.js";
import type { Beat, Delivery, Dialect, Request, Send, Subscribe } from "./spec.js";

/** What is to be done: write a text, give the machine a frame, leave the link, or ping as RFC 6455 has it. */
export type Output = string | DownFrame | ["leave", reason: string] | ["ping", payload: string];

/** Of message n: whether it may be said again, and its channel. */
export type Note = (n: number) => [again: boolean, channel: string];

const CREDIT = 4096;
const CREDIT_BYTES = 4 << 20;
const LONGEST_WAIT = 30;
const DAY = 86400;
/** Seconds for which a beat that is out serves for a ping of the machine. */
const FRESH = 1;
/** Seconds after which one is said to confirm messages. */
const CONFIRM_AFTER = 0.1;
const MOST_OUT = 8;
const MOST_EARLY = 1000;

const enum Stage {
  NONE,
  LOGIN,
  OPEN,
}

/** What was said and has to be answered; `mark`: the last message before it; `t`: the machine's ping. */
interface Probe {
  readonly id: number;
  readonly at: number;
  readonly mark: number;
  t: number | string | undefined;
}

/** A message the machine may still ask about. */
interface Message {
  readonly n: number;
  readonly again: boolean;
  readonly part: Send | Request;
  known: Found;
  mark: number;
  due: number;
  outcome?: DownFrame;
}

/** A subscription on this link. `ended`: by the server; it is asked for again at `due`. */
interface Follow {
  readonly r: number;
  readonly channel: string;
  at: Place | undefined;
  readonly known: Found;
  asked: boolean;
  ended: boolean;
  due: number;
  saidAgain: boolean;
  tries: number;
}

/** The numbers of a channel: [offset, size] of what was handed over and not handled. */
interface Log {
  readonly channel: string;
  offset: number;
  readonly pending: [number, number][];
  size: number;
  missed: boolean;
}

/** One connection's translator. `epoch` names this process's count of offsets, and its made-up session. */
export class Translator {
  /** What `$keep` stands for. */
  keep: Readonly<Record<string, Json>> = {};
  /** What channels are subscribed with. */
  readonly args = new Map<string, Json>();
  private readonly _params: Vars;
  private _stage = Stage.NONE;
  private _resumed = false;
  private _floor = 1;
  private _cursors: Cursor[] = [];
  private _id = 0;
  private _outputs: Output[] = [];
  private _early: Heard[] = [];
  // messages
  private readonly _messages = new Map<number, Message>();
  private _highest = 0;
  private _mark = 0;
  private _waiting: Message[] = [];
  private _unproven: Message[] = [];
  // channels
  private readonly _inbox: Log;
  private readonly _logs = new Map<string, Log>();
  private readonly _follows = new Map<string, Follow>();
  private _leaving: Found[] = [];
  // the heartbeat: beats that were said and not answered, each with the last message before it
  private readonly _beat: Beat & { interval: number; timeout: number };
  private readonly _says: boolean;
  /** Whether beats are answered, and whether anything is. */
  private readonly _beats: boolean;
  private readonly _proves: boolean;
  private _out: Probe[] = [];
  private _due = Infinity;
  private _confirm = Infinity;
  private _silent = Infinity;
  private _late = false;

  constructor(
    private readonly _dialect: Dialect,
    params: Vars,
    private readonly _epoch: string,
    private readonly _note: Note,
    private readonly _wall: (now: number) => number,
    canPing = false,
  ) {
    const { beat } = _dialect;
    this._params = Object.assign({}, _dialect.params, params);
    const by = beat ? { interval: 25, timeout: 10 } : { interval: DAY, timeout: DAY };
    this._beat = Object.assign(by, beat);
    this._says = this._beat.by !== "server" && this._beat.say !== undefined;
    this._beats = this._says && this._beat.answer !== undefined;
    this._proves = this._beats || (canPing && !!beat && beat.probe !== false);
    this._inbox = this._log(INBOX);
  }

  drain(): Output[] {
    return this._outputs.splice(0);
  }

  nextDeadline(): number {
    if (!this._stage) return Infinity;
    const dues = [...this._waiting, ...this._follows.values()].map(({ due }) => due);
    return Math.min(this._due, this._confirm, this._silent, ...dues);
  }

  // inputs

  /** One frame of the machine. A hello begins a link. */
  up(frame: UpFrame, now: number): void {
    if (frame[0] === "hello") return this._begin(frame[1], now);
    if (this._stage !== Stage.OPEN) return;
    switch (frame[0]) {
      case "call":
      case "send":
      case "pub":
        return this._take(frame, now);
      case "ping":
        return this._ping(frame[1], now);
      case "at":
        return this._handled(this._log(frame[1]), frame[2]);
      case "settled":
        return this._forgetBelow(frame[1]);
      case "sub":
        return this._follow(frame[1], frame[2], frame[3], now);
      case "unsub":
        this._unfollow(frame[2], now);
    }
  }

  /** One message of the server; whether it was understood. */
  heard(text: string, now: number): boolean {
    if (!this._stage) return true;
    this._listen(now);
    return this._hearOne(read(text), now);
  }

  private _hearOne(heard: Heard, now: number): boolean {
    if (this._heardBeat(heard, now) || this._judged(heard, now)) return true;
    if (this._heardOfFollows(heard, now) || this._answered(true, heard)) return true;
    const understood = [this._answered(false, heard), this._items(heard, now), this._event(heard)];
    return understood.includes(true);
  }

  /** The pong to a ping that was asked for. */
  pong(payload: string, now: number): void {
    if (!this._stage) return;
    this._listen(now);
    if (!this._beats) this._probed(({ id }) => payload === `${id}`, now);
  }

  /** The link is gone, or was left. */
  lost(): void {
    this._stage = Stage.NONE;
    this._due = this._confirm = this._silent = Infinity;
    this._mark = 0;
    this._follows.clear();
    for (const list of [this._out, this._waiting, this._unproven, this._leaving, this._outputs, this._early]) list.length = 0;
  }

  /** Do what is due. */
  tick(now: number): void {
    if (!this._stage) return;
    for (const message of this._waiting.filter(({ due }) => due <= now)) {
      this._waiting.splice(this._waiting.indexOf(message), 1);
      this._unknown(message, "nothing confirmed it in time");
    }
    this._tickFollows(now);
    this._tickBeat(now);
  }

  /** The link is about to be closed on purpose. */
  goodbye(now: number): void {
    if (this._stage === Stage.OPEN) this._say(this._dialect.goodbye, now, { id: ++this._id });
  }

  /** Nobody waits for the reply to message n any more: it is settled, but keeps its place. */
  forget(n: number): void {
    const message = this._messages.get(n);
    if (message) this._unknown(message, "no reply in time");
  }

  /** How messages of a kind are delivered. Throws TypeError where the dialect cannot spell this one. */
  check(kind: Kind, event: string, data: Json, channel: string): Delivery | undefined {
    const part = this._spelt(this._part(kind), kind);
    if (uses(part.say, "channel") === !channel) {
      throw new TypeError(`channel: the dialect '${this._dialect.name}' ${channel ? "has none" : "needs one"} here`);
    }
    this._checkSaid(part.say, { event, data, channel });
    return part.delivery;
  }

  /** What a channel is subscribed with. Throws TypeError where the dialect cannot spell it. */
  follow(channel: string, args: Json): void {
    this._checkSaid(this._spelt(this._dialect.subscribe, "sub").say, { channel, args });
    this.args.set(channel, args);
  }

  private _spelt<T>(part: T | null | undefined, what: string): T {
    if (!part) throw new TypeError(`the dialect '${this._dialect.name}' spells no ${what}`);
    return part;
  }

  private _checkSaid(form: Form, given: Found): void {
    if (say(form, this._vars(0, Object.assign({ id: 1, sub: 1 }, given))) === undefined) throw new TypeError(NOTHING);
  }

  // the login

  private _begin({ session, floor, cursors = [], login: payload }: Hello, now: number): void {
    this.lost();
    this._resumed = session === this._epoch;
    if (!this._resumed) {
      this._messages.clear();
      this._highest = 0;
    }
    this._floor = floor;
    this._forgetBelow(floor);
    this._cursors = cursors;
    this._stage = Stage.LOGIN;
    this._listen(now);
    if (this._says) this._due = this._beat.first ? now : now + this._beat.interval;
    const { login } = this._dialect;
    let asked = false;
    try {
      asked =
        !!login &&
        (!isNothing(payload) || !uses(login.say, "login")) &&
        this._say(login.say, now, { login: payload, id: ++this._id }) &&
        login.ok !== undefined;
    } catch (error) {
      this._refuse("login_refused", `login: ${(error as Error).message}`, false);
    }
    if (!asked) this._welcome(now);
    this._tickBeat(now);
  }

  private _refuse(code: string, message: string, retry: number | false): void {
    this._stage = Stage.NONE;
    this._outputs.push(["refused", { code, message, retry }]);
  }

  /** Whether a verdict on the login is awaited. It is carried out; what comes before it is kept for later. */
  private _judged(heard: Heard, now: number): boolean {
    if (this._stage === Stage.OPEN) return false;
    const login = this._dialect.login!;
    const accepted = this._hear(login.ok, heard);
    if (accepted) {
      if (accepted.keep) this.keep = Object.assign({}, this.keep, accepted.keep);
      this._welcome(now);
      return true;
    }
    for (const [verdict, forms = []] of [
      ["later", login.later],
      ["login_refused", login.refused],
      ["banned", login.banned],
    ] as const) {
      for (const form of forms) {
        const found = this._hear(form, heard);
        if (!found) continue;
        const { retry } = found;
        const { code, message } = failureOf(found, "");
        const why = message && code ? `${message} (${code})` : message || code;
        if (verdict !== "later") this._refuse(verdict, why, false);
        else this._refuse(code || verdict, why, retry > 0 ? Math.min(retry, DAY) : 0);
        return true;
      }
    }
    if (this._early.length < MOST_EARLY) this._early.push(heard);
    return true;
  }

  private _welcome(now: number): void {
    if (!this._stage) return;
    this._stage = Stage.OPEN;
    const { _resumed: resumed, _inbox: inbox, _epoch: session } = this;
    const { interval, timeout } = this._beat;
    const [, , at] = this._cursors.find(([, channel]) => channel === INBOX) || [];
    this._resume(inbox, at);
    this._outputs.push([
      "welcome",
      {
        session,
        resumed,
        received: resumed ? Math.min(this._floor - 1, this._highest) : 0,
        heartbeat: { interval, timeout },
        limits: {
          message: 16 << 20,
          window: 256,
          window_bytes: 1 << 20,
          credit: CREDIT,
          credit_bytes: CREDIT_BYTES,
          subscriptions: 1000,
        },
        inbox: { epoch: session, offset: inbox.offset },
        key: resumed ? null : "-",
        expires_in: null,
        time: 0,
        server: "",
      },
    ]);
    if (resumed && inbox.offset) this._gap(inbox);
    for (const form of this._dialect.opening || []) this._say(form, now, { id: ++this._id });
    for (const [r, channel, place] of this._cursors) if (channel !== INBOX) this._follow(r, channel, place, now);
    const early = this._early.splice(0);
    for (const heard of early) this._hearOne(heard, now);
    if (early.length === MOST_EARLY) this._gap(inbox);
  }

  // the heartbeat

  /** Something came: what only shows that it is quiet begins anew. */
  private _listen(now: number): void {
    const { interval, timeout, by, quiet } = this._beat;
    if (by === "server") this._silent = now + interval + timeout;
    if (quiet && this._says) this._due = now + interval;
    this._late = false;
  }

  private _heardBeat(heard: Heard, now: number): boolean {
    const { by, say: beat, answer, after_answer, interval } = this._beat;
    if (by === "server") {
      const found = this._hear(beat, heard);
      if (found) this._say(answer, now, found);
      return !!found;
    }
    if (!this._hear(answer, heard)) return false;
    if (after_answer) this._due = now + interval;
    this._probed(({ id }) => this._hear(answer, heard, { id }), now);
    return true;
  }

  /** One of the beats or pings that are out was answered: what was said before it has arrived. */
  private _probed(which: (probe: Probe) => unknown, now: number): void {
    const i = this._out.findIndex(which);
    if (i < 0) return;
    const { mark, t } = this._out.splice(0, i + 1)[i]!;
    const waiting = this._unproven;
    while (waiting.length && waiting[0]!.mark <= mark) this._settle(waiting.shift()!, "reply", null);
    if (waiting.length && !this._out.length) this._confirmSoon(now);
    if (t !== undefined) this._down(["pong", t]);
  }

  /** The machine wants to know whether the other end is there. Where nothing can show that, nobody is declared dead. */
  private _ping(t: number | string, now: number): void {
    const last = this._out[this._out.length - 1];
    if (!this._proves) this._down(["pong", t]);
    else if (!last || (last.t !== t && (last.t !== undefined || now - last.at >= FRESH))) this._probe(now, t);
    else last.t = t;
  }

  private _confirmSoon(now: number): void {
    if (this._confirm === Infinity) this._confirm = now + CONFIRM_AFTER;
  }

  private _probe(now: number, t?: number | string): void {
    const id = ++this._id;
    if (this._out.push({ id, at: now, mark: this._mark, t }) > MOST_OUT) this._out.shift();
    if (this._beats) this._say(this._beat.say, now, { id });
    else this._outputs.push(["ping", `${id}`]);
  }

  private _tickBeat(now: number): void {
    const { interval, timeout, after_answer } = this._beat;
    if (this._confirm <= now) {
      this._confirm = Infinity;
      if (!this._out.length) this._probe(now);
    }
    if (this._due <= now) {
      this._due = (now - this._due < interval && !after_answer ? this._due : now) + interval + (after_answer ? timeout : 0);
      if (this._beats) this._probe(now);
      else this._say(this._beat.say, now, { id: ++this._id });
    }
    const late = now - this._silent;
    if (late >= 0) {
      this._silent = Infinity;
      if (this._late || late <= Math.max(1, timeout / 2)) this._leave("nothing was heard from the server");
      else this._silent = now + timeout;
      this._late = true;
    }
  }

  // messages

  private _part(kind: Kind): Request | Send | null | undefined {
    return kind === "call" ? this._dialect.request : this._dialect.send;
  }

  private _forgetBelow(floor: number): void {
    for (const n of this._messages.keys()) if (n < floor) this._messages.delete(n);
  }

  /** Say a message, or tell what became of it. */
  private _take(frame: UpFrame, now: number): void {
    const [kind, n, third] = frame as unknown as [Kind, number, string];
    let message = this._messages.get(n);
    if (message && message.outcome) return this._down(message.outcome);
    if (message && !message.again) return this._unknown(message, "its link ended before anything confirmed it");
    if (!message) {
      const part = this._part(kind);
      const [again, target] = this._note(n);
      const channel = kind === "pub" ? third : target;
      const [event, data] = frame.slice(-2) as [string, string];
      message = { n, again, part: part!, known: { event, data: JSON.parse(data), channel: channel || null }, mark: 0, due: Infinity };
      if (!part) return this._fail(message, "unspelt", "this dialect has no such message");
      this._messages.set(n, message);
    }
    const { channel } = message.known;
    const follow = this._follows.get(channel);
    message.known = present(Object.assign(message.known, { id: ++this._id, sub: follow && follow.known.id }));
    this._highest = Math.max(this._highest, n);
    try {
      if (!this._say(message.part.say, now, message.known)) return this._fail(message, "invalid", NOTHING);
    } catch (error) {
      return this._fail(message, "invalid", (error as Error).message);
    }
    message.mark = ++this._mark;
    const { ok, within = 30 } = message.part as Send;
    if (ok !== undefined) {
      if (!message.again && !this._isCall(message)) message.due = now + within;
      this._waiting.push(message);
    } else if (message.again && this._proves) {
      this._unproven.push(message);
      this._confirmSoon(now);
    } else {
      this._settle(message, "reply", null);
    }
  }

  private _isCall({ part }: Message): boolean {
    return part === this._dialect.request;
  }

  /** Whether this message answers a request, or confirms or refuses another message; then that is settled. */
  private _answered(calls: boolean, heard: Heard): boolean {
    return this._waiting.some((message, i) => {
      const { part, known } = message;
      if (this._isCall(message) !== calls) return false;
      const found = this._hear(part.ok, heard, known);
      const refused = found || this._hear(part.no, heard, known);
      if (!refused) return false;
      this._waiting.splice(i, 1);
      if (found) this._settle(message, "reply", calls ? dataOf(part.ok, "reply", found, heard) : null);
      else this._settle(message, "fail", failureOf(refused, "refused"));
      return true;
    });
  }

  private _unknown(message: Message, why: string): void {
    this._fail(message, "unknown", why);
  }

  private _fail(message: Message, code: string, why: string): void {
    this._settle(message, "fail", { code, message: why });
  }

  private _settle(message: Message, kind: "reply" | "fail", body: any): void {
    if (!message.outcome) this._down((message.outcome = [kind, message.n, body]));
  }

  // channels

  private _log(channel: string): Log {
    let log = this._logs.get(channel);
    if (!log) this._logs.set(channel, (log = { channel, offset: 0, pending: [], size: 0, missed: false }));
    return log;
  }

  /** Hand an entry over, unless the application is too far behind. */
  private _hand(log: Log, event: string, data: Json, size: number): void {
    const { pending } = log;
    if (pending.length >= CREDIT || (pending.length && log.size + size > CREDIT_BYTES)) log.missed = true;
    if (log.missed) return;
    pending.push([++log.offset, size]);
    log.size += size;
    this._down(["msg", log.channel, log.offset, event, data, null]);
  }

  /** Say that something may be missing here; `beyond` is where the machine believes to be. */
  private _gap(log: Log, beyond = 0): void {
    const after = Math.max(log.offset, beyond);
    log.offset = after + 1;
    log.missed = false;
    this._down(["gap", log.channel, { epoch: this._epoch, after, to: after + 1, reason: "none" }]);
  }

  /** Another link goes on behind `at`: nothing before it, or nothing at all, is still to be handled. */
  private _resume(log: Log, at: Place | undefined): void {
    this._release(log, at && at[0] === this._epoch ? at[1] : log.offset);
    log.missed = false;
  }

  private _release(log: Log, offset: number): void {
    while (log.pending.length && log.pending[0]![0] <= offset) log.size -= log.pending.shift()![1];
  }

  /** The application is done with everything up to `offset`. */
  private _handled(log: Log, offset: number): void {
    this._release(log, offset);
    if (log.missed && log.pending.length * 2 <= CREDIT && log.size * 2 <= CREDIT_BYTES) this._gap(log);
  }

  private _follow(r: number, channel: string, at: Place | undefined, now: number): void {
    this._resume(this._log(channel), at);
    const known = present({ channel, args: this.args.get(channel) });
    const follow = { r, channel, at, known, asked: true, ended: false, due: Infinity, saidAgain: false, tries: 0 };
    this._follows.set(channel, follow);
    this._ask(follow, now);
  }

  private _ask(follow: Follow, now: number): void {
    const { subscribe } = this._dialect;
    if (!subscribe) return this._deny(follow, "unspelt", "this dialect has no subscriptions");
    const { ok, stale_after } = subscribe;
    follow.known.id = follow.known.sub = ++this._id;
    follow.asked = true;
    follow.ended = false;
    follow.due = now + (stale_after || Infinity);
    try {
      if (!this._say(subscribe.say, now, follow.known)) return this._deny(follow, "invalid", NOTHING);
    } catch (error) {
      return this._deny(follow, "invalid", (error as Error).message);
    }
    if (ok === undefined) this._grant(follow);
  }

  /** The server follows it; what came between the last link and this one is missing. */
  private _grant({ r, channel, at }: Follow, state?: Json): void {
    const log = this._log(channel);
    const ok = { epoch: this._epoch, offset: log.offset, expires_in: null };
    this._follows.get(channel)!.asked = false;
    this._down(["ok", r, state === undefined ? ok : Object.assign(ok, { state })]);
    if (at) this._gap(log, at[0] === null || at[0] === this._epoch ? at[1] : 0);
  }

  private _deny({ r, channel }: Follow, code: string, message: string): void {
    this._follows.delete(channel);
    this._down(["no", r, { code, message }]);
  }

  private _unfollow(channel: string, now: number): void {
    const follow = this._follows.get(channel);
    const { leave } = this._dialect.subscribe || ({} as Subscribe);
    this._follows.delete(channel);
    if (!follow || follow.ended || leave === undefined) return;
    follow.known.id = ++this._id;
    this._say(leave, now, follow.known);
    this._leaving.push(follow.known);
  }

  /** Whether this message is about a subscription, and no item of one; then it is dealt with. */
  private _heardOfFollows(heard: Heard, now: number): boolean {
    const { ok, no, ended, left } = this._dialect.subscribe || ({} as Subscribe);
    const i = this._leaving.findIndex((known) => this._hear(left, heard, known));
    if (i >= 0) return !!this._leaving.splice(i, 1);
    for (const follow of this._follows.values()) {
      if (follow.ended) continue;
      let found = this._hear(ok, heard, follow.known);
      if (found) {
        if (follow.asked) this._grant(follow, found.reply);
        return true;
      }
      found = this._hear(no, heard, follow.known);
      if (found) {
        const { code, message } = failureOf(Object.assign({ why: found.error }, found), "refused");
        this._deny(follow, code, message);
        return true;
      }
      if (this._hear(ended, heard, follow.known)) {
        follow.ended = true;
        follow.due = now + Math.min(2 ** follow.tries++, LONGEST_WAIT);
        return true;
      }
    }
    return false;
  }

  /** Hand an item to every subscription that it belongs to; whether there was one. */
  private _items(heard: Heard, now: number): boolean {
    const { items, stale_after } = this._dialect.subscribe || ({} as Subscribe);
    let ours = false;
    for (const follow of this._follows.values()) {
      const found = follow.ended ? null : this._hear(items, heard, follow.known);
      if (!found) continue;
      if (follow.asked) this._grant(follow);
      ours = true;
      follow.tries = 0;
      follow.saidAgain = false;
      if (stale_after) follow.due = now + stale_after;
      const name = nameOf(found.event === undefined ? "message" : found.event);
      if (name) this._hand(this._log(follow.channel), name, dataOf(items, "data", found, heard), heard[0].length);
    }
    return ours;
  }

  private _event(heard: Heard): boolean {
    return (this._dialect.events || []).some(({ match: form, name }) => {
      const found = this._hear(form, heard);
      const event = found && nameOf(name || found.event);
      if (event) this._hand(this._inbox, event, dataOf(form, "data", found!, heard), heard[0].length);
      return event;
    });
  }

  /** Ask again for what was ended, or has not come. */
  private _tickFollows(now: number): void {
    for (const follow of [...this._follows.values()]) {
      if (follow.due > now) continue;
      if (!follow.ended) {
        if (follow.saidAgain) {
          follow.due = Infinity;
          return this._leave(`no data for '${follow.channel}'`);
        }
        follow.saidAgain = true;
      }
      follow.at = [this._epoch, this._log(follow.channel).offset];
      this._ask(follow, now);
    }
  }

  // small things

  private _leave(reason: string): void {
    this._outputs.push(["leave", reason]);
  }

  /** Values for a form that is said; null counts as absent. */
  private _vars(now: number, more: Found): Found {
    const always = { param: this._params, keep: this.keep, now_ms: this._wall(now) };
    return Object.assign({}, this._dialect.defaults, always, present(more));
  }

  /** Whether there was anything to say. Throws TypeError for data that cannot be said so. */
  private _say(form: Form, now: number, more: Found): boolean {
    const text = form === undefined ? form : say(form, this._vars(now, more));
    return text !== undefined && !!this._outputs.push(text as string);
  }

  private _hear(form: Form, heard: Heard, known?: Found): Found | null {
    return form === undefined || form === null ? null : match(form, heard, Object.assign({ param: this._params }, known));
  }

  private _down(frame: DownFrame): void {
    this._outputs.push(frame);
  }
}

const NOTHING = "there is nothing to say";

function isNothing(value: Json): value is null | undefined {
  return value === undefined || value === null;
}

/** Without what is nothing. */
function present(given: Found): Found {
  const kept: Found = {};
  for (const name of Object.keys(given)) if (!isNothing(given[name])) kept[name] = given[name];
  return kept;
}

/** What `$name` stands for, null where that is absent; the whole message where the form has none. */
function dataOf(form: Form, name: string, found: Found, [text, value]: Heard): Json {
  if (found[name] !== undefined) return found[name];
  return uses(form, name) ? null : value === undefined ? text : value;
}

/** Why something was refused, out of whatever the variables stood for. */
function failureOf({ code, why, error }: Found, otherwise: string): { code: string; message: string; error?: Json } {
  const body = {
    code: (typeof code === "string" && code) || typeof code === "number" ? String(code).slice(0, 64) : otherwise,
    message: isNothing(why) ? "" : textOf(why).slice(0, 200),
  };
  return error === undefined ? body : Object.assign(body, { error });
}

/** The name of an event where it can be one. */
function nameOf(name: any): string {
  return typeof name === "string" && name.length < 256 && name[0] !== "@" ? name : "";
}
