/**
 * Whether the peer is still there (PROTOCOL 5).
 *
 * Any complete frame is life. But while this side waits for something the other owes it, traffic that comes in says
 * nothing about the way out: then only the pong with our own t, or the progress itself, is proof. A verdict that comes
 * late was delayed by our own sleep, so it is put off for one fresh probe.
 *
 * - dead within interval + timeout of the last sign (test: dead within interval plus timeout);
 * - traffic alone never hides a dead way out (test: traffic is no proof of the way out);
 * - no death on a late wake-up without a fresh probe (test: a late wake-up probes first);
 * - hints, however many, put off no verdict (test: hints put off no verdict).
 */

import type { Heartbeat } from "./policy.js";

/** One link's heartbeat. The owner tells what it hears and asks `tick` when `nextDeadline` has come. */
export class Liveness {
  heardAt: number;
  /** A ping is out; otherwise all is calm. */
  probing = false;
  t = 0;
  private _probedAt: number;
  private _strict = false;
  private _fresh = false;
  private _awaitingSince: number | null = null;

  constructor(
    private readonly _heartbeat: Heartbeat,
    now: number,
  ) {
    this.heardAt = this._probedAt = now;
  }

  /** Count one complete frame of any kind as life. */
  heard(now: number): void {
    this.heardAt = now;
    if (this.probing && !this._strict) {
      if (this._calmSince() + this._heartbeat.interval <= now) {
        this._strict = true; // what we wait for is overdue too: the ping under way must be answered
      } else {
        this._calm();
      }
    }
  }

  /** Count a pong; only one with the t of our latest ping is proof of the way out. */
  pong(t: number | string, now: number): void {
    if (t === this.t && this.probing) this.progress(now);
  }

  /** Count proof that what we send arrives. */
  progress(now: number): void {
    this.heardAt = now;
    if (this._awaitingSince !== null) this._awaitingSince = now;
    this._calm();
  }

  /** Tell whether the peer owes us something. */
  awaiting(outstanding: boolean, now: number): void {
    if (!outstanding) this._awaitingSince = null;
    else if (this._awaitingSince === null) this._awaitingSince = now;
  }

  /**
   * Ask at once, after a hint: only the answer to this very ping counts. Returns its t.
   *
   * While such a ping is out it is only said again: neither its answer nor the verdict is put off.
   */
  probe(now: number): number {
    if (this.probing && this._strict && now < this.nextDeadline()) return this.t;
    return this._ping(now, true);
  }

  /** When `tick` has something to do. */
  nextDeadline(): number {
    return this.probing
      ? this._probedAt + this._heartbeat.timeout
      : this._calmSince() + this._heartbeat.interval;
  }

  /** Judge. On "ping" the owner sends a ping with `t`; on "dead" it leaves the link. */
  tick(now: number): "ping" | "dead" | undefined {
    const late = now - this.nextDeadline();
    if (late < 0) return;
    if (!this.probing) {
      this._ping(now, this._calmSince() < this.heardAt);
      return "ping";
    }
    if (late > Math.max(1, this._heartbeat.timeout / 2) && !this._fresh) {
      this._fresh = true;
      this._ping(now, this._strict);
      return "ping";
    }
    return "dead";
  }

  private _calm(): void {
    this.probing = this._fresh = false;
  }

  private _calmSince(): number {
    return this._awaitingSince === null ? this.heardAt : Math.min(this.heardAt, this._awaitingSince);
  }

  private _ping(now: number, strict: boolean): number {
    this.probing = true;
    this._probedAt = now;
    this._strict = strict;
    return ++this.t;
  }
}
