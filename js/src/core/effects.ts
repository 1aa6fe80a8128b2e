/**
 * What the client machine asks its shell to do. One ordered drain: carry them out in this order, all of them.
 *
 * - the order of effects is the order of causes, so that what is persisted is persisted before it is sent and what is
 *   settled is settled before it is forgotten (vectors: all of them).
 */

import type { Json } from "./frames.js";
import type { Message, Outcome } from "./outbox.js";
import type { State } from "./states.js";

/** What is wanted: the first element of an effect. */
export const enum Do {
  DIAL,
  TRANSMIT,
  DROP,
  PERSIST,
  FORGET,
  REMEMBER,
  MOVE_CURSOR,
  FORGET_CURSOR,
  SETTLE,
  ARRIVED,
  VOLATILE,
  SUBSCRIBED,
  UNSUBSCRIBED,
  RENEW,
  STATE,
  KEEP,
  IGNORED,
}

/** The connection's state moved. `retryIn` is seconds when it waits. Equal states: only the news is `reason`. */
export interface StateChange {
  readonly old: State;
  readonly new: State;
  readonly reason: string;
  /** The number of the latest dial. */
  readonly attempt: number;
  /** The close code, where there was one. */
  readonly code: number | null;
  readonly retryIn: number | null;
}

/** One entry of a channel, each once and in order. */
export interface EntryItem {
  readonly kind: "entry";
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly event: string;
  readonly data: Json;
}

/** Entries behind `after` up to and including `to` may be lost. */
export interface Gap {
  readonly kind: "gap";
  readonly channel: string;
  readonly epoch: string;
  readonly after: number;
  readonly to: number;
  /** "history": no longer kept; "epoch": the log was lost and began anew; "none": nothing is kept. */
  readonly reason: string;
}

export type Effect =
  /** Open a socket; then call `opened(attempt, …)` or `failed(attempt, …)`. Get the login first. */
  | [Do.DIAL, attempt: number]
  /** Write one text message to the link of this attempt. */
  | [Do.TRANSMIT, attempt: number, payload: string]
  /** Leave this link, or stop this dial, after writing what came before; nothing it says later matters. */
  | [Do.DROP, attempt: number, code: number, reason: string]
  /** Store this message, then call `persisted(n)`. Numbers below `reserved` are used up even after a crash. */
  | [Do.PERSIST, message: Message, reserved: number]
  /** The message is settled; delete its copy on disk, then call `forgotten(n)`: only then the floor passes it. */
  | [Do.FORGET, n: number]
  /** The session to come back to; null: none. A durable client stores it, then calls `remembered`. */
  | [Do.REMEMBER, session: string | null, key: string | null]
  /** A channel was handled up to here, or begins here: where to go on after a crash. */
  | [Do.MOVE_CURSOR, channel: string, epoch: string, offset: number]
  /** The channel is no longer followed: a stored cursor may go. */
  | [Do.FORGET_CURSOR, channel: string]
  /** A message has its outcome. `body` is the reply, or the failure, else null. */
  | [Do.SETTLE, message: Message, outcome: Outcome, body: Json, reason: string]
  /** Hand this to whoever reads the channel; when it is handled call `handled(channel, …, size)`. */
  | [Do.ARRIVED, item: EntryItem | Gap, size: number]
  /** A message without offset. */
  | [Do.VOLATILE, channel: string, event: string, data: Json]
  /** The server follows the channel for us. `state` is its snapshot at `offset`, undefined where there is none. */
  | [Do.SUBSCRIBED, channel: string, epoch: string, offset: number, state: Json]
  /** The server refused the channel, or withdrew it. */
  | [Do.UNSUBSCRIBED, channel: string, code: string, message: string]
  /** Fresh credentials are wanted within so many seconds: call `login(payload)`. */
  | [Do.RENEW, seconds: number]
  | [Do.STATE, change: StateChange]
  /** Of a dialect: what its logins are to be given after a crash as well. */
  | [Do.KEEP, keep: object]
  /** Of a dialect: a message that nothing fits. */
  | [Do.IGNORED];
