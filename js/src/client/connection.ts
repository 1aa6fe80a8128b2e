/**
 * The connection as an application holds it.
 *
 * - closing is immediate in every state, and nothing is dialled before `retry` or `hold`
 *   (test: close in every state);
 * - a connection lives while somebody holds it, however often they say so (test: lives while somebody holds it);
 * - what was asked for before the first connection goes out in order (test: enqueue before the first connection).
 */

import type { StateChange } from "../core/effects.js";
import { checkName } from "../core/names.js";
import type { State } from "../core/states.js";
import type { Handler, OwnEvents, Volatile } from "./bus.js";
import type { Entry } from "./items.js";
import { checkUrl, encodeJson, type Options } from "./options.js";
import type { Delivery } from "../dialects/spec.js";
import type { Receipt } from "./receipts.js";
import { Scope } from "./scope.js";
import { makeShell, type Shell } from "./shell.js";
import type { SubscribeOptions, Subscription } from "./subscription.js";

/** How to send. `expires`: seconds after which it is not worth sending any more. `delivery`: "at_most_once" as a rule. */
export interface SendOptions {
  readonly expires?: number | undefined;
  readonly delivery?: Delivery | undefined;
}

/** How to ask. `timeout`: seconds, 30 by default; Infinity waits for ever. */
export interface RequestOptions {
  readonly timeout?: number | undefined;
  /** Where the dialect has requests to a channel. */
  readonly channel?: string | undefined;
  readonly delivery?: Delivery | undefined;
}

/**
 * One session with a server, over as many links as it takes. `connect` and `shared` make one.
 *
 * Nothing here waits for the network unless it returns a promise. While it is refused for good (state "refused")
 * whatever sends throws the reason: `LoginRefused`, `Replaced`, `ConnectionClosed` or `BadFrame`. When it has given up
 * ("gave up", only with `maxAttempts`) requests and sends wait on, requests until their time-out, and what has no
 * time-out rejects with `GaveUp`. `retry()` is the way back from both.
 */
export class Connection {
  readonly url: string;
  private readonly _shell: Shell;
  private readonly _holders = new Set<unknown>();

  constructor(
    url: string,
    private readonly _options: Options,
  ) {
    this.url = checkUrl(url);
    const { login } = _options;
    if (typeof login !== "function") encodeJson("login", login);
    this._shell = makeShell(url, _options);
    const { on = {} } = _options;
    for (const event of Object.keys(on)) this.on(event, on[event]!);
  }

  // how it stands

  /** Where it stands. */
  get state(): State {
    return this._shell.state();
  }

  /** The session's public name; null before the first welcome. */
  get sessionId(): string | null {
    const machine = this._shell.machine();
    return machine && machine.session();
  }

  /** Messages that have no outcome yet. */
  get pending(): number {
    return this._shell.pending();
  }

  /** Receipts of the messages that an earlier process left in the store, oldest first; empty until it is read. */
  get restored(): readonly Receipt[] {
    return this._shell.restored();
  }

  /** Resolves when messages flow. Rejects after `timeout` seconds, with `GaveUp`, and with what refused the connection. */
  connected(timeout?: number): Promise<void> {
    return this._shell.until(() => /open|moving/.test(this.state), timeout);
  }

  /** Resolves when every message has its outcome. Rejects as `connected`. */
  settled(timeout?: number): Promise<void> {
    return this._shell.until(() => !this.pending, timeout);
  }

  /** Resolves when the outbox has room for one more message. Rejects as `connected`. */
  room(timeout?: number): Promise<void> {
    const { messages, bytes } = this._shell.policy.outbox;
    return this._shell.until(() => {
      const machine = this._shell.machine();
      return this.pending < messages && (!machine || machine.outbox.bytes < bytes);
    }, timeout);
  }

  // life

  /** `who` needs the connection: it dials, and stays, until everybody who said so has released it. */
  hold(who: unknown = this): void {
    if (this.state === "closed") this._shell.begin();
    this._holders.add(who);
    if (!this._shell.held()) this._shell.hold(true);
  }

  /**
   * `who` needs it no more. When nobody does, the link is left, at the latest `linger` seconds later where messages have
   * no outcome yet. Session, handlers and subscriptions stay; `hold` goes on with them.
   */
  release(who: unknown = this): void {
    if (!this._holders.delete(who) || this._holders.size) return;
    const leave = (): void => {
      if (!this._holders.size) this._shell.hold(false);
    };
    const { linger = 5 } = this._options;
    if (this.pending && linger) this.settled(linger).then(leave, leave);
    else leave();
  }

  /** The person wants it now: dial at once if waiting, given up, refused or closed; probe the link if open. */
  retry(): void {
    if (this.state === "closed") return this.hold();
    if (!this._shell.held()) this.hold();
    this._shell.ready((machine) => machine.retryNow());
  }

  /** The network or the application's place on the screen changed: dial at once if waiting, probe the link if open. */
  hint(reason: string): void {
    this._shell.hint(reason, true);
  }

  /**
   * Leave at once, whoever holds it. What is pending ends as expired or unknown, unless a store keeps it; subscriptions
   * end. May be called again, anywhere. `retry` and `hold` begin anew. Resolves when the store has kept everything.
   */
  close(): Promise<void> {
    this._holders.clear();
    return this._shell.close();
  }

  /** Tell the server to forget the session, then close. Offline nobody can be told: the server's own time ends it. */
  end(): Promise<void> {
    this._holders.clear();
    return this._shell.close(true);
  }

  /** What a page holds: its own handlers and subscriptions, all gone with `scope.close()`. */
  scope(): Scope {
    return new Scope(this);
  }

  // up

  /**
   * Have an event handled; resolves with its reply. Rejects with `Rejected` (the server's `code`, `reason`, `details`),
   * `Expired` (it never left), `RequestTimeout` (sent, may still be handled), `OutcomeUnknown`, and what closed or
   * refused the connection. `OutboxFull` where nothing was queued.
   */
  request<T = unknown>(event: string, data?: unknown, options: RequestOptions = {}): Promise<T> {
    return this._shell.request(event, data, options);
  }

  /**
   * Queue a message to be handled once, in order. The receipt tells what becomes of it, or may be dropped.
   *
   * Throws `OutboxFull` (`await conn.room()`), and what closed or refused the connection.
   */
  send(event: string, data?: unknown, options: SendOptions = {}): Receipt {
    return this._shell.queue("send", event, data, "", options);
  }

  /** Add an entry to a channel, if the server lets us. Otherwise as `send`. */
  publish(channel: string, data?: unknown, event = "message", options: SendOptions = {}): Receipt {
    return this._shell.queue("pub", event, data, checkName(channel, "channel"), options);
  }

  // down

  /**
   * Follow a channel: give `onEntry`, or iterate over what this returns.
   *
   * Several subscriptions of one channel share what comes; the later ones begin where the first one is, so they have no
   * `since`. "@who/" before the name of a channel with presence follows who is there: its `state` is the list, its
   * entries are "join" and "leave"; it can be followed once.
   */
  subscribe<T = unknown>(channel: string, options: SubscribeOptions<T> = {}): Subscription<T> {
    return this._shell.follow(channel, options);
  }

  /**
   * Call `handler(data, item)` for each such event: sent to this session by the server, volatile on a channel that is
   * followed, or emitted here. One at a time, in order; a promise is waited for. What it throws is told to "@error".
   *
   * Names that begin with "@" tell of the connection: see `OwnEvents`. Returns what removes the handler.
   */
  on<E extends keyof OwnEvents>(event: E, handler: (data: OwnEvents[E]) => unknown): () => void;
  on<T = unknown>(event: string, handler: (data: T, item?: Entry | Volatile) => unknown): () => void;
  on(event: string, handler: Handler): () => void {
    return this._shell.bus.on(event, handler);
  }

  /** As `on`, for the next such event only. */
  once<E extends keyof OwnEvents>(event: E, handler: (data: OwnEvents[E]) => unknown): () => void;
  once<T = unknown>(event: string, handler: (data: T, item?: Entry | Volatile) => unknown): () => void;
  once(event: string, handler: Handler): () => void {
    return this._shell.bus.on(event, handler, true);
  }

  /** Remove a handler, or all of an event. One that is not there is no error. */
  off(event: string, handler?: Handler): void {
    this._shell.bus.off(event, handler);
  }

  /** Call this connection's own handlers of an event. Nothing is sent: that is `send`. */
  emit(event: string, data?: unknown): void {
    this._shell.bus.emit(checkName(event, "event"), data);
  }

  /** Call a function with every change of state. Returns what ends this. */
  onState(handler: (change: StateChange) => unknown): () => void {
    return this.on("@state", handler);
  }
}
