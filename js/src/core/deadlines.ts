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
export class Deadlines {
  /** By name; Infinity where nothing is awaited. */
  readonly at: number[] = Array(7).fill(Infinity);

  /** Make `name` due at `at` at the latest. */
  set(name: Due, at: number): void {
    this.at[name] = Math.min(this.at[name]!, at);
  }

  /** Forget these. */
  clear(...names: Due[]): void {
    for (const name of names) this.at[name] = Infinity;
  }

  /** The earliest moment, Infinity when nothing is awaited. */
  next(): number {
    return Math.min(...this.at);
  }

  /** Take out what is due at `now`. */
  popDue(now: number): Due[] {
    const { at } = this;
    const due = [...at.keys()].filter((name) => at[name]! <= now).sort((a, b) => at[a]! - at[b]! || a - b);
    this.clear(...due);
    return due;
  }
}
