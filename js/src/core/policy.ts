/**
 * Choices a user makes, checked when they are made. Times in seconds.
 *
 * - a value that makes no sense throws, naming the field, before anything is dialled (test: policies refuse nonsense).
 */

/** How a side notices that the other is gone: at most `interval + timeout` seconds after it went (PROTOCOL 5). */
export interface Heartbeat {
  readonly interval: number;
  readonly timeout: number;
}

/**
 * Full-jitter back-off (PROTOCOL 7). `stable`: how long a link must live to count as good, the minimum uptime. `least`:
 * the part of a delay that is always waited, 0 by default.
 */
export interface BackOff {
  readonly base: number;
  readonly cap: number;
  readonly stable: number;
  readonly least?: number;
}

/** What happens to a send when the outbox is at its limit: it throws, or the oldest message never written expires. */
export type Full = "refuse" | "drop_oldest";

/** How much may wait to be settled, and what happens beyond. */
export interface OutboxLimits {
  readonly messages: number;
  readonly bytes: number;
  readonly full: Full;
}

/** Everything a client decides. `heartbeat` null: as the server says; `maxAttempts` null: never gives up. */
export interface ClientPolicy {
  readonly heartbeat: Heartbeat | null;
  readonly backOff: BackOff;
  readonly outbox: OutboxLimits;
  readonly connectTimeout: number;
  readonly helloTimeout: number;
  readonly maxAttempts: number | null;
}

/** The parts of a policy that somebody chose; the rest is as in `makePolicy`. */
export interface PolicyOptions {
  /** A wish; the server decides. */
  readonly heartbeat?: Heartbeat | null | undefined;
  readonly backOff?: Partial<BackOff> | undefined;
  readonly outbox?: Partial<OutboxLimits> | undefined;
  /** Up to the open socket, the login included. */
  readonly connectTimeout?: number | undefined;
  /** From there to the server's welcome. */
  readonly helloTimeout?: number | undefined;
  /** Attempts in a row without progress before it gives up: one more than the retries that are wanted. */
  readonly maxAttempts?: number | null | undefined;
}

const LONGEST_BEAT = 86400;

/** A whole policy out of the parts given. Throws RangeError naming the part. */
export function makePolicy(given: PolicyOptions = {}): ClientPolicy {
  const { heartbeat = null, connectTimeout = 10, helloTimeout = 10, maxAttempts = null } = given;
  const backOff = Object.assign({ base: 0.25, cap: 30, stable: 30 }, given.backOff);
  const outbox: OutboxLimits = Object.assign({ messages: 10_000, bytes: 16 << 20, full: "refuse" as Full }, given.outbox);
  const { base, cap, stable } = backOff;
  const { messages, bytes } = outbox;
  positives({ connectTimeout, helloTimeout, maxAttempts: maxAttempts === null ? 1 : maxAttempts });
  positives({ base, cap, stable, messages, bytes });
  positives(heartbeat || {}, LONGEST_BEAT);
  if (cap < base) throw new RangeError("backOff.cap is below backOff.base");
  return { heartbeat, backOff, outbox, connectTimeout, helloTimeout, maxAttempts };
}

/** Throw unless all of these are finite numbers above 0 and not above `most`. */
export function positives(parts: object, most = Number.MAX_VALUE): void {
  for (const name of Object.keys(parts)) {
    const value = (parts as Record<string, unknown>)[name];
    if (typeof value !== "number" || !(value > 0 && value <= most)) {
      throw new RangeError(`${name} must be a number above 0, at most ${most}`);
    }
  }
}
