/**
 * What a page holds of a connection: its own handlers and subscriptions, and its say that the connection is needed.
 *
 * - all of it is gone after `close`, and what belongs to others is not (test: a closed scope leaves nothing).
 */

import type { StateChange } from "../core/effects.js";
import { ConnectionClosed } from "../core/errors.js";
import type { Handler, OwnEvents, Volatile } from "./bus.js";
import type { Connection } from "./connection.js";
import type { Entry } from "./items.js";
import type { SubscribeOptions, Subscription } from "./subscription.js";

/** Made by `Connection.scope()`; it holds the connection until it is closed. Call `close` in onUnload. */
export class Scope {
  private _undo: (() => void)[] | null = [];

  constructor(
    /** The connection itself, for requests and sends. */
    readonly connection: Connection,
  ) {
    connection.hold(this);
  }

  /** As `Connection.on`, until this scope is closed. */
  on<E extends keyof OwnEvents>(event: E, handler: (data: OwnEvents[E]) => unknown): () => void;
  on<T = unknown>(event: string, handler: (data: T, item?: Entry | Volatile) => unknown): () => void;
  on(event: string, handler: Handler): () => void {
    return this._keep((connection) => connection.on(event, handler));
  }

  /** As `Connection.once`, until this scope is closed. */
  once<E extends keyof OwnEvents>(event: E, handler: (data: OwnEvents[E]) => unknown): () => void;
  once<T = unknown>(event: string, handler: (data: T, item?: Entry | Volatile) => unknown): () => void;
  once(event: string, handler: Handler): () => void {
    return this._keep((connection) => connection.once(event, handler));
  }

  /** As `Connection.onState`, until this scope is closed. */
  onState(handler: (change: StateChange) => unknown): () => void {
    return this.on("@state", handler);
  }

  /** As `Connection.subscribe`, until this scope is closed. */
  subscribe<T = unknown>(channel: string, options: SubscribeOptions<T> = {}): Subscription<T> {
    let subscription!: Subscription<T>;
    this._keep((connection) => {
      subscription = connection.subscribe(channel, options);
      return () => subscription.close();
    });
    return subscription;
  }

  /** Its handlers and subscriptions end, and it holds the connection no more. A second call does nothing. */
  close(): void {
    if (!this._undo) return;
    const undo = this._undo;
    this._undo = null;
    for (const end of undo) end();
    this.connection.release(this);
  }

  private _keep(begin: (connection: Connection) => () => void): () => void {
    if (!this._undo) throw new ConnectionClosed();
    const end = begin(this.connection);
    this._undo.push(end);
    return end;
  }
}
