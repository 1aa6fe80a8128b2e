/**
 * The client machine in an event loop: its effects, its one timer, its links, its store.
 *
 * - effects are carried out in order, and the application's code runs only when none is left
 *   (test: callbacks see a machine at rest);
 * - one timer at most; a later deadline leaves it alone (test: the timer is left alone);
 * - nothing is left behind by closing: no timer, listener or socket (test: closing leaves nothing).
 */

import { ClientMachine } from "../core/client.js";
import { Code } from "../core/codes.js";
import type { Effect, StateChange } from "../core/effects.js";
import {
  BadFrame,
  ConnectionClosed,
  GaveUp,
  HeartlineError,
  LoginRefused,
  OutcomeUnknown,
  Replaced,
  OutboxError,
  SubscriptionRefused,
} from "../core/errors.js";
import { type ClientCodec, INBOX, type Json, type UpFrame } from "../core/frames.js";
import { type ClientPolicy, makePolicy } from "../core/policy.js";
import type { Saved } from "../core/saved.js";
import type { State } from "../core/states.js";
import { native } from "../dialects/native.js";
import type { Dialect } from "../dialects/spec.js";
import { type Note, Translator } from "../dialects/translator.js";
import { detectPlatform } from "../platforms/detect.js";
import { type Arrival, Bus } from "./bus.js";
import { Journal, savedOf, type Store } from "./journal.js";
import { Link, messageOf } from "./link.js";
import type { Options } from "./options.js";
import { type Platform, proceed, systemTimers, type Timers } from "./platform.js";
import { Receipt } from "./receipts.js";
import { Feed, type FeedOwner } from "./subscription.js";

const LOGIN_CODES: number[] = [Code.POLICY, Code.LOGIN_REFUSED, Code.NOT_YOUR_SESSION, Code.TOO_MANY_SESSIONS];

interface Condition {
  met(): boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/** One connection's insides. */
export class Shell implements FeedOwner {
  /** Between the machine and a server that speaks a dialect. */
  translator: Translator | null = null;
  /** Null while the store is being read. */
  machine: ClientMachine | null = null;
  /** Closed by the person while the machine was not there yet. */
  closing = false;
  readonly policy: ClientPolicy;
  readonly bus: Bus;
  readonly feeds = new Map<string, Feed>();
  readonly receipts = new Map<number, Receipt>();
  readonly timers: Timers;
  readonly platform: Platform;
  /** Receipts of what an earlier process left in the store. */
  restored: Receipt[] = [];
  last: StateChange | null = null;
  held = false;
  private readonly _codec: ClientCodec;
  private readonly _store: Store | undefined;
  private _journal: Journal | null = null;
  private _generation = 0;
  private _gone: Promise<void> = Promise.resolve(); // the store may be loaded again
  private _reserved = 0;
  private _dialling = 0;
  private _spoken = 0; // the link that the translator is on
  private _keep: object = {};
  private _early: (() => void)[] = [];
  private _links = new Map<number, Link>();
  private _running = false;
  private _delivering = false;
  private readonly _dirty = new Set<{ deliver(): void }>();
  private _wakeAt = Infinity;
  private _stopWake: () => void = nothing;
  private _stopWatch: () => void = nothing;
  private _conditions: Condition[] = [];

  constructor(
    private readonly _url: string,
    private readonly _options: Options,
  ) {
    const { connectSocket, platform, timers, codec, dialect } = _options;
    const { delay: base = 1, cap = 30, stable = 10, attempts: maxAttempts = null } = (dialect && dialect.reconnect) || {};
    const backOff = Object.assign({ base, cap, stable, least: 0.5 }, _options.backOff);
    this.policy = makePolicy(dialect ? Object.assign({ maxAttempts }, _options, { backOff }) : _options);
    this.timers = timers || systemTimers;
    this.platform = platform || (connectSocket ? { connectSocket } : detectPlatform());
    this._codec = dialect ? frames(dialect) : codec || native;
    this._store = _options.store;
    const trace = (what: string, details: Record<string, unknown>): void => this._trace(what, details);
    this.bus = new Bus((arrival) => this.handled(arrival), trace);
    this.begin();
  }

  get now(): number {
    return this.timers.now();
  }

  get state(): State {
    return this.closing ? "closed" : this.machine ? this.machine.state : "idle";
  }

  // life

  /** Make a machine, out of what the store holds; that of a connection that was closed is over. */
  begin(): void {
    const generation = ++this._generation;
    const store = this._store;
    this.machine = null;
    this.closing = false;
    this.last = null;
    const { dialect, params, heartbeat } = this._options;
    if (dialect) {
      const spoken = heartbeat ? Object.assign({}, dialect, { beat: Object.assign({}, dialect.beat, heartbeat) }) : dialect;
      const note: Note = (n) => {
        const { idempotent, target } = this.machine!.outbox.find(n)!;
        return [idempotent, target];
      };
      this.translator = new Translator(spoken, params || {}, instanceId(), note, Date.now);
    }
    const made = (saved: Saved | null): void => {
      if (generation === this._generation) this._made(saved);
    };
    if (!store) return made(null);
    proceed(
      () => (generation > 1 ? this._gone.then(() => store.load()) : store.load()),
      (kept) => {
        this._journal = new Journal(
          store,
          (error) => this._storageFailed(error),
          () => this.run(),
        );
        made(savedOf(kept, (error) => this._storageFailed(error)));
      },
      (error) => {
        this._storageFailed(error);
        made(null);
      },
    );
  }

  private _made(saved: Saved | null): void {
    const { name = "heartline-js", version = "0.1.0", random = Math.random } = this._options;
    const about = { name, version };
    this.machine = new ClientMachine(this.policy, this._codec, random, instanceId(), saved, about);
    this._reserved = 0;
    if (this.translator && saved && saved.keep) this._keep = this.translator.keep = saved.keep;
    this.restored = this.machine.outbox.all().map(({ n, event, data }) => {
      const receipt = new Receipt(event, () => this.deadEnd(), JSON.parse(data));
      receipt.n = n;
      this.receipts.set(n, receipt);
      return receipt;
    });
    for (const call of this._early.splice(0)) call();
    if (this.closing) this.close(false);
    else this._hold();
  }

  /** Call when there is a machine: now, as a rule. */
  ready(call: (machine: ClientMachine) => void): void {
    if (this.machine) call(this.machine);
    else this._early.push(() => call(this.machine!));
  }

  /** Somebody holds the connection, or nobody does. */
  hold(held: boolean): void {
    this.held = held;
    this._hold();
  }

  private _hold(): void {
    this._stopWatch();
    this._stopWatch = nothing;
    const { machine, platform } = this;
    if (!machine) return;
    if (this.held) {
      if (platform.watch) this._stopWatch = platform.watch((reason, back) => this.hint(reason, back));
      machine.connect(this.now);
    } else {
      machine.rest(this.now);
    }
    this.run();
  }

  /** Leave at once and for good. Resolves when the store has kept what it was given. */
  close(end: boolean): Promise<void> {
    const { machine } = this;
    this.held = false;
    this.closing = !machine;
    if (!machine) return this._gone;
    if (end) machine.end(this.now);
    else machine.close(this.now);
    this._stopWatch();
    this._stopWatch = nothing;
    this.run();
    this._stopWake();
    this._wakeAt = Infinity;
    this.bus.lane.queue.length = 0;
    const journal = this._journal;
    this._journal = null;
    const store = this._store;
    if (journal) this._gone = journal.idle().then(() => store && store.close && store.close());
    return this._gone;
  }

  /** Something happened to network or page. Timers that are late are judged first. */
  hint(reason: string, back: boolean): void {
    const { machine, now } = this;
    if (!machine) return;
    machine.tick(now);
    if (back || machine.state !== "waiting") machine.hint(now, reason);
    this.run();
  }

  // the drain

  /** Carry out what the machine wants and hand over what came. Call it after every input. */
  run(): void {
    const { machine } = this;
    if (this._running || !machine) return;
    this._running = true;
    try {
      do {
        for (let effects; (effects = machine.drain()).length; ) effects.forEach((effect) => this._carry(effect));
      } while (this._journal && this._journal.flush());
    } finally {
      this._running = false;
    }
    this._arm(machine);
    this._deliver();
    this._check();
  }

  /** Have the application's code called when the drain is done. */
  wantDelivery(lane: { deliver(): void }): void {
    this._dirty.add(lane);
    if (!this._running && !this._delivering) void Promise.resolve().then(() => this._deliver());
  }

  private _deliver(): void {
    if (this._delivering) return;
    this._delivering = true;
    for (const lane of this._dirty) {
      this._dirty.delete(lane);
      lane.deliver();
    }
    this._delivering = false;
  }

  private _arm(machine: ClientMachine): void {
    const { translator } = this;
    const due = machine.nextDeadline();
    const at = Math.min(due === null ? Infinity : due, translator ? translator.nextDeadline() : Infinity);
    if (at >= this._wakeAt) return;
    this._stopWake();
    this._wakeAt = at;
    this._stopWake = this.timers.after(at - this.now, () => {
      this._wakeAt = Infinity;
      machine.tick(this.now);
      if (translator) {
        translator.tick(this.now);
        this._translate(this._spoken, false);
      }
      this.run();
    });
  }

  // waiting

  /** Resolve when something is true; reject at a dead end of the connection, or after `timeout` seconds. */
  until(met: () => boolean, timeout?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop =
        timeout === undefined
          ? nothing
          : this.timers.after(timeout, () => {
              this._conditions = this._conditions.filter((one) => one !== condition);
              reject(new HeartlineError("Timeout", `not within ${timeout} s`, true));
            });
      const condition: Condition = {
        met,
        resolve: () => (stop(), resolve()),
        reject: (error) => (stop(), reject(error)),
      };
      this._conditions.push(condition);
      this._check();
    });
  }

  private _check(): void {
    const error = this.deadEnd();
    this._conditions = this._conditions.filter((condition) => {
      if (condition.met()) condition.resolve();
      else if (error) condition.reject(error);
      else return true;
      return false;
    });
  }

  /** Why nothing can be sent: closed or refused for good. A new error each time. */
  refusal(): HeartlineError | null {
    const { state } = this;
    if (state === "closed") return new ConnectionClosed("this connection was closed");
    if (state !== "refused") return null;
    const { code, reason } = this.last!;
    if (code !== null && LOGIN_CODES.includes(code)) return new LoginRefused(reason);
    if (code === Code.REPLACED) return new Replaced(reason || "another instance took this session over");
    if (code === Code.BAD_FRAME) return new BadFrame(reason);
    return new ConnectionClosed(reason || `closed by the server with ${code}`);
  }

  /** Why waiting makes no sense: as `refusal`, or nobody dials any more. */
  deadEnd(): HeartlineError | null {
    return this.state === "gave up" ? new GaveUp(this.last!.reason) : this.refusal();
  }

  // effects

  private _carry(effect: Effect): void {
    const machine = this.machine!;
    const link = this._links.get((effect as { attempt: number }).attempt);
    const feed = this.feeds.get((effect as { channel: string }).channel);
    const keep = (key: string, value: unknown, after?: () => void): void => {
      this._journal && this._journal.put(key, value === null ? null : JSON.stringify(value), after);
    };
    switch (effect.do) {
      case "dial":
        return this._dial(effect.attempt);
      case "transmit":
        if (!this.translator) return link && link.send(effect.payload);
        this._spoken = effect.attempt;
        this.translator.up(effect.payload as unknown as UpFrame, this.now);
        return this._translate(effect.attempt, false);
      case "drop":
        if (effect.code === Code.NORMAL && this.translator) {
          this.translator.goodbye(this.now);
          this._translate(effect.attempt, false);
        }
        this._left(effect.attempt);
        if (link) link.leave(effect.code, effect.reason);
        this._links.delete(effect.attempt);
        if (effect.attempt === this._dialling) this._dialling = 0;
        return;
      case "settle": {
        const { n } = effect.message;
        const receipt = this.receipts.get(n);
        const { code, message } = (this.translator && effect.body ? effect.body : {}) as { code?: Json; message?: string };
        if (!receipt) {
          // nobody waits
        } else if (code === "unknown") receipt.settle(code, null, message!);
        else receipt.settle(effect.outcome, effect.body, effect.reason);
        this.receipts.delete(n);
        return;
      }
      case "arrived": {
        const { channel } = effect.item;
        const followed = this.feeds.get(channel);
        if (followed) followed.arrived(effect);
        else if (channel === INBOX) this._put(effect);
        return;
      }
      case "volatile": {
        const { channel, event, data } = effect;
        return this._put({ item: { kind: "volatile", channel, event, data }, size: 0 });
      }
      case "subscribed":
        return feed && feed.subscribed(effect, effect.state);
      case "unsubscribed":
        this.feeds.delete(effect.channel);
        return feed && feed.end(new SubscriptionRefused(effect.channel, effect.code, effect.message), true);
      case "renew":
        return this._login(
          (payload) => {
            machine.login(payload, this.now);
            this.run();
          },
          (error) => this.report(error),
        );
      case "state":
        return this._changed(effect.change);
      case "persist": {
        const { n, kind, event, data, target, idempotent } = effect.message;
        if (effect.reserved !== this._reserved) keep("n", (this._reserved = effect.reserved));
        return keep(`m${n}`, { n, kind, event, data, target, idempotent }, () => machine.persisted(n, this.now));
      }
      case "forget":
        return keep(`m${effect.n}`, null, () => machine.forgotten(effect.n, this.now));
      case "remember": {
        const { session, key } = effect;
        return keep("s", session && [session, key], () => machine.remembered(session, this.now));
      }
      case "move_cursor":
        return keep(`c${effect.channel}`, [effect.epoch, effect.offset]);
      case "forget_cursor":
        return keep(`c${effect.channel}`, null);
    }
  }

  private _changed(change: StateChange): void {
    this.last = change;
    this._trace("client.state", { ...change });
    this.wantDelivery({ deliver: () => this.bus.emit("@state", change) });
    if (change.old === change.new) return;
    const over = change.new === "closed";
    if (over || change.new === "refused") this._refused();
    const error = this.deadEnd();
    if (error) for (const receipt of this.receipts.values()) receipt.wake(error);
    for (const feed of [...this.feeds.values()]) over ? feed.end(error!, false) : feed.wake();
    if (over) this.feeds.clear();
  }

  /** Nothing can be sent any more: what was never written ends, and nobody waits for the reply of the rest. */
  private _refused(): void {
    const machine = this.machine!;
    const error = this.refusal()!;
    for (const { n, written, kind } of machine.outbox.all()) {
      const receipt = this.receipts.get(n);
      if (kind === "call") {
        this.receipts.delete(n);
        if (receipt) receipt.fail(written ? new OutcomeUnknown(`sent, but no reply can come: ${error.message}`) : error);
      }
      if (!written && this.state === "refused") machine.withdraw(n, this.now); // one that is closed kept it, or ended it
    }
  }

  private _put(arrival: Arrival): void {
    if (this.bus.put(arrival)) this.wantDelivery(this.bus.lane);
  }

  // links

  private _dial(attempt: number): void {
    this._trace("client.dial", { attempt });
    const machine = this.machine!;
    const failed = (reason: string, fatal = false): void => {
      this._links.delete(attempt);
      machine.failed(attempt, this.now, reason, fatal);
      this.run();
    };
    this._dialling = attempt;
    this._login(
      (login) => {
        if (machine !== this.machine || attempt !== this._dialling) return;
        try {
          const socket = this.platform.connectSocket(this._url, [...this._codec.protocols]);
          const link = new Link(socket, {
            opened: () => (machine.opened(attempt, this.now, login), this.run()),
            received: (text) => (this._received(attempt, text), this.run()),
            binary: () => {
              if (this.translator) return machine.alive(attempt, this.now);
              link.leave(Code.UNSUPPORTED_DATA, "not text");
              machine.lost(attempt, Code.WEBSOCKET_ERROR, "a binary message", this.now);
              this.run();
            },
            ended: (code, reason, opened) => {
              if (!opened) return failed(reason);
              this._links.delete(attempt);
              this._left(attempt);
              machine.lost(attempt, code, reason, this.now);
              this.run();
            },
          });
          this._links.set(attempt, link);
        } catch (error) {
          failed(messageOf(error), /^S(yntax|ecurity)Error$/.test((error as Error).name));
        }
      },
      (error) => failed(`login: ${messageOf(error)}`),
    );
  }

  private _received(attempt: number, text: string): void {
    const { machine, translator, now } = this;
    if (!translator) return machine!.received(attempt, text, now);
    machine!.alive(attempt, now, true);
    if (!translator.heard(text, now)) this._trace("client.ignored", {});
    this._translate(attempt, true);
    if (translator.keep !== this._keep) {
      this._keep = translator.keep;
      if (this._journal) this._journal.put("k", JSON.stringify(this._keep));
    }
  }

  /** Do what the translator wants. `proof`: it is what the other end said, and not what follows from saying something. */
  private _translate(attempt: number, proof: boolean): void {
    const machine = this.machine!;
    for (const output of this.translator!.drain()) {
      const link = this._links.get(attempt);
      if (!link) return;
      if (typeof output === "string") link.send(output);
      else if (output[0] === "ping") continue;
      else if (output[0] !== "leave") machine.received(attempt, output as unknown as string, this.now, proof);
      else {
        link.leave(Code.PEER_SILENT, output[1]);
        this._links.delete(attempt);
        this._left(attempt);
        machine.lost(attempt, Code.PEER_SILENT, output[1], this.now);
      }
    }
  }

  /** This link is gone, or is about to be left. */
  private _left(attempt: number): void {
    if (this.translator && attempt === this._spoken) this.translator.lost();
  }

  /** Nobody waits for the reply to message n any more. */
  forget(n: number): void {
    if (!this.translator) return;
    this.translator.forget(n);
    this._translate(this._spoken, false);
  }

  private _login(then: (payload: Json) => void, or: (error: unknown) => void): void {
    const { login } = this._options;
    proceed<Json>(() => (typeof login === "function" ? login() : login), then, or);
  }

  // channels

  /** The application is done with an item. */
  handled({ item, size }: Arrival): void {
    if (item.kind === "volatile") return;
    const { channel, epoch } = item;
    this.machine!.handled(channel, epoch, item.kind === "gap" ? item.to : item.offset, size, this.now);
    this.run();
  }

  /** Nobody reads this channel any more. */
  unfollow(feed: Feed): void {
    if (this.feeds.get(feed.channel) !== feed) return;
    this.feeds.delete(feed.channel);
    this.ready((machine) => machine.unsubscribe(feed.channel, this.now));
    this.run();
  }

  // telling

  report(error: unknown): void {
    this.bus.report(error);
  }

  private _storageFailed(error: unknown): void {
    void Promise.resolve().then(() => this.report(new OutboxError(error))); // handlers may not be there yet
  }

  private _trace(what: string, details: Record<string, unknown>): void {
    const { trace } = this._options;
    if (trace) trace(this.now, what, details);
  }
}

function nothing(): void {}

/** Frames as they are, for a translator. */
function frames({ subprotocol }: Dialect): ClientCodec {
  const itself = (frame: unknown): any => frame;
  return { protocols: subprotocol ? [subprotocol] : [], encode: itself, decode: itself };
}

/** Random for each process. */
function instanceId(): string {
  let id = "";
  while (id.length < 22) id += Math.random().toString(36).slice(2, 12);
  return id;
}
