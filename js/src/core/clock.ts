/**
 * Time as the owner tells it, made to run forward only.
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
  now = -Infinity;
  private _ahead = 0;

  /** Take the owner's time; return the machine's. */
  tell(outside: number): number {
    const now = outside + this._ahead;
    if (now > this.now) this.now = now;
    else if (now < this.now - JUMP) this._ahead += this.now - now;
    return this.now;
  }

  /** A moment of the machine's as the owner's clock will show it. */
  outside(at: number): number {
    return at - this._ahead;
  }
}
