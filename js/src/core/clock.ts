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

/** `now` looks at the owner's clock and is the machine's time; `outside` translates a moment back. */
export function makeClock(owner: () => number) {
  let last = -Infinity;
  let ahead = 0;
  return {
    now(): number {
      const now = owner() + ahead;
      if (now < last - JUMP) ahead += last - now;
      return (last = Math.max(last, now));
    },
    outside: (at: number) => at - ahead,
  };
}
