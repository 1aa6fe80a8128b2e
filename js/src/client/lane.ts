/**
 * Callbacks in order, one after another; one that returns a promise holds up those behind it.
 *
 * - the next item is handed over only after the handler of the one before has ended (test: handlers keep the order);
 * - an item counts as handled when its handler ended, well or not (test: a failed handler stops nothing).
 */

import { proceed } from "./platform.js";

/** One queue. */
export interface Lane<T> {
  readonly queue: T[];
  /** Hand over what is queued. */
  deliver(): void;
}

/** `handle` calls the user's code, `done` is told when it ended, `report` what it threw. */
export function makeLane<T>(
  handle: (item: T) => unknown,
  done: (item: T) => void,
  report: (error: unknown) => void,
): Lane<T> {
  const queue: T[] = [];
  let busy = false;
  const deliver = (): void => {
    while (!busy && queue.length) {
      const item = queue.shift()!;
      let late = false;
      const end = (): void => {
        busy = false;
        done(item);
        if (late) deliver();
      };
      busy = true;
      proceed(
        () => handle(item),
        end,
        (error) => (report(error), end()),
      );
      late = true;
    }
  };
  return { queue, deliver };
}
