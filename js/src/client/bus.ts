/**
 * Handlers by event name: for entries of the session's inbox, for volatile messages, for what the connection itself has
 * to tell (names that begin with `@`), and for what the application emits.
 *
 * - handlers of one event are called in the order of registration, events in the order of arrival
 *   (test: handlers keep the order);
 * - one handler that fails does not keep the others from the event (test: a failed handler stops nothing);
 * - volatile messages that a slow handler leaves waiting are bounded (test: volatile messages are bounded).
 */

import type { EntryItem, Gap, StateChange } from "../core/effects.js";
import type { Json } from "../core/frames.js";
import { checkName } from "../core/names.js";
import type { Entry } from "./items.js";
import { Lane } from "./lane.js";
import { proceed } from "./platform.js";

const MOST_VOLATILE = 1000;

/** A message without a place, which may have been dropped on the way and never comes again. */
export interface Volatile {
  readonly kind: "volatile";
  readonly channel: string;
  readonly event: string;
  readonly data: Json;
}

/** What the connection itself tells. `@gap`: events sent to this session may be lost. */
export interface OwnEvents {
  "@state": StateChange;
  "@gap": Gap;
  "@error": unknown;
}

/** `item` is what brought the data: an entry of the inbox, a volatile message, or nothing when it was emitted. */
export type Handler = (data: any, item?: Entry | Volatile) => unknown;

/** What waits for handlers, and the bytes it takes of the credit. */
export interface Arrival {
  readonly item: EntryItem | Gap | Volatile;
  readonly size: number;
}

interface Registered {
  readonly handler: Handler;
  readonly once: boolean;
}

const OWN = ["@state", "@gap", "@error"];

/** The handlers of one connection. `handled` is told of entries and gaps. */
export class Bus {
  readonly lane: Lane<Arrival>;
  private readonly _handlers = new Map<string, Registered[]>();
  private _volatile = 0;

  constructor(
    handled: (arrival: Arrival) => void,
    private readonly _trace: (what: string, details: object) => void,
  ) {
    this.lane = new Lane(
      (arrival) => this._handle(arrival),
      handled,
      (error) => this.report(error),
    );
  }

  /** Register a handler; returns what removes it. */
  on(event: string, handler: Handler, once = false): () => void {
    if (!OWN.includes(event)) checkName(event, "event");
    if (typeof handler !== "function") throw new TypeError("handler must be a function");
    const one = { handler, once };
    this._handlers.set(event, [...this._of(event), one]);
    return () => this._remove(event, one);
  }

  /** Remove one handler, or all of the event. One that is not there is no error. */
  off(event: string, handler?: Handler): void {
    for (const one of this._of(event)) if (!handler || one.handler === handler) this._remove(event, one);
  }

  /** Call the handlers of an event now. A promise where one of them has to be waited for. */
  emit(event: string, data: unknown, item?: Entry | Volatile, handlers = this._of(event)): unknown {
    const [one, ...others] = handlers;
    if (!one) return;
    if (one.once) this._remove(event, one);
    // One after another; those behind one that returns a promise when that is done.
    return proceed(
      () => one.handler(data, item),
      () => this.emit(event, data, item, others),
      (error) => {
        this.report(error, event);
        return this.emit(event, data, item, others);
      },
    );
  }

  /** Tell what went wrong where nobody can catch it. */
  report(error: unknown, event?: string): void {
    if (event !== "@error" && this._of("@error").length) this.emit("@error", error);
    else console.error(error);
  }

  /** Something arrived; whether it is to be delivered. */
  put(arrival: Arrival): boolean {
    const { item } = arrival;
    if (item.kind === "volatile") {
      if (this._volatile >= MOST_VOLATILE || !this._of(item.event).length) return this._letGo(item);
      this._volatile++;
    }
    this.lane.queue.push(arrival);
    return true;
  }

  private _of(event: string): Registered[] {
    return this._handlers.get(event) || [];
  }

  private _remove(event: string, which: Registered): void {
    const rest = this._of(event).filter((one) => one !== which);
    if (rest.length) this._handlers.set(event, rest);
    else this._handlers.delete(event);
  }

  private _handle({ item }: Arrival): unknown {
    if (item.kind === "gap") {
      if (this._of("@gap").length) return this.emit("@gap", item);
      return console.warn('"@gap" has no handler', item);
    }
    if (item.kind === "volatile") this._volatile--;
    if (!this._of(item.event).length) this._letGo(item);
    return this.emit(item.event, item.data, item);
  }

  private _letGo({ channel, event }: EntryItem | Volatile): false {
    this._trace("client.let_go", { channel, event });
    return false;
  }
}
