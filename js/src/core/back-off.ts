/**
 * When to dial again (PROTOCOL 7): full jitter under a cap, reset by progress and never by an open socket.
 *
 * - a server that accepts and drops is retried ever more slowly (test: accept then drop grows);
 * - no delay is above the cap, however many attempts there were (test: delays never exceed the cap);
 * - a link that made progress is no failed attempt (test: a good link is no failure).
 */

import type { BackOff } from "./policy.js";

/** Numbers in [0, 1). */
export type Random = () => number;

/** The state of one outage: `step` is the exponent, `failures` counts attempts and links without progress. */
export type Retry = ReturnType<typeof makeRetry>;

/** No outage yet. */
export function makeRetry({ base, cap, least = 0 }: BackOff, random: Random) {
  const draw = (step: number): number => (least + (1 - least) * random()) * Math.min(cap, base * 2 ** Math.min(step, 60));

  const good = (step: number): void => {
    retry.step = step;
    retry.failures = 0;
    retry.proven = true;
  };

  const retry = {
    step: 0,
    failures: 0,
    proven: false,

    /** Count one attempt or link that ended; return the seconds to wait. */
    failed(): number {
      const delay = draw(retry.step);
      if (!retry.proven) retry.step++;
      retry.left();
      return delay;
    },

    /** Count one attempt or link that ended, unless it was a link that had proved good. */
    left(): void {
      if (!retry.proven) retry.failures++;
      retry.proven = false;
    },

    /** Seconds to wait in addition when the server asks to move: none unless the links before it were no good. */
    beforeMoving: () => (retry.failures ? draw(retry.failures) : 0),

    /** A message was settled or a new entry came: this link is good. */
    progressed: () => good(Math.min(retry.step, 1)),

    /** The link lived long enough. */
    stable: () => good(0),
  };
  return retry;
}
