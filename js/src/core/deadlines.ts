/**
 * A table of named deadlines; the owner's next one and those that are due.
 *
 * - reading never changes the table (test: the next deadline is pure);
 * - those due at one moment come in the order of time, then of the enum (test: due in order of time, then name).
 */

/** Every timer of a client but the heartbeat and the expiry of messages. */
export const enum Due {
  CONNECT = 1,
  HELLO = 2,
  RETRY = 3,
  STABLE = 5,
  ACK = 6,
  MOVE = 8,
  FLOOR = 10,
}

/** At most one moment for each name. */
export class Deadlines {
  private readonly _at = new Map<Due, number>();

  /** Make `name` due at `at`, replacing an earlier choice. */
  set(name: Due, at: number): void {
    this._at.set(name, at);
  }

  /** Make `name` due at `at` unless it has a moment already. */
  setDefault(name: Due, at: number): void {
    if (!this._at.has(name)) this._at.set(name, at);
  }

  /** Forget these. */
  clear(...names: Due[]): void {
    for (const name of names) this._at.delete(name);
  }

  /** Forget all. */
  clearAll(): void {
    this._at.clear();
  }

  /** Whether `name` has a moment. */
  has(name: Due): boolean {
    return this._at.has(name);
  }

  /** The earliest moment, Infinity when nothing is awaited. */
  next(): number {
    return Math.min(...this._at.values());
  }

  /** Take out what is due at `now`. */
  popDue(now: number): Due[] {
    const due = [...this._at].filter(([, at]) => at <= now).sort((a, b) => a[1] - b[1] || a[0] - b[0]);
    for (const [name] of due) this._at.delete(name);
    return due.map(([name]) => name);
  }
}
