/** A clock that stands still until it is told to go, for tests of what takes time. */

import type { Timers } from "../client/platform.js";

interface Timer {
  readonly at: number;
  readonly then: () => void;
}

/** Pass it as `timers`; `advance` moves time and does what is due, in order. */
export class ManualTimers implements Timers {
  private _now = 1000;
  private _timers: Timer[] = [];

  now(): number {
    return this._now;
  }

  after(seconds: number, then: () => void): () => void {
    const timer = { at: this._now + Math.max(0, seconds), then };
    this._timers.push(timer);
    return () => {
      this._timers = this._timers.filter((other) => other !== timer);
    };
  }

  /** Timers that are set. */
  get count(): number {
    return this._timers.length;
  }

  /** Let so many seconds pass; timers fire at their moments. */
  advance(seconds: number): void {
    const until = this._now + seconds;
    for (;;) {
      const next = this._timers.reduce<Timer | null>((a, b) => (a && a.at <= b.at ? a : b), null);
      if (!next || next.at > until) break;
      this._now = Math.max(this._now, next.at);
      this._timers = this._timers.filter((other) => other !== next);
      next.then();
    }
    this._now = until;
  }

  /** The machine sleeps so long: time passes, and timers fire only afterwards. */
  sleep(seconds: number): void {
    this._now += seconds;
    this.advance(0);
  }
}
