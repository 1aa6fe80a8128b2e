/**
 * What `connect` was told, checked at once.
 *
 * - an argument that can never work throws TypeError or RangeError naming it, before anything is dialled
 *   (test: connect refuses nonsense).
 */

import type { Random } from "../core/back-off.js";
import type { ClientCodec, Json } from "../core/frames.js";
import type { PolicyOptions } from "../core/policy.js";
import type { Dialect } from "../dialects/spec.js";
import type { Handler } from "./bus.js";
import type { Store } from "./journal.js";
import type { ConnectSocket, Platform, Timers } from "./platform.js";

/** Choices for one connection. Times in seconds. */
export interface Options extends PolicyOptions {
  /**
   * Any JSON value, or a function that gives one or a promise of one; it is called for every link and when credentials
   * have to be renewed, and one that throws counts as a failed attempt.
   */
  readonly login?: Json | (() => Json | Promise<Json>);
  /** Handlers by event, as `Connection.on`. */
  readonly on?: Readonly<Record<string, Handler>> | undefined;
  /** Where session, unsettled messages and cursors are kept so that they outlive this process; without: nowhere. */
  readonly store?: Store | undefined;
  /** The runtime: `browser()`, `miniProgram(wx)`, `miniProgram(uni)`; without: the one it finds. */
  readonly platform?: Platform | undefined;
  /** Opens sockets in a runtime we do not know. */
  readonly connectSocket?: ConnectSocket | undefined;
  /** How long it stays, for what has no outcome yet, when nobody holds it any more. Default 5. */
  readonly linger?: number | undefined;
  /** Told to the server. */
  readonly name?: string | undefined;
  readonly version?: string | undefined;
  /** How the server speaks, where it is none of heartline's. `params` are what `$param.x` stands for in it. */
  readonly dialect?: Dialect | undefined;
  readonly params?: Readonly<Record<string, Json>> | undefined;
  /** How frames are spelt. */
  readonly codec?: ClientCodec | undefined;
  readonly random?: Random | undefined;
  readonly timers?: Timers | undefined;
  /** Told what matters, never payload or secrets. */
  readonly trace?: ((now: number, what: string, details: Record<string, unknown>) => void) | undefined;
}

/** Throw unless a WebSocket can be opened there. */
export function checkUrl(url: string): string {
  if (/^wss?:\/\/[^/?#@]+([/?][^#]*)?$/i.test(url)) return url;
  throw new RangeError("url must be like ws://host/ or wss://host/");
}

/** A value as JSON text. Throws TypeError naming the argument. */
export function encodeJson(argument: string, value: unknown): string {
  let why: unknown = typeof value;
  try {
    const text: string | undefined = JSON.stringify(value === undefined ? null : value);
    if (text) return text;
  } catch (error) {
    why = error;
  }
  throw new TypeError(`${argument} must be JSON: ${why}`);
}
