/**
 * Whether the peer is still there (PROTOCOL 5).
 *
 * Any complete frame is life. But while this side waits for something the other owes it, traffic that comes in says
 * nothing about the way out: then only the pong with our own t, or the progress itself, is proof. A verdict that comes
 * late was delayed by our own sleep, so it is put off for one fresh probe.
 *
 * - dead within interval + timeout of the last sign (test: dead within interval plus timeout);
 * - traffic alone never hides a dead way out (test: traffic is no proof of the way out);
 * - no death on a late wake-up without a fresh probe (test: a late wake-up probes first);
 * - hints, however many, put off no verdict (test: hints put off no verdict).
 */

import type { Heartbeat } from "./policy.js";

/** One link's heartbeat. */
export type Liveness = ReturnType<typeof makeLiveness>;

/** The owner tells what it hears and asks `tick` when `nextDeadline` has come. */
export function makeLiveness({ interval, timeout }: Heartbeat, now: number) {
  let heardAt = now;
  let probedAt = now;
  let t = 0;
  let probing = false; // a ping is out; otherwise all is calm
  let strict = false;
  let fresh = false;
  let awaitingSince = Infinity;

  const calm = (): void => {
    probing = fresh = false;
  };

  const calmSince = (): number => Math.min(heardAt, awaitingSince);

  const ping = (at: number, only: boolean): number => {
    probing = true;
    probedAt = at;
    strict = only;
    return ++t;
  };

  /** When `tick` has something to do. */
  const nextDeadline = (): number => (probing ? probedAt + timeout : calmSince() + interval);

  /** Count proof that what we send arrives. */
  const progress = (at: number): void => {
    heardAt = at;
    if (awaitingSince < Infinity) awaitingSince = at;
    calm();
  };

  return {
    nextDeadline,
    progress,

    /** Count one complete frame of any kind as life. */
    heard(at: number): void {
      heardAt = at;
      if (probing && !strict) {
        if (calmSince() + interval <= at) strict = true; // what we wait for is overdue too: the ping must be answered
        else calm();
      }
    },

    /** Count a pong; only one with the t of our latest ping is proof of the way out. */
    pong(answered: number | string, at: number): void {
      if (answered === t && probing) progress(at);
    },

    /** Tell whether the peer owes us something. */
    awaiting(outstanding: boolean, at: number): void {
      awaitingSince = outstanding ? Math.min(awaitingSince, at) : Infinity;
    },

    /**
     * Ask at once, after a hint: only the answer to this very ping counts. Returns its t.
     *
     * While such a ping is out it is only said again: neither its answer nor the verdict is put off.
     */
    probe: (at: number): number => (probing && strict && at < nextDeadline() ? t : ping(at, true)),

    /** Judge. The owner sends a ping with the t that is returned; at 0 it leaves the link. */
    tick(at: number): number | undefined {
      const late = at - nextDeadline();
      if (late < 0) return;
      if (!probing) return ping(at, calmSince() < heardAt);
      if (fresh || late <= Math.max(1, timeout / 2)) return 0;
      fresh = true;
      return ping(at, strict);
    },
  };
}
