/**
 * Callbacks in order, one after another; one that returns a promise holds up those behind it.
 *
 * - the next item is handed over only after the handler of the one before has ended (test: handlers keep the order);
 * - an item counts as handled when its handler ended, well or not (test: a failed handler stops nothing).
 */

import { proceed } from "./platform.js";

/** One queue. `handle` calls the user's code, `done` is told when it ended, `report` what it threw. */
export class Lane<T> {
  queue: T[] = [];
  private _busy = false;

  constructor(
    private readonly _handle: (item: T) => unknown,
    private readonly _done: (item: T) => void,
    private readonly _report: (error: unknown) => void,
  ) {}

  /** Hand over what is queued. */
  deliver(): void {
    while (!this._busy && this.queue.length) {
      const item = this.queue.shift()!;
      let late = false;
      const end = (): void => {
        this._busy = false;
        this._done(item);
        if (late) this.deliver();
      };
      this._busy = true;
      proceed(
        () => this._handle(item),
        end,
        (error) => (this._report(error), end()),
      );
      late = true;
    }
  }
}
