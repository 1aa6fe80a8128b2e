/**
 * heartline.1 as text: one JSON array a message (PROTOCOL §1).
 *
 * - rubbish of any kind ends in `BadFrame` with a short reason, never in another exception
 *   (vectors: codec.json; test: rubbish is always a bad frame);
 * - the reason names frame and element and repeats nothing that was sent (test: reasons repeat nothing).
 */

import type { ClientCodec, DownFrame, UpFrame } from "../core/frames.js";
import { array, body, type Check, integer, json, list, number, or, orNull, readFrame, string, where } from "./schema.js";

const offset = integer(0);
const positiveInt = integer(1);
const name = string(255, 1);
const token = string(64, 1);
const epoch = string(64);
const text = string("");
const seconds = number(0, 1e9);
const span = number(Number.MIN_VALUE, 86400);
const beat = body({ interval: span, timeout: span });
const stamp: Check = (value) => (typeof value === "string" ? epoch(value) : integer(-(2 ** 53), 2 ** 53)(value));
const failure = body({ code: text, message: or("", text) });
const atLeast1 = integer(1, Infinity);

/** What each kind of frame holds that a server sends. */
const DOWN: Readonly<Record<string, readonly Check[]>> = {
  welcome: [
    body({
      session: token,
      resumed: where((value) => typeof value === "boolean"),
      received: offset,
      heartbeat: beat,
      limits: body({
        message: atLeast1,
        window: atLeast1,
        window_bytes: atLeast1,
        credit: atLeast1,
        credit_bytes: atLeast1,
        subscriptions: offset,
      }),
      inbox: body({ epoch, offset }),
      key: orNull(token),
      expires_in: orNull(seconds),
      time: or(0, number(-Infinity, Infinity)),
      server: or("", text),
    }),
  ],
  refused: [
    body({
      code: text,
      message: or("", text),
      retry: or(false, (value) => value !== false && seconds(value)),
    }),
  ],
  expiring: [body({ in: seconds })],
  reply: [positiveInt, json],
  fail: [positiveInt, (value) => failure(value) && value],
  ack: [offset],
  ok: [
    offset,
    body({ epoch: orNull(epoch), offset: orNull(offset), expires_in: orNull(seconds), state: or(undefined, json) }),
  ],
  no: [offset, failure],
  msg: [name, positiveInt, name, json, orNull(offset)],
  now: [name, name, json],
  gap: [name, body({ epoch, after: offset, to: offset, reason: text })],
  move: [body({ after: or(0, seconds), spread: or(0, seconds) })],
  ping: [stamp],
  pong: [stamp],
};

const place = array([orNull(epoch), offset]);

/** What each kind of frame holds that a client sends: for servers that tests write. */
export const UP: Readonly<Record<string, readonly Check[]>> = /* @__PURE__ */ (() => ({
  hello: [
    body({
      instance: token,
      floor: positiveInt,
      session: orNull(token),
      key: orNull(token),
      login: or(null, json),
      cursors: or([], (value) => {
        list(value);
        return value.map(array([offset, name, orNull(place)]));
      }),
      client: or({}, (value) => body({})(value) && value),
      heartbeat: orNull(beat),
    }),
  ],
  login: [json],
  call: [positiveInt, name, json],
  send: [positiveInt, name, json],
  pub: [positiveInt, name, name, json],
  settled: [positiveInt],
  sub: [positiveInt, name, orNull(place)],
  unsub: [positiveInt, name],
  at: [name, offset],
  ping: [stamp],
  pong: [stamp],
  bye: [or("", string(255))],
}))();

/** The client's side of heartline.1. */
export const native: ClientCodec = {
  protocols: ["heartline.1"],

  encode: (frame: UpFrame) => JSON.stringify(frame),

  decode(text: string): DownFrame {
    return readFrame(DOWN, text) as DownFrame;
  },
};
