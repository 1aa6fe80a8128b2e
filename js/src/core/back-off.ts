/**
 * When to dial again (PROTOCOL 7): full jitter under a cap, reset by progress and never by an open socket.
 *
 * - a server that accepts and drops is retried ever more slowly (test: accept then drop grows);
 * - no delay is above the cap, however many attempts there were (test: delays never exceed the cap);
 * - a link that made progress is no failed attempt (test: a good link is no failure).
 */

import type { BackOff } from "./policy.js";

/** Numbers in [0, 1). */
export type Random = () => number;

/** The state of one outage: `step` is the exponent, `failures` counts attempts and links without progress. */
export class Retry {
  step = 0;
  failures = 0;
  proven = false;

  constructor(
    private readonly _policy: BackOff,
    private readonly _random: Random,
  ) {}

  /** Count one attempt or link that ended; return the seconds to wait. */
  failed(): number {
    const delay = this._draw(this.step);
    if (!this.proven) this.step += 1;
    this.left();
    return delay;
  }

  /** Count one attempt or link that ended, unless it was a link that had proved good. */
  left(): void {
    if (!this.proven) this.failures += 1;
    this.proven = false;
  }

  /** Seconds to wait in addition when the server asks to move: none unless the links before it were no good. */
  beforeMoving(): number {
    return this.failures ? this._draw(this.failures) : 0;
  }

  /** A message was settled or a new entry came: this link is good. */
  progressed(): void {
    this.step = Math.min(this.step, 1);
    this.failures = 0;
    this.proven = true;
  }

  /** The link lived long enough. */
  stable(): void {
    this.step = 0;
    this.failures = 0;
    this.proven = true;
  }

  private _draw(step: number): number {
    const { base, cap, least = 0 } = this._policy;
    return (least + (1 - least) * this._random()) * Math.min(cap, base * 2 ** Math.min(step, 60));
  }
}
