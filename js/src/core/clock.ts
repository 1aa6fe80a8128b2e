/**
 * Time as the owner's clock tells it, made to run forward only.
 *
 * Small steps back stand still. A jump back by more than a second (a wall clock that was set) goes on from where time
 * stood, so that nothing waits for the clock to catch up with itself.
 *
 * - time never falls (test: time never falls);
 * - after a jump back it runs on (test: time runs on after a jump back).
 */

const JUMP = 1;

/** `now` is the machine's time; `outside` translates to the owner's. */
export class Clock {
  private _now = -Infinity;
  private _ahead = 0;

  constructor(private readonly _outside: () => number) {}

  /** Look at the owner's clock. */
  now(): number {
    const now = this._outside() + this._ahead;
    if (now < this._now - JUMP) this._ahead += this._now - now;
    return (this._now = Math.max(this._now, now));
  }

  /** A moment of the machine's as the owner's clock will show it. */
  outside(at: number): number {
    return at - this._ahead;
  }
}
