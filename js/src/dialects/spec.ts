/** A protocol as a value: the declarative dialect (protocol/DIALECTS.md §3). What is not spelt cannot be done. */

import type { ClientCodec, DownFrame, Json, UpFrame } from "../core/frames.js";
import type { Kind } from "../core/outbox.js";
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

/** Makes what stands between a connection and a server that speaks `dialect`. */
export type Speak = (
  dialect: Dialect,
  options: PolicyOptions & { params?: Readonly<Record<string, unknown>> | undefined },
  host: SpeechHost,
) => Speech;

/** What a connection does for it. */
export interface SpeechHost {
  /** Of message n: whether it may be said again, and its channel. */
  note(n: number): [again: boolean, channel: string];
  /** Write one text message to the link of this attempt, if it is there. */
  write(attempt: number, text: string): void;
  /** A frame for the machine. Without `proof` it is no sign that the other end is there. */
  give(attempt: number, frame: DownFrame, proof: boolean): void;
  /** Leave the link: nobody is there. */
  leave(attempt: number, reason: string): void;
  /** Have this kept over a reload. */
  keep(value: object): void;
}

/** What stands between one connection and its server. Times in seconds of the connection's clock. */
export interface Speech {
  /** The connection's options, with what the dialect has chosen. */
  readonly options: PolicyOptions;
  readonly codec: ClientCodec;
  /** A session begins, under a name that is random. */
  begin(epoch: string): void;
  /** What an earlier process kept. */
  restore(keep: Readonly<Record<string, unknown>>): void;
  /** How such a message is delivered. Throws TypeError where the dialect cannot spell it. */
  check(kind: Kind, event: string, data: Json, channel: string): Delivery | undefined;
  /** With what a channel is subscribed. Throws TypeError where the dialect cannot spell that. */
  args(channel: string, args: unknown): void;
  /** The machine says this. */
  up(attempt: number, frame: UpFrame, now: number): void;
  /** The server says this; whether it was understood. */
  heard(attempt: number, text: string, now: number): boolean;
  /** The link is about to be closed on purpose. */
  goodbye(attempt: number, now: number): void;
  /** The link is gone. */
  left(attempt: number): void;
  /** Nobody waits for the reply to message n. */
  forget(n: number): void;
  nextDeadline(): number;
  tick(now: number): void;
}
