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
import { makeLane } from "./lane.js";
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

/** A handler, as it was given. */
export interface Registered {
  readonly handler: Handler;
  readonly once: boolean;
}

const OWN = ["@state", "@gap", "@error"];

/** The handlers of one connection. */
export type Bus = ReturnType<typeof makeBus>;

/** `handled` is told of entries and gaps, `trace` of what nobody wanted. */
export function makeBus(handled: (arrival: Arrival) => void, trace: (what: string, details: object) => void) {
  const registered = new Map<string, Registered[]>();
  let waiting = 0; // volatile messages

  const of = (event: string): Registered[] => registered.get(event) || [];

  const remove = (event: string, which: Registered): void => {
    const rest = of(event).filter((one) => one !== which);
    if (rest.length) registered.set(event, rest);
    else registered.delete(event);
  };

  /** Call the handlers of an event now. A promise where one of them has to be waited for. */
  const emit = (event: string, data: unknown, item?: Entry | Volatile, handlers = of(event)): unknown => {
    const [one, ...others] = handlers;
    if (!one) return;
    if (one.once) remove(event, one);
    // One after another; those behind one that returns a promise when that is done.
    const rest = (): unknown => emit(event, data, item, others);
    return proceed(
      () => one.handler(data, item),
      rest,
      (error) => (report(error, event), rest()),
    );
  };

  /** Tell what went wrong where nobody can catch it. */
  const report = (error: unknown, event?: string): void => {
    if (event !== "@error" && of("@error").length) emit("@error", error);
    else console.error(error);
  };

  const letGo = ({ channel, event }: EntryItem | Volatile): false => {
    trace("client.let_go", { channel, event });
    return false;
  };

  const lane = makeLane<Arrival>(
    ({ item }) => {
      if (item.kind === "gap") {
        if (of("@gap").length) return emit("@gap", item);
        return console.warn('"@gap" has no handler', item);
      }
      const { event } = item;
      if (item.kind === "volatile") waiting--;
      if (!of(event).length) letGo(item);
      return emit(event, item.data, item);
    },
    handled,
    (error) => report(error),
  );

  return {
    lane,
    emit,
    report,

    /** Register a handler; returns what removes it. */
    on(event: string, handler: Handler, once = false): () => void {
      if (!OWN.includes(event)) checkName(event, "event");
      const one = { handler, once };
      registered.set(event, [...of(event), one]);
      return () => remove(event, one);
    },

    /** Remove one handler, or all of the event. One that is not there is no error. */
    off(event: string, handler?: Handler): void {
      for (const one of of(event)) if (!handler || one.handler === handler) remove(event, one);
    },

    /** Something arrived; whether it is to be delivered. */
    put(arrival: Arrival): boolean {
      const { item } = arrival;
      if (item.kind === "volatile") {
        if (waiting >= MOST_VOLATILE || !of(item.event).length) return letGo(item);
        waiting++;
      }
      return !!lane.queue.push(arrival);
    },
  };
}
