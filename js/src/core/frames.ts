/**
 * The frames of heartline.1 as values (PROTOCOL 1 to 6): what is on the wire, an array of a kind and its elements, with
 * everything that may be absent filled in.
 */

import type { Heartbeat } from "./policy.js";

/** The session's own channel. */
export const INBOX = "@";

/** Any JSON value. */
export type Json = unknown;

/** Where to go on in a channel; epoch null: whatever epoch there is. */
export type Place = [epoch: string | null, offset: number];

/** One subscription to restore: its request number, its channel, and where to go on (absent: from the head). */
export type Cursor = [r: number, channel: string] | [r: number, channel: string, at: Place];

/** What a client says of itself (PROTOCOL 2.1). */
export interface Hello {
  instance: string;
  floor: number;
  session: string | null;
  key: string | null;
  login: Json;
  cursors: Cursor[];
  client: Readonly<Record<string, Json>>;
  heartbeat: Heartbeat | null;
}

/** What the server answers to hello (PROTOCOL 2.2). */
export interface Welcome {
  session: string;
  resumed: boolean;
  received: number;
  heartbeat: Heartbeat;
  limits: {
    message: number;
    window: number;
    window_bytes: number;
    credit: number;
    credit_bytes: number;
    subscriptions: number;
  };
  inbox: { epoch: string; offset: number };
  key: string | null;
  expires_in: number | null;
  time: number;
  server: string;
}

/** Why there is no session (PROTOCOL 2.5); `retry` is seconds, or false for good. */
export interface Refused {
  code: string;
  message: string;
  retry: number | false;
}

/** The body of fail and no: a short word, a sentence, and what else the code brings. */
export interface Failure {
  code: string;
  message: string;
}

/** Entries that may be lost: behind `after`, up to and including `to` (PROTOCOL 4.6). */
export interface GapBody {
  epoch: string;
  after: number;
  to: number;
  reason: string;
}

/** The answer to sub, unsub and login. `state` is absent where the channel has no snapshot. */
export interface Ok {
  epoch: string | null;
  offset: number | null;
  expires_in: number | null;
  state?: Json;
}

/** When to dial again: uniformly within [after, after + spread] seconds (PROTOCOL 6.2). */
export interface Move {
  after: number;
  spread: number;
}

/** An entry of a channel. `prev` null means offset − 1. */
export type Msg = ["msg", channel: string, offset: number, event: string, data: Json, prev: number | null];

/** What a server says. */
export type DownFrame =
  | ["welcome", Welcome]
  | ["refused", Refused]
  | ["expiring", { in: number }]
  | ["reply", n: number, data: Json]
  | ["fail", n: number, body: Failure & Record<string, Json>]
  | ["ack", n: number]
  | ["ok", r: number, Ok]
  | ["no", r: number, Failure]
  | Msg
  | ["now", channel: string, event: string, data: Json]
  | ["gap", channel: string, GapBody]
  | ["move", Move]
  | ["ping", t: number | string]
  | ["pong", t: number | string];

/** What a client says. */
export type UpFrame =
  | ["hello", Hello]
  | ["login", Json]
  | ["call" | "send", n: number, event: string, data: Json]
  | ["pub", n: number, channel: string, event: string, data: Json]
  | ["settled", floor: number]
  | ["sub", ...Cursor]
  | ["unsub", r: number, channel: string]
  | ["at", channel: string, offset: number]
  | ["ping", t: number | string]
  | ["pong", t: number | string]
  | ["bye", reason: string];

/** How a client spells frames: what a dialect is to the machine. */
export interface ClientCodec {
  /** The subprotocols to ask for. */
  readonly protocols: readonly string[];
  /** One frame as the payload of one text message. */
  encode(frame: UpFrame): string;
  /** One text message as a frame. Throws BadFrame, and nothing else. */
  decode(text: string): DownFrame;
}
