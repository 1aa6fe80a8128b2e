/**
 * Waiting for what is to come about, or can no longer come about.
 *
 * - nobody waits for ever on a connection that nobody dials (test: n retries are n + 1 attempts, then it gives up).
 */

import { HeartlineError } from "../core/errors.js";
import { nothing, type Timers } from "./platform.js";

/** `deadEnd` tells why waiting makes no sense. */
export function makeWaiting(timers: Timers, deadEnd: () => HeartlineError | null) {
  const conditions = new Set<() => void>();

  /** Call `then` in so many seconds, unless that is never; returns what prevents it. */
  const after = (seconds: number, then: () => void): (() => void) => (seconds < Infinity ? timers.after(seconds, then) : nothing);

  /**
   * Resolve with what `look` returns, as soon as that is something. Reject with what it throws, at a dead end of the
   * connection, and after `timeout` seconds.
   */
  const until = (look: () => unknown, timeout = Infinity): Promise<any> =>
    new Promise((resolve, reject) => {
      const end = (settle: (value: unknown) => void, value: unknown): void => {
        stop();
        conditions.delete(check);
        settle(value);
      };
      const check = (): void => {
        try {
          const found = look();
          const error = deadEnd();
          if (found) end(resolve, found);
          else if (error) end(reject, error);
        } catch (error) {
          end(reject, error);
        }
      };
      const stop = after(timeout, () => end(reject, new HeartlineError("Timeout", "not in time", true)));
      conditions.add(check);
      check();
    });

  /** Look at everything that is waited for. */
  const look = (): void => conditions.forEach((check) => check());

  return { after, until, look };
}
