/**
 * A table of named deadlines; the owner's next one and those that are due.
 *
 * - reading never changes the table (test: the next deadline is pure);
 * - those due at one moment come in the order of time, then of the enum (test: due in order of time, then name).
 */

/** Every timer of a client but the heartbeat and the expiry of messages. */
export const enum Due {
  CONNECT,
  HELLO,
  RETRY,
  STABLE,
  ACK,
  MOVE,
  FLOOR,
}

/** At most one moment for each name. */
export type Deadlines = ReturnType<typeof makeDeadlines>;

/** Nothing is awaited. */
export function makeDeadlines() {
  /** By name; Infinity where nothing is awaited. */
  const at: number[] = Array(7).fill(Infinity);

  const clear = (...names: Due[]): void => names.forEach((name) => (at[name] = Infinity));

  return {
    at,
    clear,

    /** Make `name` due at a moment at the latest. */
    set(name: Due, moment: number): void {
      at[name] = Math.min(at[name]!, moment);
    },

    /** The earliest moment, Infinity when nothing is awaited. */
    next: () => Math.min(...at),

    /** Take out what is due at `now`. */
    popDue(now: number): Due[] {
      const due = [...at.keys()].filter((name) => at[name]! <= now).sort((a, b) => at[a]! - at[b]! || a - b);
      clear(...due);
      return due;
    },
  };
}
