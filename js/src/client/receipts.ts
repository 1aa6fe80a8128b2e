/**
 * From a message to its outcome: requests that wait, receipts that may.
 *
 * - every message ends in one outcome, and nobody who waits for one waits for ever (test: one outcome for each);
 * - a request that stops waiting takes its message back if it was never written (test: a request is withdrawn);
 * - a receipt that nobody asks warns nobody (test: an abandoned receipt is silent).
 */

import { Expired, type HeartlineError, OutcomeUnknown, Rejected } from "../core/errors.js";
import type { Json } from "../core/frames.js";
import type { Outcome } from "../core/outbox.js";

type Waiter = [resolve: (reply: Json) => void, reject: (error: unknown) => void, patient: boolean];

/** What `send` and `publish` return: the message's number, and its outcome as soon as there is one. */
export class Receipt {
  /** The message's number; null while the store is still being read. */
  n: number | null = null;
  /** How the message ended; null: it has not. */
  outcome: Outcome | null = null;
  private _waiters: Waiter[] = [];
  private _over = false;
  private _error: unknown;
  private _reply: Json;

  constructor(
    /** The name of the message. */
    readonly event: string,
    private readonly _deadEnd: () => HeartlineError | null,
    /** What was sent, where an earlier process did: see `Connection.restored`. */
    readonly data?: Json,
  ) {}

  /**
   * Resolves with the reply (null for a send) when the message was handled; rejects with `Rejected`, `Expired` or
   * `OutcomeUnknown` otherwise. While no outcome can come (refused for good, given up) it rejects with `LoginRefused`,
   * `GaveUp` or the like; the message stays in the outbox, and this can be asked again.
   */
  handled(): Promise<Json> {
    return this.wait(false);
  }

  /** @internal As `handled`; one that is patient waits on where no outcome can come for now. */
  wait(patient: boolean): Promise<Json> {
    return new Promise((...settle) => {
      this._waiters.push([...settle, patient]);
      const error = this._deadEnd();
      if (this._over) this._tell();
      else if (error) this.wake(error);
    });
  }

  /** @internal The message has its outcome. */
  settle(outcome: Outcome, body: Json, reason: string): void {
    this.outcome = outcome;
    this._reply = body;
    this.fail(outcome === "handled" ? null : errorOf(this.event, outcome, body, reason));
  }

  /** @internal It has ended, without an outcome that is known here where that is an error. */
  fail(error: unknown): void {
    this._over = true;
    this._error = error;
    this._tell();
  }

  /** @internal Nobody can tell how it ends: those who do not wait for that learn of it. */
  wake(error: HeartlineError): void {
    this._waiters = this._waiters.filter(([, reject, patient]) => patient || reject(error));
  }

  private _tell(): void {
    for (const [resolve, reject] of this._waiters.splice(0)) this._error ? reject(this._error) : resolve(this._reply);
  }
}

function errorOf(event: string, outcome: Outcome, body: Json, reason: string): HeartlineError {
  if (outcome === "expired") return new Expired(`${event}: never sent: ${reason}`);
  if (outcome === "unknown") return new OutcomeUnknown(`${event}: sent, outcome unknown: ${reason}`);
  const details = body as { code: string; message?: string };
  return new Rejected(details.code, details.message || "", details);
}
