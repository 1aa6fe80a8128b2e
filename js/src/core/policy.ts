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

/** A whole policy out of the parts given. Throws TypeError or RangeError naming the part. */
export function makePolicy(given: PolicyOptions = {}): ClientPolicy {
  const { heartbeat: wish = null, connectTimeout = 10, helloTimeout = 10, maxAttempts = null } = given;
  const policy: ClientPolicy = {
    heartbeat: wish,
    backOff: Object.assign({ base: 0.25, cap: 30, stable: 30 }, given.backOff),
    outbox: Object.assign({ messages: 10_000, bytes: 16 << 20, full: "refuse" }, given.outbox),
    connectTimeout,
    helloTimeout,
    maxAttempts,
  };
  const { heartbeat, backOff, outbox } = policy;
  const beat = heartbeat || {};
  for (const [name, part, most] of [
    ["", { connectTimeout, helloTimeout }],
    ["", maxAttempts === null ? {} : { maxAttempts }],
    ["heartbeat.", beat, LONGEST_BEAT],
    ["backOff.", backOff],
    ["outbox.", { messages: outbox.messages, bytes: outbox.bytes }],
  ] as [string, Record<string, unknown>, number?][]) {
    for (const key of Object.keys(part)) positive(name + key, part[key], most);
  }
  if (backOff.cap < backOff.base) throw new RangeError("backOff.cap must not be below backOff.base");
  if (!["refuse", "drop_oldest"].includes(outbox.full)) {
    throw new TypeError("outbox.full must be 'refuse' or 'drop_oldest'");
  }
  return policy;
}

/** Throw unless `value` is a finite number above 0 and not above `most`. */
export function positive(name: string, value: unknown, most = Number.MAX_VALUE): void {
  if (!((value as number) > 0 && (value as number) <= most) || typeof value !== "number") {
    throw new RangeError(`${name} must be a number above 0 and at most ${most}`);
  }
}
