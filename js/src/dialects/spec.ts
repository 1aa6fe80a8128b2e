/** A protocol as a value: the declarative dialect (protocol/DIALECTS.md §3). What is not spelt cannot be done. */

import type { SendOptions } from "../core/client.js";
import type { Effect } from "../core/effects.js";
import type { ClientCodec, Json, Place } from "../core/frames.js";
import type { Kind, Message } from "../core/outbox.js";
import type { PolicyOptions } from "../core/policy.js";
import type { Form } from "./forms.js";

/**
 * What happens to a message that was written, and whose link ended before anything confirmed it, where the server does
 * not remember the session: it ends as "unknown" and is never said again; or it is said again until it is confirmed.
 */
export type Delivery = "at_most_once" | "at_least_once";

/** The heartbeat, in seconds. Without `answer` only other traffic shows that somebody is there. */
export interface Beat {
  readonly say?: Form;
  readonly answer?: Form;
  readonly by?: "client" | "server";
  readonly interval?: number;
  readonly timeout?: number;
  readonly first?: boolean;
  readonly quiet?: boolean;
  readonly after_answer?: boolean;
  readonly probe?: boolean;
}

/** The login, and what accepts it, puts it off, refuses it or bans. */
export interface Login {
  readonly say: Form;
  readonly ok?: Form;
  readonly later?: readonly Form[];
  readonly refused?: readonly Form[];
  readonly banned?: readonly Form[];
}

/** Messages that no reply belongs to; `ok` confirms one within so many seconds. */
export interface Send {
  readonly say: Form;
  readonly ok?: Form;
  readonly no?: Form;
  readonly delivery?: Delivery;
  readonly within?: number;
}

/** Messages with a reply. */
export interface Request {
  readonly say: Form;
  readonly ok: Form;
  readonly no?: Form;
  readonly delivery?: Delivery;
}

/** What is said again on every link. */
export interface Subscribe {
  readonly say: Form;
  readonly ok?: Form;
  readonly no?: Form;
  readonly leave?: Form;
  readonly left?: Form;
  readonly items?: Form;
  readonly ended?: Form;
  readonly stale_after?: number | null;
}

/** Messages that reach handlers. */
export interface Event {
  readonly match: Form;
  readonly name?: string | null;
}

/** When to dial again, in seconds. */
export interface Reconnect {
  readonly delay?: number;
  readonly cap?: number;
  readonly attempts?: number | null;
  readonly stable?: number;
}

/** How a protocol is spelt. */
export interface Dialect {
  readonly name: string;
  readonly about?: string;
  readonly subprotocol?: string | null;
  readonly beat?: Beat | null;
  readonly login?: Login | null;
  readonly opening?: readonly Form[];
  readonly send?: Send | null;
  readonly request?: Request | null;
  readonly subscribe?: Subscribe | null;
  readonly events?: readonly Event[];
  readonly goodbye?: Form;
  readonly reconnect?: Reconnect;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** What speaks it: put here by `dialect` of `heartline/dialects`, and in its presets already. */
  readonly speak?: Speak | undefined;
}

/** How a dialect is spoken by a connection with these options. */
export type Speak = (
  dialect: Dialect,
  options: PolicyOptions & { params?: Readonly<Record<string, unknown>> | undefined },
) => Spoken;

/** How a dialect is spoken by one connection. */
export interface Spoken {
  /** The connection's options, with what the dialect has chosen. */
  readonly options: PolicyOptions;
  readonly protocols: readonly string[];
  /**
   * A machine around the one that `make` gives, for one session: `epoch` is random, `keep` what an earlier process kept.
   */
  machine<M extends Machine>(
    make: (codec: ClientCodec) => M,
    epoch: string,
    now: () => number,
    keep: Readonly<Record<string, Json>> | undefined,
  ): M;
}

/** What is used of the client machine, and done otherwise: see `core/client.ts`. */
export interface Machine {
  readonly outbox: { readonly messages: ReadonlyMap<number, Message> };
  drain(): Effect[];
  nextDeadline(): number;
  tick(): void;
  received(attempt: number, text: unknown, shows?: boolean): void;
  alive(attempt: number, good?: boolean): void;
  lost(attempt: number, code: number, reason: string, foreign?: boolean): void;
  send(kind: Kind, event: string, data: string, options?: SendOptions): number;
  withdraw(n: number): boolean;
  subscribe(channel: string, place?: Place, args?: Json): void;
}
